"""Decode plain PNG files without Pillow, which takes longer to import than a small image takes to decode.

A plain file has 8-bit gray or RGB pixels in one chunk, not interlaced, and no other chunks. Pillow reads all other
files, and says what is wrong with damaged ones. https://www.w3.org/TR/png-3/ specifies the format.
"""

import math
import struct
import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}  # by channels
_MOST_NUMBERS = 1 << 13  # of pixels and channels, which Python decodes in a few milliseconds
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)  # filters of a row


def read_plain_png(content: bytes, shape: tuple[int, ...], with_pillow: bool) -> NDArray[np.uint8] | None:
    """Return the image in a plain PNG file, or None if `content` is anything else.

    `shape` is that of the image: (height, width) gray or (height, width, 3) RGB. Without Pillow, it must be small.
    With Pillow, only its decoder is used; opening the file would take twice as long.
    """
    height, width, channels = (*shape, 1)[:3]
    if not with_pillow and math.prod(shape) > _MOST_NUMBERS:
        return None
    start = _start(height, width, channels)
    pixels = content[len(start) + 8 : -len(_END) - 4]
    if content != b"".join((start, _chunk(b"IDAT", pixels), _END)):
        return None
    unpacker, row = zlib.decompressobj(), 1 + width * channels
    try:
        rows = unpacker.decompress(pixels, height * row + 1)
    except zlib.error:
        return None
    if len(rows) != height * row or not unpacker.eof or unpacker.unused_data or max(rows[::row]) > _PAETH:
        return None
    if not with_pillow:
        return _without_filters(rows, row, channels).reshape(shape)
    from PIL import Image

    mode = "L" if channels == 1 else "RGB"
    image = Image.frombytes(mode, (width, height), pixels, "zip", mode, 0)
    return np.frombuffer(image.tobytes(), np.uint8).reshape(shape)


def _chunk(kind: bytes, data: bytes) -> bytes:
    frame = struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
    return b"".join(frame)


_END = _chunk(b"IEND", b"")


@lru_cache(16)  # the files of a run have the same start
def _start(height: int, width: int, channels: int) -> bytes:
    """Return the bytes before the chunk of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header)


def _without_filters(rows: bytes, row: int, channels: int) -> NDArray[np.uint8]:
    """Return the bytes of all pixels. Each row starts with its filter, which subtracted a prediction."""
    above, result = bytes(row - 1), bytearray()
    for at in range(0, len(rows), row):
        above = _unfiltered(rows[at], rows[at + 1 : at + row], above, channels)
        result += above
    return np.frombuffer(result, np.uint8)


def _unfiltered(kind: int, data: bytes, above: bytes, channels: int) -> bytes:
    line = bytearray(data)
    if kind == _NONE:
        return data
    for at in range(len(line)):
        left, corner = (line[at - channels], above[at - channels]) if at >= channels else (0, 0)
        if kind == _SUB:
            predicted = left
        elif kind == _UP:
            predicted = above[at]
        elif kind == _AVERAGE:
            predicted = (left + above[at]) >> 1
        else:
            predicted = _paeth(left, above[at], corner)
        line[at] = (line[at] + predicted) & 0xFF
    return bytes(line)


def _paeth(left: int, above: int, corner: int) -> int:
    """Return that of the three that is nearest to left + above - corner, the first if there are several."""
    to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
    if to_left <= to_above and to_left <= to_corner:
        return left
    return above if to_above <= to_corner else corner
