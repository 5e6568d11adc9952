"""Image files of 28x28, by name, that would take far more time or memory than their pixels.

`fuzz.tiff` writes the data of every TIFF field. Here fields share their data, or point outside the file.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from operator import itemgetter

import numpy as np
from PIL import Image

from fuzz.image_parts import jpeg_segment, png, png_chunk, saved

SIDE = 28
_MEGABYTE = 1 << 20
_PIXELS = png_chunk(b"IDAT", zlib.compress(bytes((SIDE + 1) * SIDE)))

TiffEntry = tuple[int, int, int, int]  # tag, type, count, and the value or the offset of the data


def gray() -> Image.Image:
    """Return an image with many gray levels."""
    return Image.fromarray((np.arange(SIDE * SIDE) % 251).astype(np.uint8).reshape(SIDE, SIDE))


def jpeg_with(segments: bytes, **options: object) -> bytes:
    """Return a JPEG with `segments` in front of its own segments."""
    content = saved(gray(), "JPEG", **options)
    return content[:2] + segments + content[2:]


def _jpeg_of_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    content = saved(gray(), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    tables = content.rindex(b"\xff\xc4")
    return content[:-2] + content[min(last, tables) : -2] * count + b"\xff\xd9"


def tiff(entries: list[TiffEntry], data: bytes = b"") -> bytes:
    """Return a little-endian TIFF of 28x28 with `data` at byte 8. A tag may come twice."""
    given = {tag for tag, *_ in entries}
    usual = [(256, 4, 1, SIDE), (257, 4, 1, SIDE), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    all_entries = sorted([*entries, *(entry for entry in usual if entry[0] not in given)], key=itemgetter(0))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory(all_entries)


def directory(entries: Sequence[TiffEntry]) -> bytes:
    """Return a directory of TIFF tags, without a next directory."""
    return struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)


def _tiff_of_one_tile(tile: int) -> bytes:
    tile_bytes = zlib.compress(bytes(tile * tile // 256))
    entries = [(259, 3, 1, 8), (322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, 8), (325, 4, 1, len(tile_bytes))]
    return tiff(entries, tile_bytes)


def tiff_of_frames(count: int) -> bytes:
    """Return a TIFF of frames that share their pixels."""
    pixels = bytes(SIDE * SIDE)
    start = tiff([(273, 4, 1, 8), (279, 4, 1, len(pixels))], pixels)
    ifd_at = 8 + len(pixels)
    ifd = start[ifd_at:-4]
    frames = [
        ifd + struct.pack("<I", 0 if number == count - 1 else ifd_at + (number + 1) * (len(ifd) + 4))
        for number in range(count)
    ]
    return start[:ifd_at] + b"".join(frames)


def _tiff_of_offsets(tag: int, count: int) -> bytes:
    """Return a TIFF whose only strip or tile is listed many times."""
    offsets = struct.pack(f"<{count}I", *[8] * count)
    entries = [(tag, 4, count, 8 + SIDE * SIDE)]
    if tag == 324:
        entries += [(322, 4, 1, 16), (323, 4, 1, 16)]
    return tiff(entries, bytes(SIDE * SIDE) + offsets)


def _tiff_of_tags(count: int, megabytes: int) -> bytes:
    """Return a TIFF whose tags all share the same data."""
    size = megabytes * _MEGABYTE
    entries = [(273, 4, 1, 8)] + [(1000 + number, 1, size, 8) for number in range(count)]
    return tiff(entries, bytes(size))


def _tiff_with_exif_of_tags(count: int, megabytes: int) -> bytes:
    size = megabytes * _MEGABYTE
    exif = directory([(1000 + number, 1, size, 8) for number in range(count)])
    return tiff([(273, 4, 1, 8), (34665, 4, 1, 8 + size)], bytes(size) + exif)


def gif(before: bytes = b"", behind: bytes = b"", frames: int = 1) -> bytes:
    """Return a GIF with blocks before and after its frames."""
    content = saved(gray(), "GIF")
    image_at = content.index(b",", 13 + 768)
    return content[:image_at] + before + content[image_at:-1] * frames + behind + b";"


def gif_comment(blocks: int, size: int) -> bytes:
    """Return a comment in blocks of `size` bytes."""
    return b"!\xfe" + (bytes([size]) + b"a" * size) * blocks + b"\0"


def _bmp_rle(data: bytes) -> bytes:
    palette = bytes(range(256)) * 4
    start = 54 + len(palette)
    header = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start)
    return header + struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, len(data), 0, 0, 256, 0) + palette + data


def _webp_of_frames(count: int) -> bytes:
    """Return an animated WebP whose last frame is repeated."""
    content = saved(gray(), "WEBP", save_all=True, append_images=[gray().rotate(90)], lossless=True)
    frame = content[content.rindex(b"ANMF") :]
    content += frame * count
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def _webp_with(kind: bytes, size: int) -> bytes:
    content = saved(gray(), "WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    content += kind + struct.pack("<I", size) + bytes(size)
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def exif(orientation: int = 1, tags: int = 0) -> bytes:
    """Return EXIF data with an orientation, and with `tags` tags that all point to the same bytes."""
    shared = [(1000 + number, 7, 12 * tags, 8) for number in range(tags)]
    return b"II*\0" + struct.pack("<I", 8) + directory([(0x0112, 3, 1, orientation), *shared])


def png_profile(block: bytes) -> bytes:
    """Return a compressed PNG text with EXIF data in hexadecimal digits, as ImageMagick writes it."""
    text = b"\nexif\n%8d\n" % len(block) + (b"Exif\0\0" + block).hex().encode()
    return png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text, 9))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "tiff-one-large-tile": lambda: _tiff_of_one_tile(40_000),
    "tiff-frames": lambda: tiff_of_frames(40_001),
    "tiff-many-strips": lambda: _tiff_of_offsets(273, 900_000),
    "tiff-many-tiles": lambda: _tiff_of_offsets(324, 900_000),
    "tiff-tags-share-data": lambda: _tiff_of_tags(3000, 2),
    "tiff-exif-tags-share-data": lambda: _tiff_with_exif_of_tags(3000, 2),
    "tiff-many-values": lambda: tiff([(273, 4, 1, 8), (258, 3, 8_000_000, 8)], bytes(16_000_000)),
    "tiff-fractions": lambda: tiff([(273, 4, 1, 8), (282, 5, 1_000_000, 8)], bytes(range(256)) * 31_250),
    "tiff-large": lambda: tiff([(273, 4, 1, 8), (279, 4, 1, 784)], bytes(60 * _MEGABYTE)),
    "png-behind-the-stream": lambda: png(_PIXELS, png_chunk(b"IDAT", b"") * 800_000),
    "png-bytes-behind-the-stream": lambda: png(_PIXELS, *[png_chunk(b"IDAT", bytes(20))] * 300_000),
    "png-few-bytes-behind-the-stream": lambda: png(_PIXELS, *[png_chunk(b"IDAT", bytes(4000))] * 900),
    "png-empty-chunks": lambda: png(png_chunk(b"prVt", b"") * 800_000, _PIXELS),
    "png-text": lambda: png(*[png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 900, _PIXELS),
    "png-profile": lambda: png(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100 * _MEGABYTE))), _PIXELS),
    "png-profiles": lambda: png(
        *[png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 9_900, _PIXELS
    ),
    "png-pixels": lambda: png(png_chunk(b"IDAT", zlib.compress(bytes(100 * _MEGABYTE)))),
    "png-bytes-behind-a-stream-of-few-rows": lambda: png(
        png_chunk(b"IDAT", zlib.compress(bytes(20 * (SIDE + 1)))), *[png_chunk(b"IDAT", bytes(1000))] * 9_000
    ),
    "png-exif-tags-share-data": lambda: png(png_chunk(b"eXIf", exif(tags=5000)), _PIXELS),
    "png-profile-tags-share-data": lambda: png(png_profile(exif(tags=5000)), _PIXELS),
    "jpeg-exif-segments": lambda: jpeg_with(jpeg_segment(0xE1, b"Exif\0\0") * 400_000),
    "jpeg-large-exif-segments": lambda: jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 63),
    "jpeg-some-exif-segments": lambda: jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + bytes(4000)) * 900),
    "jpeg-profile-segments": lambda: jpeg_with(jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1") * 400_000),
    "jpeg-tables": lambda: jpeg_with(jpeg_segment(0xDB, (b"\0" + bytes(range(1, 65))) * 1000) * 480),
    "jpeg-comments": lambda: jpeg_with(jpeg_segment(0xFE, b"") * 1_000_000),
    "jpeg-junk": lambda: jpeg_with(b"\0" * 4_000_000),
    "jpeg-fill": lambda: jpeg_with(b"\xff" * 4_000_000),
    "jpeg-exif-tags-share-data": lambda: jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + exif(tags=5000))),
    "jpeg-exif-hidden-in-other-segments": lambda: jpeg_with(
        jpeg_segment(0xF0, jpeg_segment(0xE1, b"Exif\0\0" + bytes(500)) * 100) * 80
    ),
    "jpeg-scans": lambda: _jpeg_of_scans(100_000),
    "jpeg-photoshop-blocks": lambda: jpeg_with(
        jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5000) * 500
    ),
    "gif-comments": lambda: gif(gif_comment(2_000_000, 1)),
    "gif-many-comments": lambda: gif(gif_comment(1, 1) * 800_000),
    "gif-comments-of-the-second-frame": lambda: gif(behind=gif_comment(2_000_000, 1), frames=1),
    "gif-frames": lambda: gif(frames=4_000),
    "gif-extensions": lambda: gif(b"!\xf9\0" * 1_300_000),
    "bmp-ends-of-lines": lambda: _bmp_rle(b"\0\0" * 2_000_000),
    "bmp-steps-of-nothing": lambda: _bmp_rle(b"\0\2\0\0" * 1_000_000),
    "pgm-comment-in-the-header": lambda: b"P5\n#" + b"a" * 60_000_000 + b"\n28 28\n255\n" + bytes(784),
    "pgm-comments-in-the-pixels": lambda: b"P2\n28 28\n255\n" + b"#\n" * 2_000_000 + b"7 " * 784,
    "pgm-blanks": lambda: b"P2\n28 28\n255\n" + b" " * 50_000_000 + b"7 " * 784,
    "pgm-blanks-in-the-header": lambda: b"P5" + b" " * 50_000_000 + b"28 28\n255\n" + bytes(784),
    "webp-frames": lambda: _webp_of_frames(30_000),
    "webp-chunks": lambda: _webp_with(b"UNKN\0\0\0\0" * 500_000, 0),
    "webp-large": lambda: _webp_with(b"XMP ", 50 * _MEGABYTE),
}
