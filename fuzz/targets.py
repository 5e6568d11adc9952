"""The targets of the fuzzer: everything that fmae-edge does with each kind of file."""

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random

import numpy as np

from fmae_edge import Codec
from fmae_edge.data.image_file import load_image
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.manifest import GRAPH_NAMES, MANIFEST_NAME, Manifest
from fmae_edge.runtime.engine.graphs import PRECISIONS
from fmae_edge.runtime.entropy.prior import Prior, read_prior
from fmae_edge.runtime.entropy.symbol_coder import decode_symbols
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import unpack
from fmae_edge.runtime.format.lossless import decode_lossless
from fmae_edge.runtime.format.npy_file import load_latents
from fmae_edge.runtime.self_test import diagnose_bundle
from fuzz.containers import mutate_image
from fuzz.headers import mutate_fmae, mutate_npy
from fuzz.mutators import (
    Change,
    Mutator,
    mutate_bundle,
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
_GOLDEN_FOLDER = Path(__file__).parents[1] / "spec" / "golden" / "format-1"
GOLDEN_3 = json.loads((_GOLDEN_FOLDER.parent / "format-3" / "files.json").read_text())
LOSSLESS_SHAPES = sorted({tuple(file["shape"]) for file in GOLDEN_3["files"]})
GOLDEN = json.loads((_GOLDEN_FOLDER / "files.json").read_text())
_DEFAULT_ID = Manifest.from_json((DEFAULT_BUNDLE / MANIFEST_NAME).read_bytes(), "default").bundle_id
_GOLDEN_ID: str = GOLDEN["bundle_id"]
_SIDE_BY_SIDE = 8  # from this many payloads on, numpy decodes them together
_MOST_IMAGES = 16  # images decoded per input; a stack of empty payloads may have a million
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


@cache
def _codec() -> Codec:
    return Codec(threads=1)


def read_fmae(content: bytes) -> None:
    """Read a .fmae file with the default bundle, as the codec and the command line do."""
    codec = _codec()
    info = codec.inspect(content)
    assert info.names is None or info.names == codec.names(content)
    if info.images > _MOST_IMAGES:
        assert codec.decompress(content, index=info.images - 1).shape == (28, 28)
    else:
        images = codec.decompress_batch(content, max_images=_MOST_IMAGES)
        assert images.shape == (info.images, 28, 28)
        assert len(list(codec.decompress_iter([content]))) == len(info.qualities) == info.images
        if info.quality:
            assert len(codec.symbols(content)) == info.images
        elif info.images:
            assert (codec.decompress(content, index=info.images - 1) == images[-1]).all()
    if info.names_error:
        codec.names(content)  # last, because the images can be decoded even if the names are refused


@cache
def _golden_prior(name: str) -> Prior:
    content = (_GOLDEN_FOLDER / f"{name}.safetensors").read_bytes()
    return read_prior(content, GOLDEN["latents"], tuple(GOLDEN["steps"]), name)


def read_golden_fmae(content: bytes) -> None:
    """Read a .fmae file of the golden files' bundle, and decode its symbols with both priors, or its pixels."""
    file = unpack(content, GOLDEN["bundle_id"])
    if not file.quality:
        for quality, payload in file.coded(file.payloads[:_MOST_IMAGES]):
            if quality:
                _decode_alike(_golden_prior("network"), (payload,), GOLDEN["latents"], quality - 1)
            else:
                _decode_pixels(payload)
        return
    for name in ("network", "tables"):
        _decode_alike(_golden_prior(name), file.payloads[:_MOST_IMAGES], GOLDEN["latents"], file.quality - 1)


def _decode_pixels(payload: bytes) -> None:
    """Decode a lossless image of one of the sizes in the golden files."""
    try:
        decode_lossless(payload, LOSSLESS_SHAPES[0])
    except InputError:
        decode_lossless(payload, LOSSLESS_SHAPES[1])


def _decode_alike(prior: Prior, payloads: tuple[bytes, ...], latents: int, quality: int) -> None:
    """Decode payloads one by one and all together. The results must be the same."""
    if payloads:
        several = payloads * -(-_SIDE_BY_SIDE // len(payloads))
        many = decode_symbols(prior, several, latents, quality)[: len(payloads)]
        few = np.concatenate([decode_symbols(prior, [payload], latents, quality) for payload in payloads])
        assert (many == few).all()


def read_npy(content: bytes) -> None:
    """Read a .npy file of latents and decode them."""
    latents = load_latents(content, 64, "fuzz")
    _codec().decode(latents if latents.ndim == 1 else latents[:_MOST_IMAGES])


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
        _decode_alike(prior, (b"", b"\xff" * 8, bytes(range(8))), PRIOR_LATENTS, quality)


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


def _mutate_graph(content: bytes, change: Change, random: Random) -> bytes:
    from fuzz.graph_mutator import mutate_graph  # imported here, because onnx takes a second to import

    return mutate_graph(content, change, random)


_KB, _MB = 1 << 10, 1 << 20
TARGETS = {
    "fmae": Target(read_fmae, partial(mutate_fmae, bundle_id=_DEFAULT_ID), _KB, _MB, 90),
    "fmae-golden": Target(read_golden_fmae, partial(mutate_fmae, bundle_id=_GOLDEN_ID), _KB, _MB, 110),
    "npy": Target(read_npy, mutate_npy, _KB, 4 * _KB, 250),
    "image": Target(read_image, mutate_image, 8 * _KB, 2 * _MB, 80),
    "tiff": Target(read_image, mutate_tiff, 8 * _KB, 2 * _MB, 80),
    "jpeg": Target(read_image, mutate_image, 8 * _KB, 2 * _MB, 80),
    "manifest": Target(read_manifest, repaired(repair_manifest, mutate_json), 4 * _KB, 64 * _KB, 130),
    "prior": Target(read_prior_file, mutate_safetensors, 8 * _KB, 64 * _KB, 150),
    "bundle": Target(read_bundle_folder, mutate_bundle, 16 * _KB, 2 * _MB, 10),
    "graph": Target(read_graph, _mutate_graph, 16 * _KB, 2 * _MB, 20),
}
