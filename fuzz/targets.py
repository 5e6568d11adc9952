"""The targets of the fuzzer: everything that fmae-edge does with each kind of file."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from fmae_edge import Codec
from fmae_edge.data.image_file import load_image
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, Bundle
from fmae_edge.runtime.bundle.manifest import (
    DECODER_NAME,
    GRADIENT_NAME,
    GRAPH_NAMES,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
)
from fmae_edge.runtime.diagnosis import diagnose_bundle
from fmae_edge.runtime.engine.graphs import PRECISIONS, Graphs
from fmae_edge.runtime.entropy.prior import read_prior
from fmae_edge.runtime.format.npy_file import load_latents
from fuzz.containers import mutate_image
from fuzz.fmae_targets import (
    GOLDEN,
    MOST_IMAGES,
    decode_alike,
    default_codec,
    read_bare,
    read_fmae,
    read_golden_fmae,
    read_packet,
)
from fuzz.headers import mutate_fmae, mutate_npy, mutate_packet
from fuzz.mutators import (
    Change,
    Mutator,
    mutate_bundle,
    mutate_bytes,
    mutate_json,
    mutate_safetensors,
    repair_manifest,
    repaired,
    unzip_bundle,
    with_manifest,
)
from fuzz.tiff import mutate_tiff

CORPUS = Path(__file__).parent / "corpus"
PRIOR_LATENTS = 2  # of the priors in the corpus
GRAPH_LATENTS, GRAPH_SIDE = 64, 28  # of the graphs in the corpus
_DEFAULT_MANIFEST = Manifest.from_json((DEFAULT_BUNDLE / MANIFEST_NAME).read_bytes(), "default")
_DEFAULT_ID = _DEFAULT_MANIFEST.bundle_id
_GOLDEN_ID: str = GOLDEN["bundle_id"]
_MOST_PIXELS = 1 << 16


@dataclass(frozen=True)
class Target:
    """One kind of input. `run` may raise FmaeError but no other error, for any bytes.

    Inputs of more than `small_bytes` are tried, but no further changes start from them. `share` of a thousand
    inputs are of this kind, so that all kinds take about the same time.
    """

    run: Callable[[bytes], None]
    mutate: Mutator
    small_bytes: int
    max_bytes: int
    share: int


def read_npy(content: bytes) -> None:
    """Read a .npy file of latents and decode them."""
    latents = load_latents(content, 64, "fuzz")
    default_codec().decode(latents if latents.ndim == 1 else latents[:MOST_IMAGES])


def read_image(content: bytes) -> None:
    """Read an image file as `fmae-edge compress` does, for gray and RGB, with and without `--fit`."""
    for channels, fit in ((1, "resize"), (3, "crop"), (3, "pad"), (1, None)):
        pixels, _ = load_image(content, "fuzz", (28, 28), channels, fit)
        assert pixels.shape == ((28, 28) if channels == 1 else (28, 28, 3))
        assert pixels.dtype == np.uint8


def read_manifest(content: bytes) -> None:
    """Read a manifest, and write it again."""
    manifest = Manifest.from_json(content, "fuzz")
    assert Manifest.from_json(manifest.to_json().encode(), "fuzz") == manifest


def read_prior_file(content: bytes) -> None:
    """Read a prior, and decode payloads with it."""
    prior = read_prior(content, PRIOR_LATENTS, tuple(GOLDEN["steps"]), "fuzz")
    for quality in (0, len(GOLDEN["steps"]) - 1):
        decode_alike(prior, (b"", b"\xff" * 8, bytes(range(8))), PRIOR_LATENTS, quality)


def read_bundle_folder(content: bytes) -> None:
    """Unpack a zipped bundle, and use it as doctor and a codec do, in both precisions."""
    with tempfile.TemporaryDirectory() as folder:
        for name, file in unzip_bundle(content).items():
            (Path(folder) / name).write_bytes(file)
        diagnose_bundle(Path(folder))
        for precision in PRECISIONS:
            codec = Codec(folder, precision=precision, threads=1)
            codec.decode(np.zeros(codec.manifest.latent_size, np.float32))
            if math.prod(codec.manifest.image_shape) > _MOST_PIXELS:
                continue
            image = np.full(codec.manifest.image_shape, 99, np.uint8)
            codec.decode(codec.encode(image, dtype="int8"))
            codec.decode(codec.encode(image))
            codec.decompress(codec.compress(image, effort=1))


_GOOD_ENCODER, _GOOD_DECODER = ((CORPUS / "graph" / name) for name in ("encoder-float.onnx", "decoder-float.onnx"))


def read_graph(content: bytes) -> None:
    """Use a graph as the encoder or decoder of an otherwise valid bundle, with the right hashes."""
    encoder, decoder = _GOOD_ENCODER.read_bytes(), _GOOD_DECODER.read_bytes()
    if content.rfind(b"latent") > content.rfind(b"image"):  # the output of the graph comes last
        encoder = content
    else:
        decoder = content
    graphs = dict(zip(GRAPH_NAMES, (encoder, decoder) * 2, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        for name, file in with_manifest(graphs, GRAPH_LATENTS, GRAPH_SIDE).items():
            (Path(folder) / name).write_bytes(file)
        codec = Codec(folder, threads=1)
        if content is encoder:
            codec.encode(np.full((3, GRAPH_SIDE, GRAPH_SIDE), 99, np.uint8))
        else:
            codec.decode(np.ones((3, GRAPH_LATENTS), np.float32))


_GRADIENT_DECODER = CORPUS / "graph" / "decoder-rewritten.onnx"


def read_gradient(content: bytes) -> None:
    """Use a graph as the gradient of an otherwise valid bundle, with the right hashes."""
    files = {DECODER_NAME: _GRADIENT_DECODER.read_bytes(), GRADIENT_NAME: content}
    entries = {name: FileEntry.of(file) for name, file in files.items()}
    manifest = replace(_DEFAULT_MANIFEST, files=_DEFAULT_MANIFEST.files | entries)
    graphs = Graphs(Bundle(None, manifest, "", files), "fp32", threads=1)
    images = np.full((3, GRAPH_SIDE, GRAPH_SIDE), 99, np.uint8)
    graphs.error_gradient(np.ones((3, GRAPH_LATENTS), np.float32), images)


def _mutate_graph(content: bytes, change: Change, random: Random) -> bytes:
    from fuzz.graph_mutator import mutate_graph  # imported here, because onnx takes a second to import

    return mutate_graph(content, change, random)


_KB, _MB = 1 << 10, 1 << 20
TARGETS = {
    "fmae": Target(read_fmae, partial(mutate_fmae, bundle_id=_DEFAULT_ID), _KB, _MB, 70),
    "fmae-golden": Target(read_golden_fmae, partial(mutate_fmae, bundle_id=_GOLDEN_ID), _KB, _MB, 90),
    "packet": Target(read_packet, partial(mutate_packet, bundle_id=_GOLDEN_ID), _KB, 2 * _KB, 80),
    "bare": Target(read_bare, mutate_bytes, _KB, 2 * _KB, 60),
    "npy": Target(read_npy, mutate_npy, _KB, 4 * _KB, 200),
    "image": Target(read_image, mutate_image, 8 * _KB, 2 * _MB, 80),
    "tiff": Target(read_image, mutate_tiff, 8 * _KB, 2 * _MB, 80),
    "jpeg": Target(read_image, mutate_image, 8 * _KB, 2 * _MB, 80),
    "manifest": Target(read_manifest, repaired(repair_manifest, mutate_json), 4 * _KB, 64 * _KB, 110),
    "prior": Target(read_prior_file, mutate_safetensors, 8 * _KB, 64 * _KB, 120),
    "bundle": Target(read_bundle_folder, mutate_bundle, 16 * _KB, 2 * _MB, 10),
    "graph": Target(read_graph, _mutate_graph, 16 * _KB, 2 * _MB, 20),
    "gradient": Target(read_gradient, _mutate_graph, 16 * _KB, 2 * _MB, 20),
}
