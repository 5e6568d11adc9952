"""Limits on the segments and scans of a JPEG file, checked before Pillow opens it."""

import re

from fmae_edge.data.image_limits import Parts
from fmae_edge.data.tiff_check import check_exif
from fmae_edge.runtime.errors import InputError

START = b"\xff\xd8\xff"
_SCAN, _END = 0xDA, 0xD9
# Pillow knows no length of these segments: it looks for the next marker right behind them
_WITHOUT_LENGTH = (0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE))
_EXIF = b"Exif\0\0"
_FRAMES, _COMPONENT_BYTES = (
    {*range(0xC0, 0xD0), 0xDE} - {0xC4, 0xC8, 0xCC},
    3,
)  # Pillow makes a tuple of each component
_SEVERAL_IMAGES, _INDEX = 0xE2, b"MPF\0"  # of the images of an MPO file, as tags
_TABLES, _TABLE_BYTES = 0xDB, 65  # for quantisation; a segment may hold several
_PHOTOSHOP, _PHOTOSHOP_BLOCK = 0xED, b"8BIM"
_MARKER = re.compile(rb"\xff([^\0\xff])")
_MARKER_BEHIND_PIXELS = re.compile(rb"\xff([^\0\xff\xd0-\xd7])")
_MOST_SCANS = 30  # each decodes the whole image again; progressive files have 10, those in CMYK 18
_MOST_EXIF_SEGMENTS = 64  # Pillow appends them one by one, which takes quadratic time; cameras write one


def check_jpeg(content: bytes, where: str) -> None:
    """Raise InputError if a JPEG file has more segments or scans than any real one; `where` names it."""
    parts = Parts(where)
    at, scans = 2, 0
    exif: list[bytes] = []
    index = b""
    while marker := (_MARKER_BEHIND_PIXELS if scans else _MARKER).search(content, at):
        kind = marker[1][0]
        parts.take(1 if scans else 1 + marker.start() - at)  # Pillow reads the bytes between segments one by one
        at = marker.end()
        if kind == _END and scans:
            return
        if kind in _WITHOUT_LENGTH:
            continue
        end = at + max(2, int.from_bytes(content[at : at + 2]))
        if content.startswith(_EXIF, at + 2) and not scans:
            exif.append(content[at + 2 + len(_EXIF) : end])
        if kind == _SEVERAL_IMAGES and content.startswith(_INDEX, at + 2) and not scans:
            index = content[at + 2 + len(_INDEX) : end]  # Pillow reads the last one
        scans += kind == _SCAN
        if scans > _MOST_SCANS or len(exif) > _MOST_EXIF_SEGMENTS:
            many = f"{_MOST_SCANS} scans" if scans else f"{_MOST_EXIF_SEGMENTS} segments of EXIF"
            raise InputError(f"{where}: the file has more than {many}, which is too many; save the image again")
        if scans == 1 and kind == _SCAN:
            check_exif(b"".join(exif), where)
            check_exif(index, where)
        if kind == _PHOTOSHOP:
            parts.take(content.count(_PHOTOSHOP_BLOCK, at, end))
        elif kind == _TABLES:
            parts.take((end - at) // _TABLE_BYTES)
        elif kind in _FRAMES:
            parts.take((end - at) // _COMPONENT_BYTES)
        at = end
