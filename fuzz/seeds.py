"""Write the first inputs of the corpus anew: `python -m fuzz.seeds`. What fuzzing found there stays.

Small files of every kind that the readers know. A new default bundle needs no new ones: the fuzzer writes its id
into them. Needs the `train` extra, for the graphs.
"""

import io
import json
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes
from fmae_edge.export.graph_builder import MICROSOFT, GraphBuilder
from fmae_edge.runtime.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.latent_file import dump_latents
from fmae_edge.runtime.manifest import (
    GOLDEN_NAME,
    GRAPH_NAMES,
    MANIFEST_NAME,
    PRIOR_NAME,
    FileEntry,
    Manifest,
    Qualities,
)
from fmae_edge.runtime.prior import ESCAPE, FRACTIONS
from fmae_edge.runtime.self_test import golden_vectors
from fuzz.mutators import mend_manifest, zip_bundle
from fuzz.targets import _GOLDEN, CORPUS, PRIOR_LATENTS

_SIDE = 4  # of the images of the bundle in the corpus
_ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))


def fmae_files(images: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Yield files of the default bundle: one image, stacks, with names, of nothing."""
    codec = Codec()
    yield "one.fmae", codec.compress(images[0])
    yield "one-of-9.fmae", codec.compress(images[1], quality=9, effort=1)
    yield "stack.fmae", codec.compress_batch(images[:9], quality=1)
    yield "names.fmae", codec.compress_batch(images[:3], names=["shirt", "Stiefel", "\u9774"])
    yield "none.fmae", codec.compress_batch(images[:0])
    yield "none-named.fmae", codec.compress_batch(images[:0], names=[])


def golden_fmae_files() -> Iterator[tuple[str, bytes]]:
    """Yield the golden files."""
    for file in _GOLDEN["files"]:
        kind = "one" if file["single"] else "names" if file["names"] else "stack"
        yield f"{file['prior']}-{file['quality']}-{kind}.fmae", bytes.fromhex(file["content"])


def npy_files(images: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Yield latents in each dtype, of one image and of two, in both orders of bytes and of axes."""
    codec = Codec()
    for dtype in ("float32", "float16", "int8"):
        yield f"{dtype}.npy", dump_latents(codec.encode(images[0], dtype=dtype))
        yield f"{dtype}-2.npy", dump_latents(codec.encode(images[:2], dtype=dtype))
    yield "big-endian.npy", dump_latents(codec.encode(images[0], dtype="float16").astype(">f2"))
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(codec.encode(images[:2], dtype="int8")))
    yield "fortran.npy", stream.getvalue()
    yield "none.npy", dump_latents(np.empty((0, 64), np.float32))


def image_files(image: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Yield PNG files of each kind, and one of each other format that the command line reads."""
    gray = Image.fromarray(image)
    yield "gray.png", png_bytes(image)
    yield "interlaced.png", _interlaced(image)
    rgb = gray.convert("RGB")
    rgba = rgb.copy()
    rgba.putalpha(gray)
    kinds = {
        "one-bit": gray.convert("1"),
        "palette": rgb.quantize(16),
        "gray-16": Image.fromarray(image.astype(np.uint16) * 257),
        "gray-alpha": rgba.convert("LA"),
        "rgb": rgb.quantize(8).convert("RGB"),
        "rgba": rgba.quantize(8).convert("RGBA"),
        "small": gray.resize((5, 3)),
    }
    for name, kind in kinds.items():
        yield f"{name}.png", _saved(kind, "PNG", optimize=True)
    yield "palette-transparent.png", _saved(rgb.quantize(16), "PNG", transparency=0)
    yield "gray-transparent.png", _saved(gray, "PNG", transparency=0)
    yield "text.png", _saved(gray.resize((5, 3)), "PNG", dpi=(72, 72), exif=Image.Exif(), icc_profile=b"icc")
    frames = [gray.resize((7, 7)), gray.resize((7, 7)).rotate(90)]
    yield "animated.png", _saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    for kind in ("JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"):
        yield f"gray.{kind.lower()}", _saved(gray, kind)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _interlaced(image: NDArray[np.uint8]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    passes = (image[top::down, left::right] for top, down, left, right in _ADAM7)
    rows = b"".join(b"\0" + row.tobytes() for one in passes for row in one)
    header = struct.pack(">IIBBBBB", *image.shape[::-1], 8, 0, 0, 0, 1)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def manifests() -> Iterator[tuple[str, bytes]]:
    """Yield the default bundle's manifest with most of its record cut, and as formats 2 and 1 had it."""
    content = json.loads((DEFAULT_BUNDLE / MANIFEST_NAME).read_bytes())
    content["record"] = {"tools": content["record"]["tools"]}
    yield "format-3.json", mend_manifest(json.dumps(content).encode())
    del content["qualities"]
    for version in (2, 1):
        content["format_version"] = version
        yield f"format-{version}.json", mend_manifest(json.dumps(content).encode())


def priors() -> Iterator[tuple[str, bytes]]:
    """Yield a prior of tables and one of networks, both for two latents, a group each."""
    qualities = len(_GOLDEN["steps"])
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
    """Yield bundles of 4x4 images and two latents, with either prior and with none, of real operators.

    They carry golden vectors. One more has a graph whose tensor points to another file, under a tag of 33 bits.
    """
    graphs = (_int8_encoder(), _int8_decoder(), _float_encoder(), _float_decoder())
    files = dict(zip(GRAPH_NAMES, graphs, strict=True))
    images = np.arange(2 * _SIDE * _SIDE, dtype=np.uint8).reshape(2, _SIDE, _SIDE) * 7
    for name, prior in (*priors(), ("no-prior", b"")):
        held = files | ({PRIOR_NAME: prior} if prior else {})
        with tempfile.TemporaryDirectory() as folder:
            for file, content in _with_manifest(held).items():
                (Path(folder) / file).write_bytes(content)
            golden = save(golden_vectors(read_bundle(Path(folder)), images))
        yield f"{name.split('.')[0]}.zip", zip_bundle(_with_manifest(held | {GOLDEN_NAME: golden}))
    lifted = b"\xea\x80\x80\x80\x10\0"  # field 13 of a tensor, to a parser that cuts the tag to 32 bits
    external = b"\x3a\x08\x2a" + bytes([len(lifted)]) + lifted
    disguised = files | {GRAPH_NAMES[0]: files[GRAPH_NAMES[0]] + external}
    yield "tag-of-33-bits.zip", zip_bundle(_with_manifest(disguised))


def _with_manifest(files: dict[str, bytes]) -> dict[str, bytes]:
    qualities = Qualities(0.01, tuple(_GOLDEN["steps"]), (0.001,) * len(_GOLDEN["steps"]))
    manifest = Manifest(
        name="small",
        image_channels=1,
        image_height=_SIDE,
        image_width=_SIDE,
        latent_steps=(0.5,) * PRIOR_LATENTS,
        files={name: FileEntry.of(content) for name, content in files.items()},
        record={"quantisation": {"int8_target": "avx2"}},
        qualities=qualities if PRIOR_NAME in files else None,
    )
    return {MANIFEST_NAME: manifest.to_json().encode(), **files}


def _weights(*shape: int) -> NDArray[np.float64]:
    return np.linspace(-0.5, 0.5, int(np.prod(shape))).reshape(shape)


def _float_encoder() -> bytes:
    graph = GraphBuilder(("image", np.float32, (1, _SIDE, _SIDE)))
    graph.node("Conv", "c", *_layer(graph, "c", 2, 1, 3, 3), pads=[1, 1, 1, 1])
    graph.node("Relu", "r")
    graph.node("MaxPool", "p", kernel_shape=[2, 2], strides=[2, 2])
    graph.node("Flatten", "f")
    graph.node("Gemm", "g", *_layer(graph, "g", PRIOR_LATENTS, 8), transB=1)
    return graph.finish(("latent", np.float32, (PRIOR_LATENTS,))).SerializeToString()


def _float_decoder() -> bytes:
    graph = GraphBuilder(("latent", np.float32, (PRIOR_LATENTS,)))
    graph.node("Gemm", "g", *_layer(graph, "g", 16, PRIOR_LATENTS), transB=1)
    graph.reshape("s", (4, 2, 2))
    graph.node("DepthToSpace", "d", blocksize=2, mode="DCR")
    graph.node("Sigmoid", "i")
    return graph.finish(("image", np.float32, (1, _SIDE, _SIDE))).SerializeToString()


def _int8_encoder() -> bytes:
    graph = GraphBuilder(("image", np.uint8, (1, _SIDE, _SIDE)))
    levels = graph.constant("s", 0.1, np.float32), graph.constant("z", 0, np.uint8)
    graph.reshape("n", (_SIDE, _SIDE, 1))
    *weights, bias = _int8_layer(graph, "c", 2, 1, 3, 3)
    graph.node(
        "QLinearConv", "c", *levels, *weights, *levels, bias, domain=MICROSOFT, channels_last=1, pads=[1] * 4
    )
    graph.node("NhwcMaxPool", "p", domain=MICROSOFT, kernel_shape=[2, 2], strides=[2, 2])
    graph.reshape("f", (8,))
    layer = _int8_layer(graph, "g", PRIOR_LATENTS, 8)
    graph.constant(layer[0], _weights(8, PRIOR_LATENTS) * 200, np.int8)  # this operator has the outputs last
    graph.node("QGemm", "g", *levels, *layer, domain=MICROSOFT)
    return graph.finish(("latent", np.float32, (PRIOR_LATENTS,))).SerializeToString()


def _int8_decoder() -> bytes:
    graph = GraphBuilder(("latent", np.float32, (PRIOR_LATENTS,)))
    levels = graph.constant("s", 0.1, np.float32), graph.constant("z", 0, np.uint8)
    graph.node("QuantizeLinear", "q", *levels)
    graph.reshape("n", (1, 1, PRIOR_LATENTS))
    *weights, bias = _int8_layer(graph, "g", 16, PRIOR_LATENTS, 1, 1)
    graph.node("QLinearConv", "g", *levels, *weights, *levels, bias, domain=MICROSOFT, channels_last=1)
    graph.reshape("r", (_SIDE, _SIDE))
    graph.node("Transpose", "t", perm=[0, 2, 1])
    graph.node("QLinearSigmoid", "i", *levels * 2, domain=MICROSOFT)
    graph.reshape("o", (1, _SIDE, _SIDE))
    return graph.finish(("image", np.uint8, (1, _SIDE, _SIDE))).SerializeToString()


def _layer(graph: GraphBuilder, name: str, *shape: int) -> list[str]:
    """Add weights and a bias for each of the first dimension."""
    weights = graph.constant(f"{name}.weight", _weights(*shape), np.float32)
    return [weights, graph.constant(f"{name}.bias", np.zeros(shape[0]), np.float32)]


def _int8_layer(graph: GraphBuilder, name: str, *shape: int) -> list[str]:
    """Add int8 weights, a scale and a zero point for each of the first dimension, and the bias."""
    return [
        graph.constant(f"{name}.weight", _weights(*shape) * 200, np.int8),
        graph.constant(f"{name}.scale", np.full(shape[0], 0.1), np.float32),
        graph.constant(f"{name}.zero_point", np.zeros(shape[0]), np.int8),
        graph.constant(f"{name}.bias", np.ones(shape[0]), np.int32),
    ]


def main() -> None:
    """Write all first inputs."""
    samples = sorted((CORPUS.parent.parent / "samples").glob("*.png"))
    images = np.stack([np.asarray(Image.open(path)) for path in samples])
    seeds = {
        "fmae": fmae_files(images),
        "fmae-golden": golden_fmae_files(),
        "npy": npy_files(images),
        "image": image_files(images[0]),
        "manifest": manifests(),
        "prior": priors(),
        "bundle": bundles(),
    }
    for target, files in seeds.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files:
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
