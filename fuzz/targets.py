"""What is fuzzed: for each kind of file that fmae-edge reads, all that is done with one."""

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from fmae_edge import Codec
from fmae_edge.cli.doctor import _bundle as diagnose_bundle
from fmae_edge.data.image_file import load_gray
from fmae_edge.runtime.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.fmae_file import unpack
from fmae_edge.runtime.graphs import PRECISIONS
from fmae_edge.runtime.latent_file import load_latents
from fmae_edge.runtime.manifest import MANIFEST_NAME, Manifest
from fmae_edge.runtime.prior import Prior, read_prior
from fmae_edge.runtime.symbol_coder import decode_symbols
from fuzz.mutators import (
    Mutator,
    mend_fmae,
    mend_manifest,
    mend_npy,
    mend_png,
    mended,
    mutate_bundle,
    mutate_json,
    mutate_safetensors,
    unzip_bundle,
)

CORPUS = Path(__file__).parent / "corpus"
PRIOR_LATENTS = 2  # of the priors in the corpus
_GOLDEN_FOLDER = Path(__file__).parent.parent / "tests" / "data" / "format-1"
_GOLDEN = json.loads((_GOLDEN_FOLDER / "files.json").read_text())
_DEFAULT_ID = Manifest.from_json((DEFAULT_BUNDLE / MANIFEST_NAME).read_bytes(), "default").bundle_id
_SIDE_BY_SIDE = 8  # so many payloads are decoded in numpy, fewer one by one
_MOST_IMAGES = 16  # decoded of one input: a stack of empty payloads may have a million
_MOST_PIXELS = 1 << 16


@dataclass(frozen=True)
class Target:
    """One kind of input: `run` may raise FmaeError and nothing else, whatever the bytes."""

    run: Callable[[bytes], None]
    mutate: Mutator
    max_bytes: int


@cache
def _codec() -> Codec:
    return Codec(threads=1)


def read_fmae(content: bytes) -> None:
    """Read a .fmae file with the default bundle, as the codec and the command line do."""
    codec = _codec()
    codec.names(content)
    if len(unpack(content, _DEFAULT_ID).payloads) > _MOST_IMAGES:
        codec.decompress(content, index=_MOST_IMAGES)
    else:
        assert codec.decompress(content).shape[-2:] == (28, 28)
        codec.symbols(content)


@cache
def _golden_prior(name: str) -> Prior:
    content = (_GOLDEN_FOLDER / f"{name}.safetensors").read_bytes()
    return read_prior(content, _GOLDEN["latents"], tuple(_GOLDEN["steps"]), name)


def read_golden_fmae(content: bytes) -> None:
    """Read a .fmae file of the golden files' bundle, and decode the symbols with both its priors."""
    file = unpack(content, _GOLDEN["bundle_id"])
    for name in ("network", "tables"):
        _decode_alike(_golden_prior(name), file.payloads[:_MOST_IMAGES], _GOLDEN["latents"], file.quality - 1)


def _decode_alike(prior: Prior, payloads: tuple[bytes, ...], latents: int, quality: int) -> None:
    """Decode payloads one by one and side by side, which must be the same."""
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
    """Read an image file as `fmae-edge compress` does, without and with `--fit resize`."""
    for fit in ("resize", None):
        pixels, _ = load_gray(content, "fuzz", (28, 28), fit)
        assert pixels.shape == (28, 28)
        assert pixels.dtype == np.uint8


def read_manifest(content: bytes) -> None:
    """Read a manifest, and write it again."""
    manifest = Manifest.from_json(content, "fuzz")
    assert Manifest.from_json(manifest.to_json().encode(), "fuzz") == manifest


def read_prior_file(content: bytes) -> None:
    """Read a prior, and decode payloads with it."""
    prior = read_prior(content, PRIOR_LATENTS, tuple(_GOLDEN["steps"]), "fuzz")
    for quality in (0, len(_GOLDEN["steps"]) - 1):
        _decode_alike(prior, (b"", b"\xff" * 8, bytes(range(8))), PRIOR_LATENTS, quality)


def read_bundle_folder(content: bytes) -> None:
    """Make a folder of a zipped bundle, and use it for what doctor and a codec do, in both precisions."""
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


TARGETS = {
    "fmae": Target(read_fmae, mended(partial(mend_fmae, bundle_id=_DEFAULT_ID)), 1024),
    "fmae-golden": Target(read_golden_fmae, mended(partial(mend_fmae, bundle_id=_GOLDEN["bundle_id"])), 1024),
    "npy": Target(read_npy, mended(mend_npy), 1024),
    "image": Target(read_image, mended(mend_png), 8192),
    "manifest": Target(read_manifest, mended(mend_manifest, mutate_json), 4096),
    "prior": Target(read_prior_file, mutate_safetensors, 8192),
    "bundle": Target(read_bundle_folder, mutate_bundle, 16384),
}
