"""The golden files of versions 1 and 2 of the .fmae format can be read; they are never written again.

A change of the meaning of these bytes, or of the bytes for these symbols, needs a new version, and these files
stay readable. They have their own small priors, so a new default bundle changes nothing here.
"""

import json

import numpy as np
import pytest

from fmae_edge.runtime.entropy.prior import read_prior
from fmae_edge.runtime.entropy.symbol_coder import decode_symbols, encode_symbols
from fmae_edge.runtime.format.fmae_file import pack_many, pack_one, unpack
from tests.conftest import REPOSITORY

GOLDEN_FOLDER = REPOSITORY / "spec/golden"
GOLDEN = {version: json.loads((GOLDEN_FOLDER / f"format-{version}/files.json").read_text()) for version in (1, 2)}
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
