"""Limit which files are read as images: by their suffix, and by the bytes and parts that an image of a size needs.

Real files stay far below the limits. This module does not need Pillow.
"""

from fmae_edge.runtime.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
MAX_PIXELS, MAX_SIDE = 64_000_000, 65_535  # of images to resize: a few bytes of PNG can decode to gigabytes
_BYTES, _BYTES_PER_PIXEL = 1 << 25, 8  # metadata and other frames, and four channels of 16 bits
_PARTS, _PIXELS_PER_PART = 10_000, 128  # a GIF has a block for every 255 bytes


def max_bytes(width: int, height: int) -> int:
    """Return the largest allowed file size for an image of this size in pixels: 32 MB plus 8 bytes per pixel."""
    return _BYTES + _BYTES_PER_PIXEL * min(width * height, MAX_PIXELS)


def max_image_bytes(size: tuple[int, int], fit: str | None = None) -> int:
    """Return the largest file size in bytes that is read for an image of `size`, (height, width) in pixels.

    With `fit`, the image may have any size.
    """
    return max_bytes(*size) if fit is None else max_bytes(MAX_PIXELS, 1)


class Parts:
    """Count the parts that a decoder handles one by one: chunks, segments, blocks, tags, strips and tiles."""

    def __init__(self, where: str, width: int = 0, height: int = 0) -> None:
        self._where = where
        self._most = self._left = _PARTS + min(width * height, MAX_PIXELS) // _PIXELS_PER_PART

    def take(self, count: int = 1) -> None:
        """Count `count` more parts. Raises InputError once there are more than an image of this size needs."""
        self._left -= count
        if self._left < 0:
            raise InputError(
                f"{self._where}: the file has more than {self._most} parts, too many for an image of its size; "
                "save the image again"
            )
