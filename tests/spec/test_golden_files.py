"""The golden files of all versions of the .fmae format, packets and bare payloads are read; they never change.

A change of the meaning of these bytes, or of the bytes for these symbols, needs a new version, and these files
stay readable. They have their own small priors, so a new default bundle changes nothing here.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fmae_edge.runtime.entropy.image_stream import add_image, end_stream, read_stream, stream_images
from fmae_edge.runtime.entropy.prior import read_prior
from fmae_edge.runtime.entropy.symbol_coder import decode_symbols, encode_symbols
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import pack_many, pack_one, unpack
from fmae_edge.runtime.format.lossless import decode_lossless
from fmae_edge.runtime.format.packet import PacketFrame, pack_packet, unpack_packet

GOLDEN_FOLDER = Path(__file__).parents[2] / "spec/golden"
GOLDEN = {version: json.loads((GOLDEN_FOLDER / f"format-{version}/files.json").read_text()) for version in (1, 2)}
LOSSLESS = json.loads((GOLDEN_FOLDER / "format-3/files.json").read_text())["files"]
BUNDLE, LATENTS, STEPS = (GOLDEN[1][key] for key in ("bundle_id", "latents", "steps"))
FILES = [
    pytest.param(version, file, id=f"{version}-{file['prior']}-{file['quality']}")
    for version, golden in GOLDEN.items()
    for file in golden["files"]
]


PACKETS = json.loads((GOLDEN_FOLDER / "packets/files.json").read_text())


@cache
def golden_prior(name):
    content = (GOLDEN_FOLDER / f"format-1/{name}.safetensors").read_bytes()
    return read_prior(content, LATENTS, tuple(STEPS), name)


@pytest.mark.parametrize(("version", "golden"), FILES)
def test_golden_files(version, golden):
    prior = golden_prior(golden["prior"])
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


def test_golden_bare_payloads():
    for golden in PACKETS["payloads"]:
        prior, quality = golden_prior(golden["prior"]), golden["quality"] - 1
        payload = bytes.fromhex(golden["payload"])
        assert decode_symbols(prior, [payload], LATENTS, quality)[0].tolist() == golden["symbols"]
        assert encode_symbols(prior, np.array([golden["symbols"]]), quality) == [payload]


@pytest.mark.parametrize("golden", PACKETS["packets"], ids=lambda packet: f"{packet['prior']}-{packet['first']}")
def test_golden_packets(golden):
    prior, content = golden_prior(golden["prior"]), bytes.fromhex(golden["packet"])
    frame = unpack_packet(content, BUNDLE)
    read = read_stream(prior, frame.message, LATENTS, frame.quality or None, 255)
    assert frame.first == golden["first"]
    assert (list(read.qualities), read.ends_set) == (golden["qualities"], golden["ends_set"])
    assert read.symbols.tolist() == golden["symbols"]
    message = None
    for row, quality in zip(read.symbols, read.qualities, strict=True):
        message = add_image(message, stream_images(prior, row[None], quality, not frame.quality)[0])
    written = PacketFrame(frame.first, frame.quality, end_stream(message, read.ends_set))
    assert pack_packet(written, BUNDLE) == content
    with pytest.raises(InputError, match="its check code does not match"):
        unpack_packet(content, "00" * 8)


@pytest.mark.parametrize("golden", PACKETS["packets"], ids=lambda packet: f"{packet['prior']}-{packet['first']}")
def test_every_flipped_bit_of_a_golden_packet_is_detected(golden):
    content = bytes.fromhex(golden["packet"])
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError, match="its check code does not match"):
            unpack_packet(changed, BUNDLE)
