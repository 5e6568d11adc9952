"""Image files of 28x28 that would cost far more than their pixels do, by name."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIDE = 28
_MEGABYTE = 1 << 20


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def gray(side=SIDE):
    return Image.fromarray((np.arange(side * side) % 251).astype(np.uint8).reshape(side, side))


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks, side=SIDE):
    """Return a PNG file of chunks between its header and its end."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def png_rows(side=SIDE):
    return zlib.compress(bytes((side + 1) * side))


def jpeg_segment(kind, content):
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(content) + 2) + content


def jpeg_with(segments, side=SIDE, **options):
    content = saved(gray(side), "JPEG", **options)
    return content[:2] + segments + content[2:]


def jpeg_of_scans(count, side):
    """Return a progressive JPEG whose last scan comes again and again."""
    content = saved(gray(side), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    tables = content.rindex(b"\xff\xc4")
    return content[:-2] + content[min(last, tables) : -2] * count + b"\xff\xd9"


def tiff(entries, data=b"", more=b"", side=SIDE):
    """Return a little-endian TIFF: entries (tag, type, count, value), then `data` at byte 8."""
    known = {256: (4, 1, side), 257: (4, 1, side), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    known |= {tag: (kind, count, value) for tag, kind, count, value in entries}
    ifd = struct.pack("<H", len(known)) + b"".join(
        struct.pack("<HHII", tag, *entry) for tag, entry in sorted(known.items())
    )
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + ifd + (more or bytes(4))


def tiff_of_one_tile(tile):
    tile_bytes = zlib.compress(bytes(tile * tile // 256))
    entries = [(259, 3, 1, 8), (322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, 8), (325, 4, 1, len(tile_bytes))]
    return tiff(entries, tile_bytes)


def tiff_of_frames(count):
    pixels = bytes(SIDE * SIDE)
    start = tiff([(273, 4, 1, 8), (279, 4, 1, len(pixels))], pixels)
    ifd_at = 8 + len(pixels)
    ifd = start[ifd_at:-4]
    frames = [
        ifd + struct.pack("<I", 0 if number == count - 1 else ifd_at + (number + 1) * (len(ifd) + 4))
        for number in range(count)
    ]
    return start[:ifd_at] + b"".join(frames)


def tiff_of_offsets(tag, count):
    """Return a TIFF whose one strip or tile is listed again and again."""
    offsets = struct.pack(f"<{count}I", *[8] * count)
    entries = [(tag, 4, count, 8 + SIDE * SIDE)]
    if tag == 324:
        entries += [(322, 4, 1, 16), (323, 4, 1, 16)]
    return tiff(entries, bytes(SIDE * SIDE) + offsets)


def tiff_of_tags(count, megabytes):
    """Return a TIFF whose tags all share the same data."""
    size = megabytes * _MEGABYTE
    entries = [(273, 4, 1, 8)] + [(1000 + number, 1, size, 8) for number in range(count)]
    return tiff(entries, bytes(size))


def tiff_with_exif_of_tags(count, megabytes):
    size = megabytes * _MEGABYTE
    inner = struct.pack("<H", count) + b"".join(
        struct.pack("<HHII", 1000 + number, 1, size, 8) for number in range(count)
    )
    data = bytes(size) + inner + bytes(4)
    return tiff([(273, 4, 1, 8), (34665, 4, 1, 8 + size)], data)


def gif(before=b"", behind=b"", frames=1):
    content = saved(gray(), "GIF")
    image_at = content.index(b",", 13 + 768)
    return content[:image_at] + before + content[image_at:-1] * frames + behind + b";"


def gif_comment(blocks, size):
    return b"!\xfe" + (bytes([size]) + b"a" * size) * blocks + b"\0"


def bmp_rle(data, side=SIDE):
    palette = bytes(range(256)) * 4
    start = 54 + len(palette)
    header = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start)
    return header + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0) + palette + data


def webp_of_frames(count):
    """Return an animated WebP whose last frame comes again and again."""
    content = saved(gray(), "WEBP", save_all=True, append_images=[gray().rotate(90)], lossless=True)
    frame = content[content.rindex(b"ANMF") :]
    content += frame * count
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def webp_with(kind, size):
    content = saved(gray(), "WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    content += kind + struct.pack("<I", size) + bytes(size)
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def exif_of_tags(count):
    """Return an Exif block whose tags all share the same bytes."""
    size = 12 * count
    return (
        b"Exif\0\0II*\0\x08\0\0\0"
        + struct.pack("<H", count)
        + b"".join(struct.pack("<HHII", 1000 + number, 1, size, 8) for number in range(count))
    )


HOSTILE = {
    "tiff-one-large-tile": lambda: tiff_of_one_tile(40_000),
    "tiff-frames": lambda: tiff_of_frames(40_001),
    "tiff-many-strips": lambda: tiff_of_offsets(273, 900_000),
    "tiff-many-tiles": lambda: tiff_of_offsets(324, 900_000),
    "tiff-tags-share-data": lambda: tiff_of_tags(3000, 2),
    "tiff-exif-tags-share-data": lambda: tiff_with_exif_of_tags(3000, 2),
    "tiff-many-values": lambda: tiff([(273, 4, 1, 8), (258, 3, 8_000_000, 8)], bytes(16_000_000)),
    "tiff-fractions": lambda: tiff([(273, 4, 1, 8), (282, 5, 1_000_000, 8)], bytes(range(256)) * 31_250),
    "tiff-large": lambda: tiff([(273, 4, 1, 8), (279, 4, 1, 784)], bytes(60 * _MEGABYTE)),
    "png-behind-the-stream": lambda: png(png_chunk(b"IDAT", png_rows()), png_chunk(b"IDAT", b"") * 800_000),
    "png-bytes-behind-the-stream": lambda: png(
        png_chunk(b"IDAT", png_rows()), *[png_chunk(b"IDAT", bytes(20))] * 300_000
    ),
    "png-few-bytes-behind-the-stream": lambda: png(
        png_chunk(b"IDAT", png_rows()), *[png_chunk(b"IDAT", bytes(4000))] * 900
    ),
    "png-empty-chunks": lambda: png(png_chunk(b"prVt", b"") * 800_000, png_chunk(b"IDAT", png_rows())),
    "png-text": lambda: png(
        *[png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 900, png_chunk(b"IDAT", png_rows())
    ),
    "png-profile": lambda: png(
        png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100 * _MEGABYTE))), png_chunk(b"IDAT", png_rows())
    ),
    "png-profiles": lambda: png(
        *[png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 9_900, png_chunk(b"IDAT", png_rows())
    ),
    "png-pixels": lambda: png(png_chunk(b"IDAT", zlib.compress(bytes(100 * _MEGABYTE)))),
    "jpeg-exif-segments": lambda: jpeg_with(jpeg_segment(0xE1, b"Exif\0\0") * 400_000),
    "jpeg-large-exif-segments": lambda: jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 63),
    "jpeg-some-exif-segments": lambda: jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + bytes(4000)) * 900),
    "jpeg-profile-segments": lambda: jpeg_with(jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1") * 400_000),
    "jpeg-tables": lambda: jpeg_with(jpeg_segment(0xDB, (b"\0" + bytes(range(1, 65))) * 1000) * 480),
    "jpeg-comments": lambda: jpeg_with(jpeg_segment(0xFE, b"") * 1_000_000),
    "jpeg-junk": lambda: jpeg_with(b"\0" * 4_000_000),
    "jpeg-fill": lambda: jpeg_with(b"\xff" * 4_000_000),
    "jpeg-exif-tags-share-data": lambda: jpeg_with(jpeg_segment(0xE1, exif_of_tags(5000))),
    "jpeg-exif-hidden-in-other-segments": lambda: jpeg_with(
        jpeg_segment(0xF0, jpeg_segment(0xE1, b"Exif\0\0" + bytes(500)) * 100) * 80
    ),
    "jpeg-scans": lambda: jpeg_of_scans(100_000, SIDE),
    "jpeg-photoshop-blocks": lambda: jpeg_with(
        jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5000) * 500
    ),
    "gif-comments": lambda: gif(gif_comment(2_000_000, 1)),
    "gif-many-comments": lambda: gif(gif_comment(1, 1) * 800_000),
    "gif-comments-of-the-second-frame": lambda: gif(behind=gif_comment(2_000_000, 1), frames=1),
    "gif-frames": lambda: gif(frames=4_000),
    "gif-extensions": lambda: gif(b"!\xf9\0" * 1_300_000),
    "bmp-ends-of-lines": lambda: bmp_rle(b"\0\0" * 2_000_000),
    "bmp-steps-of-nothing": lambda: bmp_rle(b"\0\2\0\0" * 1_000_000),
    "pgm-comment-in-the-header": lambda: b"P5\n#" + b"a" * 60_000_000 + b"\n28 28\n255\n" + bytes(784),
    "pgm-comments-in-the-pixels": lambda: b"P2\n28 28\n255\n" + b"#\n" * 2_000_000 + b"7 " * 784,
    "pgm-blanks": lambda: b"P2\n28 28\n255\n" + b" " * 50_000_000 + b"7 " * 784,
    "pgm-blanks-in-the-header": lambda: b"P5" + b" " * 50_000_000 + b"28 28\n255\n" + bytes(784),
    "webp-frames": lambda: webp_of_frames(30_000),
    "webp-chunks": lambda: webp_with(b"UNKN\0\0\0\0" * 500_000, 0),
    "webp-large": lambda: webp_with(b"XMP ", 50 * _MEGABYTE),
}
