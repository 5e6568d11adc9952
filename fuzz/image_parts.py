"""Make the parts of image files for the corpus, the hostile images and the tests: chunks, segments, rows."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# The passes of an interlaced PNG: x and y of the first pixel, and the distance to the next
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of the file that Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk with its length and its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes, size: tuple[int, int] = (28, 28), depth: int = 8, interlaced: bool = False) -> bytes:
    """Return a gray PNG file of (width, height) `size` with `chunks` between its header and its end."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, 0, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def png_rows(pixels: NDArray[np.generic]) -> bytes:
    """Return the rows of a PNG before compression, each with filter type 0 in front."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def interlaced_rows(pixels: NDArray[np.generic]) -> bytes:
    """Return the rows of each pass of an interlaced PNG before compression."""
    passes = (pixels[y::dy, x::dx] for x, y, dx, dy in _ADAM7)
    return b"".join(png_rows(each) for each in passes if each.size)


def jpeg_segment(kind: int, content: bytes) -> bytes:
    """Return a JPEG segment with its length."""
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(content) + 2) + content
