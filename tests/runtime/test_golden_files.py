"""Golden files hold version 1 of the .fmae format: written once, never again.

Whoever changes what these bytes mean, or which bytes are written for these symbols, makes a new version and
keeps reading this one. Their priors are small ones made for them, so a new default bundle changes nothing here.
"""

import json

import numpy as np
import pytest

from fmae_edge.runtime.fmae_file import pack_many, pack_one, unpack
from fmae_edge.runtime.prior import read_prior
from fmae_edge.runtime.symbol_coder import decode_symbols, encode_symbols
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "tests/data/format-1"
GOLDEN = json.loads((FOLDER / "files.json").read_text())
BUNDLE, LATENTS = GOLDEN["bundle_id"], GOLDEN["latents"]


@pytest.mark.parametrize("golden", GOLDEN["files"], ids=lambda file: f"{file['prior']}-{file['quality']}")
def test_golden_files(golden):
    content = (FOLDER / f"{golden['prior']}.safetensors").read_bytes()
    prior = read_prior(content, LATENTS, tuple(GOLDEN["steps"]), golden["prior"])
    file = unpack(bytes.fromhex(golden["content"]), BUNDLE)
    assert (file.quality, file.single) == (golden["quality"], golden["single"])
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
