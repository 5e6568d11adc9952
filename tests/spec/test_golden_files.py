"""The golden files of all versions of the .fmae format can be read; they are never written again.

A change of the meaning of these bytes, or of the bytes for these symbols, needs a new version, and these files
stay readable. They have their own small priors, so a new default bundle changes nothing here.
"""

import json

import numpy as np
import pytest

from fmae_edge.runtime.entropy.prior import read_prior
from fmae_edge.runtime.entropy.symbol_coder import decode_symbols, encode_symbols
from fmae_edge.runtime.format.fmae_file import pack_many, pack_one, unpack
from fmae_edge.runtime.format.lossless import decode_lossless
from tests.conftest import REPOSITORY

GOLDEN_FOLDER = REPOSITORY / "spec/golden"
GOLDEN = {version: json.loads((GOLDEN_FOLDER / f"format-{version}/files.json").read_text()) for version in (1, 2)}
LOSSLESS = json.loads((GOLDEN_FOLDER / "format-3/files.json").read_text())["files"]
BUNDLE, LATENTS, STEPS = (GOLDEN[1][key] for key in ("bundle_id", "latents", "steps"))
FILES = [
    pytest.param(version, file, id=f"{version}-{file['prior']}-{file['quality']}")
    for version, golden in GOLDEN.items()
    for file in golden["files"]
]


@pytest.mark.parametrize(("version", "golden"), FILES)
def test_golden_files(version, golden):
    content = (GOLDEN_FOLDER / f"format-1/{golden['prior']}.safetensors").read_bytes()
    prior = read_prior(content, LATENTS, tuple(STEPS), golden["prior"])
    file = unpack(bytes.fromhex(golden["content"]), BUNDLE)
    assert (file.version, file.quality, file.single) == (version, golden["quality"], golden["single"])
    assert file.names == (tuple(golden["names"]) if golden["names"] else None)
    symbols = np.array(golden["symbols"])
    np.testing.assert_array_equal(decode_symbols(prior, file.payloads, LATENTS, file.quality - 1), symbols)
    payloads = encode_symbols(prior, symbols, file.quality - 1)
    assert payloads == list(file.payloads)
    if file.single:
        written = pack_one(payloads[0], file.quality, BUNDLE)
    else:
        written = pack_many(payloads, file.quality, BUNDLE, golden["names"])
    assert written.hex() == golden["content"]


@pytest.mark.parametrize("golden", LOSSLESS, ids=range(len(LOSSLESS)))
def test_golden_files_of_version_3(golden):
    """What is lossless is only read: other versions of zlib and liblzma write other bytes for it."""
    prior = read_prior((GOLDEN_FOLDER / "format-1/network.safetensors").read_bytes(), LATENTS, tuple(STEPS), "")
    file = unpack(bytes.fromhex(golden["content"]), BUNDLE)
    assert (file.version, file.quality, file.single) == (3, 0, golden["single"])
    assert file.names == (tuple(golden["names"]) if golden["names"] else None)
    assert file.qualities.tolist() == [image["quality"] for image in golden["images"]]
    for (quality, payload), image in zip(file.coded(), golden["images"], strict=True):
        if quality:
            symbols = np.array([image["symbols"]])
            np.testing.assert_array_equal(decode_symbols(prior, [payload], LATENTS, quality - 1), symbols)
            assert encode_symbols(prior, symbols, quality - 1) == [payload]
        else:
            decoded = decode_lossless(payload, tuple(golden["shape"]))
            np.testing.assert_array_equal(decoded, np.array(image["pixels"], np.uint8))
    if file.single:
        assert pack_one(file.payloads[0], 0, BUNDLE).hex() == golden["content"]
    else:
        assert pack_many(file.payloads, 0, BUNDLE, golden["names"]).hex() == golden["content"]


def test_the_golden_files_have_lossless_images_stored_in_every_way():
    payloads = [unpack(bytes.fromhex(file["content"]), BUNDLE).payloads[0] for file in LOSSLESS if file["single"]]
    gray = {compressor + prediction for compressor in (0, 8, 16) for prediction in range(4)}
    assert {payload[0] for payload in payloads} == gray | {4 + kind for kind in gray}
