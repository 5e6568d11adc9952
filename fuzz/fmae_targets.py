"""What the fuzzer does with .fmae files, packets and bare payloads: read them in every way, and compare."""

import json
from binascii import crc32
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from fmae_edge import Codec, FmaeError, InputError
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.entropy.image_stream import StreamContent, add_image, end_stream, read_stream, stream_images
from fmae_edge.runtime.entropy.prior import Prior, read_prior
from fmae_edge.runtime.entropy.symbol_coder import decode_symbols
from fmae_edge.runtime.format.fmae_file import unpack
from fmae_edge.runtime.format.lossless import decode_lossless
from fmae_edge.runtime.format.packet import MAX_PACKET_IMAGES, MAX_SET_IMAGES, pack_packet, unpack_packet

Item = TypeVar("Item")
_GOLDEN_FOLDER = Path(__file__).parents[1] / "spec" / "golden"
GOLDEN, GOLDEN_3, PACKETS = (
    json.loads((_GOLDEN_FOLDER / name / "files.json").read_text()) for name in ("format-1", "format-3", "packets")
)
_LOSSLESS_SHAPES = sorted({tuple(file["shape"]) for file in GOLDEN_3["files"]})
_SIDE_BY_SIDE = 8  # from this many payloads on, numpy decodes them together
MOST_IMAGES = 16  # images decoded per input; a stack of empty payloads may have a million


@cache
def default_codec() -> Codec:
    """Return the codec of the default bundle, on one thread."""
    return Codec(threads=1)


def read_fmae(content: bytes) -> None:
    """Read a .fmae file with the default bundle, as the codec and the command line do."""
    codec = default_codec()
    info = codec.inspect(content)
    assert info.names is None or info.names == codec.names(content)
    if info.images > MOST_IMAGES:
        assert codec.decompress(content, index=info.images - 1).shape == (28, 28)
    else:
        images = codec.decompress_batch(content, max_images=MOST_IMAGES)
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
    content = (_GOLDEN_FOLDER / "format-1" / f"{name}.safetensors").read_bytes()
    return read_prior(content, GOLDEN["latents"], tuple(GOLDEN["steps"]), name)


def read_golden_fmae(content: bytes) -> None:
    """Read a .fmae file of the golden files' bundle, and decode its symbols with both priors, or its pixels."""
    file = unpack(content, GOLDEN["bundle_id"])
    if not file.quality:
        for quality, payload in file.coded(file.payloads[:MOST_IMAGES]):
            if quality:
                decode_alike(_golden_prior("network"), (payload,), GOLDEN["latents"], quality - 1)
            else:
                _decode_pixels(payload)
        return
    for name in ("network", "tables"):
        decode_alike(_golden_prior(name), file.payloads[:MOST_IMAGES], GOLDEN["latents"], file.quality - 1)


def _decode_pixels(payload: bytes) -> None:
    """Decode a lossless image of one of the sizes in the golden files."""
    try:
        decode_lossless(payload, _LOSSLESS_SHAPES[0])
    except InputError:
        decode_lossless(payload, _LOSSLESS_SHAPES[1])


def decode_alike(prior: Prior, payloads: tuple[bytes, ...], latents: int, quality: int) -> None:
    """Decode payloads one by one and all together. The results must be the same."""
    if payloads:
        several = payloads * -(-_SIDE_BY_SIDE // len(payloads))
        many = decode_symbols(prior, several, latents, quality)[: len(payloads)]
        few = np.concatenate([decode_symbols(prior, [payload], latents, quality) for payload in payloads])
        assert (many == few).all()


def read_packet(content: bytes) -> None:
    """Read a packet of the golden files' bundle with both priors. Some are written again, or decoded to images.

    The default bundle decodes the images of the same message, which takes ten times as long.
    """
    frame = unpack_packet(content, GOLDEN["bundle_id"])
    if _one_of(range(8), content) == 0:
        _read_default_packet(pack_packet(frame, default_codec().manifest.bundle_id))
    most = min(MAX_PACKET_IMAGES, MAX_SET_IMAGES - frame.first)
    read: dict[str, StreamContent] = {}
    for name in ("network", "tables"):
        with suppress(InputError):
            message, latents = frame.message, GOLDEN["latents"]
            read[name] = read_stream(_golden_prior(name), message, latents, frame.quality or None, most)
            assert 1 <= len(read[name].symbols) == len(read[name].qualities) <= most
    if not read:
        raise InputError("refused with both priors")
    if _one_of(range(8), content) == 1:
        for name, images in read.items():
            _require_same_again(_golden_prior(name), images, frame.quality or None)


def _require_same_again(prior: Prior, images: StreamContent, quality: int | None) -> None:
    message = None
    for row, each in zip(images.symbols, images.qualities, strict=True):
        message = add_image(message, stream_images(prior, row[None], each, quality is None)[0])
    assert message is not None
    written = end_stream(message, images.ends_set)
    again = read_stream(prior, written, GOLDEN["latents"], quality, MAX_PACKET_IMAGES)
    assert (again.symbols == images.symbols).all()
    assert again[1:] == images[1:]


def _read_default_packet(content: bytes) -> None:
    """Read a packet of the default bundle, alone and with a packet that may be of another set."""
    packets = default_codec().packets
    with suppress(FmaeError):
        packet = packets.parse(content)
        if len(packet.numbers) <= MOST_IMAGES:
            received = packets.decompress([packet, content])
            assert received.images.shape == (len(packet.numbers), 28, 28)
            assert (received.numbers, received.total is None) == (tuple(packet.numbers), not packet.ends_set)
            packets.decompress([packet, _first_packet()])


@cache
def _first_packet() -> bytes:
    """Return a packet of the default bundle with the first images of a set."""
    return default_codec().packets.compress(np.zeros((2, 28, 28), np.uint8), 1024)[0]


def read_bare(content: bytes) -> None:
    """Decode a bare payload, whose quality is the first byte, with the default bundle.

    For one in eight, golden priors decode it one by one and side by side.
    """
    quality, payload = (content[0] if content else 0) % QUALITIES + 1, content[1:]
    assert default_codec().decompress(payload, bare=True, quality=quality).shape == (28, 28)
    if _one_of(range(8), content) == 0:
        for name in ("network", "tables"):
            decode_alike(_golden_prior(name), (payload,), GOLDEN["latents"], quality - 1)


def _one_of(choices: Sequence[Item], content: bytes) -> Item:
    """Return one of the choices: always the same one for the same content."""
    return choices[crc32(content) % len(choices)]
