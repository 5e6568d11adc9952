"""Checks of a PNG file that Pillow does not do: checksums, the end, missing rows, the number of chunks."""

import struct
import zlib

from fmae_edge.data.image_limits import Parts
from fmae_edge.runtime.errors import InputError

START = b"\x89PNG\r\n\x1a\n"
_SIDES_AT = (16, 20)
DEPTH_AT = 24  # of the header, which is the first chunk
_PROFILE_PARTS = 1000  # one colour profile counts as this many chunks: Pillow unpacks up to a megabyte of it
_CHUNK_FRAME = 12  # length, kind and checksum
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by colour type
# The first pixel of each pass of an interlaced image (Adam7), and the distance between its pixels: x, y, dx, dy
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def check_png(content: bytes, where: str) -> None:
    """Raise InputError if a PNG file is damaged or truncated; `where` names it.

    Pillow checks checksums only in `verify`, which takes half as long as all else, and does not notice a missing
    end or missing rows. Call this after `check_parts` and after the size of the image was checked.
    """
    view, at = memoryview(content), len(START)
    header = b""
    pixels: list[memoryview] = []
    while at + _CHUNK_FRAME <= len(view):
        kind_at = at + 4
        end = kind_at + 4 + int.from_bytes(view[at:kind_at])
        kind = bytes(view[kind_at : kind_at + 4])
        if zlib.crc32(view[kind_at:end]) != int.from_bytes(view[end : end + 4]):
            name = ascii(kind.decode("latin-1"))
            raise InputError(f"{where}: the image is truncated or damaged (the checksum of its {name} is wrong)")
        if kind == b"IHDR":
            if header:
                raise InputError(f"{where}: the image is damaged (it has a second header)")
            header = bytes(view[kind_at + 4 : end])
        elif kind == b"IDAT":
            pixels.append(view[kind_at + 4 : end])
        elif kind == b"IEND":
            _check_rows(header, pixels, where)
            return
        at = end + 4
    raise InputError(f"{where}: the image is truncated: its end is missing")


def check_parts(content: bytes, where: str) -> None:
    """Raise InputError if a PNG file has more chunks than an image of its size needs; `where` names it."""
    width, height = (int.from_bytes(content[at : at + 4]) for at in _SIDES_AT)
    parts, at = Parts(where, width, height), len(START)
    while at + _CHUNK_FRAME <= len(content):
        parts.take(_PROFILE_PARTS if content[at + 4 : at + 8] == b"iCCP" else 1)
        at += _CHUNK_FRAME + int.from_bytes(content[at : at + 4])


def without_text(content: bytes) -> bytes:
    """Return a PNG file without its text chunks and its colour profile."""
    kept, at = [START], len(START)
    while at + _CHUNK_FRAME <= len(content):
        end = at + _CHUNK_FRAME + int.from_bytes(content[at : at + 4])
        if content[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            kept.append(content[at:end])
        at = end
    return b"".join(kept)


def _check_rows(header: bytes, pixels: list[memoryview], where: str) -> None:
    try:
        width, height, depth, colour, interlaced = struct.unpack(">IIBB2xB", header)
        bits = depth * _SAMPLES[colour]
    except (struct.error, KeyError):
        raise InputError(f"{where}: the image is damaged (its header is invalid)") from None
    missing = sum(_bytes_of(width, height, bits, *each) for each in (_PASSES if interlaced else ((0, 0, 1, 1),)))
    unpacker = zlib.decompressobj()
    try:
        for part in pixels:
            if missing <= 0 or unpacker.eof:  # zlib copies what comes behind its end again for each part
                break
            missing -= len(unpacker.decompress(part, missing))
    except zlib.error:  # Pillow reports it, unless it needs only what came before
        return
    if missing > 0:
        raise InputError(f"{where}: the image is truncated: {missing} bytes of its pixels are missing")


def _bytes_of(width: int, height: int, bits: int, x: int, y: int, dx: int, dy: int) -> int:
    """Return how many bytes the rows of a pass have, with the byte in front of each that names its filter."""
    columns, rows = -(-max(width - x, 0) // dx), -(-max(height - y, 0) // dy)
    return rows * (1 + (columns * bits + 7) // 8) if columns else 0
