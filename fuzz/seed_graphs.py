"""Make first inputs of the corpus: priors, small graphs with real operators, bundles. Needs the `export` extra."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from fmae_edge.export.float_graph import float_graph
from fmae_edge.export.gradient_graph import gradient_graph
from fmae_edge.export.graph_builder import MICROSOFT, GraphBuilder
from fmae_edge.export.int8_network import Int8Network
from fmae_edge.export.int8_target import int8_target
from fmae_edge.export.network import network_of
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.config import ModelConfig
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.bundle.manifest import GOLDEN_NAME, GRAPH_NAMES, PRIOR_NAME
from fmae_edge.runtime.entropy.prior import ESCAPE, FRACTIONS
from fmae_edge.runtime.self_test import golden_vectors
from fuzz.fmae_targets import GOLDEN
from fuzz.mutators import with_manifest, zip_bundle
from fuzz.targets import GRAPH_LATENTS, GRAPH_SIDE, PRIOR_LATENTS

_SIDE = 4  # of the images of the bundle in the corpus
_RGB_SIDE = 8
_SMALL_SIDE = 4  # encoders halve images until they are smaller than this
_UPSAMPLING = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}


def priors() -> Iterator[tuple[str, bytes]]:
    """Yield a prior with tables and one with networks, both for two latents with one group each."""
    qualities = len(GOLDEN["steps"])
    inner = np.sort(np.random.default_rng(1).choice(np.arange(1, 1 << 16), (2 * FRACTIONS, ESCAPE), replace=False))
    tables = np.hstack([np.zeros((2 * FRACTIONS, 1)), inner]).astype(np.uint16)
    centres = np.arange(-PRIOR_LATENTS, qualities * PRIOR_LATENTS - PRIOR_LATENTS, dtype=np.int32)
    yield (
        "tables.safetensors",
        save({"tables": tables[: centres.size], "centres": centres.reshape(-1, PRIOR_LATENTS)}),
    )
    tensors = {"tables": tables, "narrower": np.arange(qualities, dtype=np.int16)}
    for group in range(PRIOR_LATENTS):
        for layer, (inputs, outputs) in enumerate(((group, 3), (3, 3), (3, 2))):
            at = f"groups.{group}.{layer}"
            tensors[f"{at}.weights"] = np.arange(inputs * outputs, dtype=np.int8).reshape(inputs, outputs)
            tensors[f"{at}.bias"] = np.full((1 if layer else qualities, outputs), 100, np.int32)
            tensors[f"{at}.shift"] = np.full(outputs, 2, np.uint8)
    yield "network.safetensors", save(tensors)


def bundles() -> Iterator[tuple[str, bytes]]:
    """Yield bundles for 4x4 images and two latents, with each kind of prior and with none, with real operators.

    They contain golden vectors. One more has a graph with a tensor that points to another file, under a 33-bit
    tag, and one more is for RGB images.
    """
    graphs = tuple(make(_SIDE, PRIOR_LATENTS) for make in _MAKERS)
    files = dict(zip(GRAPH_NAMES, graphs, strict=True))
    images = np.arange(2 * _SIDE * _SIDE, dtype=np.uint8).reshape(2, _SIDE, _SIDE) * 7
    for name, prior in (*priors(), ("no-prior", b"")):
        held = files | ({PRIOR_NAME: prior} if prior else {})
        with tempfile.TemporaryDirectory() as folder:
            for file, content in with_manifest(held, PRIOR_LATENTS, _SIDE).items():
                (Path(folder) / file).write_bytes(content)
            golden = save(golden_vectors(read_bundle(Path(folder)), images))
        yield (
            f"{name.split('.')[0]}.zip",
            zip_bundle(with_manifest(held | {GOLDEN_NAME: golden}, PRIOR_LATENTS, _SIDE)),
        )
    lifted = b"\xea\x80\x80\x80\x10\0"  # field 13 of a tensor, to a parser that cuts the tag to 32 bits
    external = b"\x3a\x08\x2a" + bytes([len(lifted)]) + lifted
    disguised = files | {GRAPH_NAMES[0]: files[GRAPH_NAMES[0]] + external}
    yield "tag-of-33-bits.zip", zip_bundle(with_manifest(disguised, PRIOR_LATENTS, _SIDE))
    yield "rgb.zip", _rgb_bundle()


def _rgb_bundle() -> bytes:
    """Return a bundle of a random model for 8x8 RGB images, as `export` writes it: some layers stay in float."""
    torch.manual_seed(0)
    network = network_of(Autoencoder(ModelConfig(_RGB_SIDE, _RGB_SIDE, 3, PRIOR_LATENTS, (2, 3))))
    network = replace(network, decoder=rewrite_decoder(network.decoder))
    images = torch.arange(4 * 3 * _RGB_SIDE**2).reshape(4, _RGB_SIDE, _RGB_SIDE, 3).mul(7).to(torch.uint8)
    steps = torch.full((PRIOR_LATENTS,), 0.5)
    int8 = Int8Network(network, images, steps, int8_target("avx2"), "min-max")
    image, latent = ("image", np.float32, (3, _RGB_SIDE, _RGB_SIDE)), ("latent", np.float32, (PRIOR_LATENTS,))
    made = int8.graphs(frozenset({"encoder.conv1", "encoder.conv2", "decoder.conv2"}))
    made["encoder.fp32.onnx"] = float_graph(network.encoder, image, latent)
    made["decoder.fp32.onnx"] = float_graph(network.decoder, latent, image)
    files = {name: graph.SerializeToString(deterministic=True) for name, graph in made.items()}
    files[PRIOR_NAME] = dict(priors())["tables.safetensors"]
    return zip_bundle(with_manifest(files, PRIOR_LATENTS, _RGB_SIDE, channels=3))


def graphs() -> Iterator[tuple[str, bytes]]:
    """Yield the same graphs for 28x28 images and 64 latents."""
    yield "encoder-int8.onnx", _int8_encoder(GRAPH_SIDE, GRAPH_LATENTS)
    yield "decoder-int8.onnx", _int8_decoder(GRAPH_SIDE, GRAPH_LATENTS)
    yield "encoder-float.onnx", _float_encoder(GRAPH_SIDE, GRAPH_LATENTS)
    yield "encoder-padded.onnx", _float_encoder(GRAPH_SIDE, GRAPH_LATENTS, padding=4)
    yield "decoder-float.onnx", _float_decoder(GRAPH_SIDE, GRAPH_LATENTS)
    yield "decoder-rewritten.onnx", _rewritten_decoder().SerializeToString(deterministic=True)


def gradients() -> Iterator[tuple[str, bytes]]:
    """Yield the graph of the gradient of `decoder-rewritten.onnx`."""
    yield "gradient.onnx", gradient_graph(_rewritten_decoder()).SerializeToString(deterministic=True)


def _rewritten_decoder() -> onnx.ModelProto:
    """Return a decoder as `export` writes it, of a random model with one channel in each layer."""
    torch.manual_seed(0)
    layers = network_of(Autoencoder(ModelConfig(GRAPH_SIDE, GRAPH_SIDE, 1, GRAPH_LATENTS, (1, 1, 1)))).decoder
    image, latent = ("image", np.float32, (1, GRAPH_SIDE, GRAPH_SIDE)), ("latent", np.float32, (GRAPH_LATENTS,))
    return float_graph(rewrite_decoder(layers), latent, image)


def _weights(*shape: int) -> NDArray[np.float64]:
    return np.linspace(-0.5, 0.5, int(np.prod(shape))).reshape(shape)


def _float_encoder(side: int, latents: int, padding: int = 0) -> bytes:
    graph = GraphBuilder(("image", np.float32, (1, side, side)))
    if padding:
        graph.node("Pad", "e", graph.constant("pads", [0] * 6 + [padding, 0], np.int64), mode="edge")
        graph.slice("k", (padding,), (padding + side,), (2,))
    graph.node("Conv", "c", *_layer(graph, "c", 2, 1, 3, 3), pads=[1, 1, 1, 1])
    graph.node("Relu", "r")
    while side >= _SMALL_SIDE:
        side //= 2
        graph.node("MaxPool", f"p{side}", kernel_shape=[2, 2], strides=[2, 2])
    graph.node("Flatten", "f")
    graph.node("Gemm", "g", *_layer(graph, "g", latents, 2 * side**2), transB=1)
    return graph.finish(("latent", np.float32, (latents,))).SerializeToString()


def _float_decoder(side: int, latents: int) -> bytes:
    graph = GraphBuilder(("latent", np.float32, (latents,)))
    graph.node("Gemm", "g", *_layer(graph, "g", (side // 4) ** 2, latents), transB=1)
    graph.reshape("s", (1, side // 4, side // 4))
    graph.node("Resize", "u", "", graph.constant("scales", [1, 1, 2, 2], np.float32), **_UPSAMPLING)
    graph.node("Conv", "c", *_layer(graph, "c", 4, 1, 3, 3), pads=[1, 1, 1, 1])
    graph.node("DepthToSpace", "d", blocksize=2, mode="DCR")
    graph.node("Sigmoid", "i")
    return graph.finish(("image", np.float32, (1, side, side))).SerializeToString()


def _int8_encoder(side: int, latents: int) -> bytes:
    graph = GraphBuilder(("image", np.uint8, (1, side, side)))
    levels = graph.constant("s", 0.1, np.float32), graph.constant("z", 0, np.uint8)
    graph.reshape("n", (side, side, 1))
    *weights, bias = _int8_layer(graph, "c", 2, 1, 3, 3)
    graph.node(
        "QLinearConv", "c", *levels, *weights, *levels, bias, domain=MICROSOFT, channels_last=1, pads=[1] * 4
    )
    while side >= _SMALL_SIDE:
        side //= 2
        graph.node("NhwcMaxPool", f"p{side}", domain=MICROSOFT, kernel_shape=[2, 2], strides=[2, 2])
    inputs = 2 * side**2
    graph.reshape("f", (inputs,))
    layer = _int8_layer(graph, "g", latents, inputs)
    graph.constant(layer[0], _weights(inputs, latents) * 200, np.int8)  # this operator has its outputs last
    graph.node("QGemm", "g", *levels, *layer, domain=MICROSOFT)
    return graph.finish(("latent", np.float32, (latents,))).SerializeToString()


def _int8_decoder(side: int, latents: int) -> bytes:
    graph = GraphBuilder(("latent", np.float32, (latents,)))
    levels = graph.constant("s", 0.1, np.float32), graph.constant("z", 0, np.uint8)
    graph.node("QuantizeLinear", "q", *levels)
    graph.reshape("n", (1, 1, latents))
    *weights, bias = _int8_layer(graph, "g", (side // 2) ** 2, latents, 1, 1)
    graph.node("QLinearConv", "g", *levels, *weights, *levels, bias, domain=MICROSOFT, channels_last=1)
    graph.reshape("h", (side // 2, side // 2, 1))
    graph.node("Resize", "u", "", graph.constant("scales", [1, 2, 2, 1], np.float32), **_UPSAMPLING)
    graph.reshape("r", (side, side))
    graph.node("Transpose", "t", perm=[0, 2, 1])
    graph.node("QLinearSigmoid", "i", *levels * 2, domain=MICROSOFT)
    graph.reshape("o", (1, side, side))
    return graph.finish(("image", np.uint8, (1, side, side))).SerializeToString()


def _layer(graph: GraphBuilder, name: str, *shape: int) -> list[str]:
    """Add weights, and a bias per element of their first dimension."""
    weights = graph.constant(f"{name}.weight", _weights(*shape), np.float32)
    return [weights, graph.constant(f"{name}.bias", np.zeros(shape[0]), np.float32)]


def _int8_layer(graph: GraphBuilder, name: str, *shape: int) -> list[str]:
    """Add int8 weights, a scale and a zero point per element of their first dimension, and the bias."""
    return [
        graph.constant(f"{name}.weight", _weights(*shape) * 200, np.int8),
        graph.constant(f"{name}.scale", np.full(shape[0], 0.1), np.float32),
        graph.constant(f"{name}.zero_point", np.zeros(shape[0]), np.int8),
        graph.constant(f"{name}.bias", np.ones(shape[0]), np.int32),
    ]


_MAKERS = (_int8_encoder, _int8_decoder, _float_encoder, _float_decoder)
