"""Check PNG, JPEG and GIF files for defects that Pillow accepts: too many parts, missing rows, wrong checksums.

Pillow handles each chunk, segment and block in Python, so even a small file with many of them takes a long time.
`tiff_check` does the same for TIFF and EXIF.
"""

import re
import struct
import zlib

from fmae_edge.data.image_limits import Parts
from fmae_edge.data.tiff_check import check_exif
from fmae_edge.runtime.errors import InputError

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH_AT = 24  # offset of the bit depth in the header, which is the first chunk
_SIDES_AT = (16, 20)
_PROFILE_PARTS = 1000  # one colour profile counts as this many chunks: Pillow unpacks up to a megabyte of it
_CHUNK_FRAME = 12  # length, kind and checksum
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples per pixel, by colour type
# The first pixel of each pass of an interlaced PNG, and the distance between its pixels: x, y, dx, dy
ADAM7_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

JPEG_START = b"\xff\xd8\xff"
_SCAN, _END = 0xDA, 0xD9
# These segments have no length: Pillow looks for the next marker directly after them
_WITHOUT_LENGTH = (0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE))
_EXIF = b"Exif\0\0"
_FRAMES = {*range(0xC0, 0xD0), 0xDE} - {0xC4, 0xC8, 0xCC}
_COMPONENT_BYTES = 3  # Pillow makes a tuple of each component of a frame
_SEVERAL_IMAGES, _INDEX = 0xE2, b"MPF\0"  # the index of the images in an MPO file, stored as tags
_TABLES, _TABLE_BYTES = 0xDB, 65  # quantisation tables; a segment may hold several
_PHOTOSHOP, _PHOTOSHOP_BLOCK = 0xED, b"8BIM"
_MARKER = re.compile(rb"\xff([^\0\xff])")
_MARKER_AFTER_PIXELS = re.compile(rb"\xff([^\0\xff\xd0-\xd7])")
_MOST_SCANS = 30  # each decodes the complete image again; progressive files have 10, those in CMYK 18
_MOST_EXIF_SEGMENTS = 64  # Pillow appends them one by one, which takes quadratic time; cameras write one

GIF_STARTS = (b"GIF87a", b"GIF89a")
_SCREEN_BYTES, _IMAGE_BYTES = 13, 10
_PALETTE = 0x80


def check_png(content: bytes, where: str) -> None:
    """Raise InputError if a PNG file is damaged or truncated; `where` names the file.

    Pillow checks checksums only in `verify`, which takes half as long as all else, and it does not notice a
    missing end or missing rows. Call this after `check_png_parts` and after the size of the image was checked.
    """
    view, at = memoryview(content), len(PNG_START)
    header = b""
    pixels: list[memoryview] = []
    while at + _CHUNK_FRAME <= len(view):
        kind_at = at + 4
        end = kind_at + 4 + int.from_bytes(view[at:kind_at])
        kind = bytes(view[kind_at : kind_at + 4])
        if zlib.crc32(view[kind_at:end]) != int.from_bytes(view[end : end + 4]):
            name = ascii(kind.decode("latin-1"))
            raise InputError(
                f"{where}: the image is truncated or damaged (the checksum of its {name} chunk is wrong)"
            )
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


def check_png_parts(content: bytes, where: str) -> None:
    """Raise InputError if a PNG file has more chunks than an image of its size needs; `where` names the file."""
    width, height = (int.from_bytes(content[at : at + 4]) for at in _SIDES_AT)
    parts, at = Parts(where, width, height), len(PNG_START)
    while at + _CHUNK_FRAME <= len(content):
        parts.take(_PROFILE_PARTS if content[at + 4 : at + 8] == b"iCCP" else 1)
        at += _CHUNK_FRAME + int.from_bytes(content[at : at + 4])


def png_without_text(content: bytes) -> bytes:
    """Return a PNG file without its text chunks and its colour profile."""
    kept, at = [PNG_START], len(PNG_START)
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
    passes = ADAM7_PASSES if interlaced else ((0, 0, 1, 1),)
    missing = sum(_pass_bytes(width, height, bits, *each) for each in passes)
    unpacker = zlib.decompressobj()
    try:
        for part in pixels:
            if missing <= 0 or unpacker.eof:  # zlib copies the data behind its end again for each part
                break
            missing -= len(unpacker.decompress(part, missing))
    except zlib.error:  # Pillow reports it, unless it needs only the data before the error
        return
    if missing > 0:
        raise InputError(f"{where}: the image is truncated: {missing} bytes of its pixels are missing")


def _pass_bytes(width: int, height: int, bits: int, x: int, y: int, dx: int, dy: int) -> int:
    """Return the number of bytes in the rows of a pass; each row starts with a byte that names its filter."""
    columns, rows = -(-max(width - x, 0) // dx), -(-max(height - y, 0) // dy)
    return rows * (1 + (columns * bits + 7) // 8) if columns else 0


def check_jpeg(content: bytes, where: str) -> None:
    """Raise InputError if a JPEG file has more segments or scans than real files have; `where` names the file."""
    parts = Parts(where)
    at, scans = 2, 0
    exif: list[bytes] = []
    index = b""
    while marker := (_MARKER_AFTER_PIXELS if scans else _MARKER).search(content, at):
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
            limit = f"{_MOST_SCANS} scans" if scans else f"{_MOST_EXIF_SEGMENTS} segments of EXIF"
            raise InputError(f"{where}: the file has more than {limit}; save the image again")
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


def check_gif(content: bytes, where: str) -> None:
    """Raise InputError if a GIF file has more blocks up to its second frame than real files have.

    A truncated or damaged file passes: Pillow reports it. `where` names the file.
    """
    if len(content) < _SCREEN_BYTES:
        return
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    parts = Parts(where, width, height)
    at = _SCREEN_BYTES + _palette_bytes(flags)
    frames = 0
    while at < len(content) and frames < 2:
        parts.take()
        block, at = content[at : at + 1], at + 1
        if block == b";":
            return
        if block == b"!":
            at = _skip_blocks(content, at + 1, parts)
        elif block == b",":
            frames += 1
            if frames < 2 and at + _IMAGE_BYTES < len(content):
                flags = content[at + 8]
                at = _skip_blocks(content, at + _IMAGE_BYTES + _palette_bytes(flags), parts)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _PALETTE else 0


def _skip_blocks(content: bytes, at: int, parts: Parts) -> int:
    """Return the end of the blocks that start at `at`. Each starts with its length; the last has length 0."""
    while at < len(content) and content[at]:
        parts.take()
        at += 1 + content[at]
    return at + 1
