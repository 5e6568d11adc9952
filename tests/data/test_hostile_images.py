"""Hostile image files cost little more than their pixels, and files that real programs write are accepted."""

import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from fmae_edge.data.image_checks import check_gif, check_jpeg
from fmae_edge.data.image_file import load_image
from fmae_edge.data.image_limits import max_image_bytes
from fmae_edge.data.tiff_check import check_exif, check_tiff
from fmae_edge.runtime.errors import InputError
from fuzz.hostile_images import (
    HOSTILE,
    directory,
    exif,
    gif,
    gif_comment,
    gray,
    jpeg_with,
    png_profile,
    tiff,
    tiff_of_frames,
)
from fuzz.image_parts import jpeg_segment, png, png_chunk, png_rows, saved

LEVELS = np.asarray(gray())
PIXELS = png_chunk(b"IDAT", zlib.compress(png_rows(LEVELS)))
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak():
    """Return the peak memory of this process in bytes since it last wrote to CLEAR."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_takes_less_than_a_second_and_256_megabytes(name):
    content = HOSTILE[name]()
    if CLEAR.exists():
        CLEAR.write_text("5")
        before = peak()
    started = time.process_time()
    try:
        pixels, _ = load_image(content, "it", (28, 28))
        assert pixels.shape == (28, 28)
    except InputError as error:
        assert str(error).startswith("it: ")
        assert len(str(error)) < 200
    assert time.process_time() - started < 1
    if CLEAR.exists():
        assert peak() - before < 1 << 28


# The checks are tested by themselves, because newer versions of Pillow accept some of these files


@pytest.mark.parametrize("kept", [exif(orientation=3), exif(orientation=3, tags=20)], ids=["real", "hostile"])
@pytest.mark.parametrize(
    "file",
    [
        lambda block: png(png_chunk(b"eXIf", block), PIXELS),
        lambda block: png(PIXELS, png_chunk(b"eXIf", block)),
        lambda block: png(png_profile(block), PIXELS),
        lambda block: png(PIXELS, png_profile(block)),
    ],
    ids=["chunk", "chunk behind the pixels", "profile", "profile behind the pixels"],
)
def test_exif_whose_tags_share_their_data_is_not_read(file, kept):
    """Real EXIF turns the image; hostile EXIF does not."""
    pixels, notes = load_image(file(kept), "it", (28, 28))
    turned = len(kept) < 100
    np.testing.assert_array_equal(pixels, LEVELS[::-1, ::-1] if turned else LEVELS)
    assert notes == ["EXIF orientation applied"] * turned


@pytest.mark.parametrize("damaged", [b"\nexif\n 3\nxyz", b"", b"\nexif\n  10\n4578"])
def test_a_damaged_profile_of_exif_is_ignored(damaged):
    text = png_chunk(b"tEXt", b"Raw profile type exif\0" + damaged)
    pixels, notes = load_image(png(text, PIXELS), "it", (28, 28))
    np.testing.assert_array_equal(pixels, LEVELS)
    assert notes == []


def test_tags_hold_at_most_twice_the_bytes_of_the_file():
    def of_two_tags(size):
        return tiff([(273, 4, 1, 8), (1000, 1, size, 8), (1001, 1, size, 8)])

    assert len(of_two_tags(0)) == 122
    check_tiff(of_two_tags(100), "it")  # the other tags contain a few bytes too
    with pytest.raises(InputError, match="it: its tags contain more data than those of real files"):
        check_tiff(of_two_tags(114), "it")


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 284, 322, 323, 324, 338])
def test_a_tag_for_the_layout_appears_only_once(tag):
    """Otherwise Pillow and libtiff could read different ones."""
    with pytest.raises(InputError, match="it: a tag for the pixel layout appears twice"):
        check_tiff(tiff([(tag, 4, 1, 28), (tag, 4, 1, 2000)]), "it")


def wide_tile(kind, count):
    """Return a TIFF whose tile width is 20,000, stored in the entry itself or at the offset in the entry."""
    layout = {3: "H", 4: "I", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}[kind]
    number = struct.pack(f"<{count}{layout}", *[20_000] * count)
    value = 8 if len(number) > 4 else int.from_bytes(number, "little")
    return tiff([(259, 3, 1, 8), (322, kind, count, value), (323, 4, 1, 2000), (324, 4, 1, 8)], number)


@pytest.mark.parametrize("kind", [3, 4, 9, 13, 16, 17, 18])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_width_of_a_tile_is_read_in_every_type(kind, count):
    with pytest.raises(InputError, match="it: the file has tiles of 20000x2000, too large for its image of 28x28"):
        check_tiff(wide_tile(kind, count), "it")


@pytest.mark.parametrize(("width", "height"), [(2049, 16), (16, 2049)])
def test_no_side_of_a_tile_is_much_longer_than_the_image(width, height):
    """Pillow reads a long row in pieces, and copies all pieces so far for each new one."""
    check_tiff(tiff([(322, 4, 1, width - 1), (323, 4, 1, height - 1), (324, 4, 1, 8)]), "it")
    with pytest.raises(InputError, match=f"it: the file has tiles of {width}x{height}"):
        check_tiff(tiff([(322, 4, 1, width), (323, 4, 1, height), (324, 4, 1, 8)]), "it")


@pytest.mark.parametrize("sizes", [[(278, 3, 1, 4)], [(322, 3, 1, 16), (323, 3, 1, 16)]])
def test_a_file_has_no_more_strips_or_tiles_than_its_image_needs(sizes):
    """Pillow decodes the extra ones too: 7,000 of them took a minute for an image of 65535x28."""
    needed = 7 if len(sizes) == 1 else 4  # of 28x28 pixels
    offsets = 273 if len(sizes) == 1 else 324
    check_tiff(tiff([*sizes, (offsets, 4, 2 * needed, 8)]), "it")
    with pytest.raises(InputError, match="it: the file has more strips or tiles than its image needs"):
        check_tiff(tiff([*sizes, (offsets, 4, 2 * needed + 1, 8)]), "it")


@pytest.mark.parametrize(("compression", "most"), [(7, 1024), (6, 1024), (8, 2048)])
def test_a_jpeg_tile_has_a_lower_limit_because_of_its_scans(compression, most):
    def of_a_tile(side):
        return tiff([(259, 3, 1, compression), (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8)])

    check_tiff(of_a_tile(most), "it")
    with pytest.raises(InputError, match=f"it: the file has tiles of {most + 16}x{most + 16}"):
        check_tiff(of_a_tile(most + 16), "it")


def test_a_directory_has_at_most_2500_tags():
    """libtiff sorts all tags again for each tag."""
    check_tiff(tiff([(1000 + number, 4, 1, 0) for number in range(2494)]), "it")  # and 6 for the layout
    with pytest.raises(InputError, match="it: the file has more than 10000 parts"):
        check_tiff(tiff([(1000 + number, 4, 1, 0) for number in range(2495)]), "it")


def test_a_pixel_has_at_most_6_samples():
    check_tiff(tiff([(273, 4, 1, 8), (277, 3, 1, 6)]), "it")
    with pytest.raises(InputError, match="it: the image has 64 samples per pixel; the limit is 6"):
        check_tiff(tiff([(273, 4, 1, 8), (277, 17, 1, 8)], struct.pack("<q", 64)), "it")


SHARED = directory([(1000 + number, 7, 200, 8) for number in range(20)])
LATER = 8 + len(SHARED)


@pytest.mark.parametrize(
    ("entry", "more"),
    [
        ((34665, 4, 1, 8), b""),
        ((34853, 4, 1, 8), b""),
        ((34665, 16, 1, LATER), struct.pack("<Q", 8)),
        ((34665, 4, 2, LATER), struct.pack("<II", 8, 8)),
        ((34665, 4, 1, LATER), directory([(40965, 4, 1, 8)])),
    ],
    ids=["exif", "gps", "offset of 8 bytes", "two offsets", "interoperability"],
)
def test_tags_of_other_directories_are_counted(entry, more):
    with pytest.raises(InputError, match="it: its tags contain more data than those of real files"):
        check_tiff(tiff([(273, 4, 1, 8), entry], SHARED + more), "it")


def test_tags_of_all_directories_are_counted_together():
    data = directory([(1000, 7, 300, 8)]) + bytes(300)
    check_tiff(tiff([(273, 4, 1, 8), (34665, 4, 1, 8)], data), "it")
    with pytest.raises(InputError, match="it: its tags contain more data than those of real files"):
        check_tiff(tiff([(273, 4, 1, 8), *[(34665, 4, 1, 8)] * 4], data), "it")


@pytest.mark.parametrize("kind", [3, 4, 6, 8, 9, 11, 12, 16])
def test_numbers_that_pillow_turns_into_objects_are_counted(kind):
    block = b"II*\0\x08\0\0\0" + directory([(274, kind, 1_050_000, 8)]) + bytes(8_400_000)
    with pytest.raises(InputError, match="it: its tags contain more data than those of real files"):
        check_exif(block, "it")


def test_exif_may_repeat_its_start_a_few_times_and_is_still_checked():
    check_exif(b"Exif\0\0" * 3 + b"II*\0\x08\0\0\0", "it")
    with pytest.raises(InputError, match="it: its EXIF starts more than 3 times"):
        check_exif(b"Exif\0\0" * 4, "it")
    with pytest.raises(InputError, match="it: its tags contain more data than those of real files"):
        check_exif(b"Exif\0\0" * 2 + b"II*\0\x08\0\0\0" + SHARED, "it")


def test_the_index_of_an_mpo_file_is_checked_like_exif():
    index = b"MPF\0II*\0\x08\0\0\0"
    check_jpeg(jpeg_with(jpeg_segment(0xE2, index + directory([(0xB001, 4, 1, 2)]))), "it")
    hostile = jpeg_segment(0xE2, index + SHARED)
    check_jpeg(jpeg_with(hostile + jpeg_segment(0xE2, index)), "it")  # Pillow reads the last one
    with pytest.raises(InputError, match="it: its tags contain more data than those of real files"):
        check_jpeg(jpeg_with(jpeg_segment(0xE2, index) + hostile + jpeg_segment(0xE3, index)), "it")


def test_the_components_of_a_jpeg_are_counted():
    check_jpeg(jpeg_with(jpeg_segment(0xC0, bytes(6 + 3 * 4)) * 100), "it")
    with pytest.raises(InputError, match="it: the file has more than 10000 parts"):
        check_jpeg(jpeg_with(jpeg_segment(0xC0, bytes(60_000))), "it")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_an_image_is_rotated_without_reading_more_of_its_exif(monkeypatch, kind):
    """The other directories are not checked, so they could contain anything."""
    content = saved(gray(), kind, exif=b"Exif\0\0" + exif(orientation=3))

    def no_directory(*_):
        raise AssertionError

    monkeypatch.setattr(Image.Exif, "get_ifd", no_directory)
    monkeypatch.setattr(Image.Exif, "tobytes", no_directory)
    assert load_image(content, "it", (28, 28))[1][0] == "EXIF orientation applied"


def test_a_jpeg_has_at_most_64_segments_of_exif():
    check_jpeg(jpeg_with(jpeg_segment(0xE1, b"Exif\0\0") * 64), "it")
    with pytest.raises(InputError, match="it: the file has more than 64 segments of EXIF"):
        check_jpeg(jpeg_with(jpeg_segment(0xE1, b"Exif\0\0") * 65), "it")


def test_the_blocks_of_a_gif_are_counted_up_to_its_second_frame():
    check_gif(gif(frames=2, behind=gif_comment(11_000, 1)), "it")
    with pytest.raises(InputError, match="it: the file has more than 10006 parts"):
        check_gif(gif(frames=1, behind=gif_comment(11_000, 1)), "it")


def test_more_bytes_than_the_pixels_can_need_are_refused():
    content = saved(gray(), "JPEG")
    most = max_image_bytes((28, 28), None)
    load_image(content + bytes(most - len(content)), "it", (28, 28))
    with pytest.raises(
        InputError,
        match=f"it: the file has {most + 1} bytes, more than the limit of {most} bytes for an image of 28x28",
    ):
        load_image(content + bytes(most + 1 - len(content)), "it", (28, 28), fit="resize")
    assert max_image_bytes((28, 28), "resize") > 8 * 64_000_000


def test_slow_decoders_get_small_images_only():
    """Pillow decodes plain-text PNM, run lengths of BMP and unusual levels of PNM in Python."""
    with pytest.raises(InputError, match="too large for its file format; save it as PNG"):
        load_image(b"P5\n2500 2000\n100\n" + bytes(5_000_000), "it", (28, 28), fit="resize")
    assert load_image(b"P5\n2500 2000\n255\n" + bytes(5_000_000), "it", (28, 28), fit="resize")[0].shape == (
        28,
        28,
    )


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b" " * 4000 + b"</x:xmpmeta>"


def camera_exif():
    made = Image.Exif()
    made[0x010F] = "A maker of cameras"
    made[0x0112] = 1
    made.get_ifd(0x8769)[0x927C] = bytes(40_000)  # a maker's notes
    made.get_ifd(0x8825)[1] = "N"
    return made


def text():
    made = PngImagePlugin.PngInfo()
    for number in range(20):
        made.add_text(f"key {number}", "text " * 100, zip=number % 2 == 0)
    made.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return made


COMPRESSIONS = ("raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma")
REAL = {
    "png": ("L", "PNG", {"optimize": True}),
    "png-metadata": (
        "RGB",
        "PNG",
        {"icc_profile": PROFILE, "exif": camera_exif(), "pnginfo": text(), "dpi": (72, 72)},
    ),
    "png-palette": ("P", "PNG", {"transparency": 3}),
    "png-1-bit": ("1", "PNG", {}),
    "png-16-bit": ("I;16", "PNG", {}),
    "png-gray-with-alpha": ("LA", "PNG", {"compress_level": 0}),
    "png-animated": ("RGB", "PNG", {"save_all": True, "append_images": [Image.new("RGB", (28, 28), "red")] * 9}),
    "jpeg": ("L", "JPEG", {"optimize": True, "comment": "made for a test"}),
    "jpeg-progressive": ("RGB", "JPEG", {"progressive": True, "subsampling": 2}),
    "jpeg-metadata": (
        "RGB",
        "JPEG",
        {"icc_profile": PROFILE * 300, "exif": camera_exif(), "xmp": XMP, "dpi": (300, 300)},
    ),
    "jpeg-cmyk": ("CMYK", "JPEG", {"icc_profile": PROFILE * 1000, "progressive": True}),
    "jpeg-restart": ("RGB", "JPEG", {"restart_marker_blocks": 1, "keep_rgb": True}),
    "mpo": (
        "RGB",
        "MPO",
        {"save_all": True, "append_images": [Image.new("RGB", (28, 28))], "exif": camera_exif()},
    ),
    "webp": ("RGB", "WEBP", {"icc_profile": PROFILE, "exif": camera_exif(), "xmp": XMP}),
    "webp-alpha": ("RGBA", "WEBP", {"lossless": True}),
    "webp-animated": (
        "RGB",
        "WEBP",
        {"save_all": True, "append_images": [Image.new("RGB", (28, 28), "red")] * 99},
    ),
    "gif": ("P", "GIF", {"comment": b"a comment " * 1000, "interlace": 1}),
    "gif-animated": (
        "RGB",
        "GIF",
        {
            "save_all": True,
            "append_images": [Image.new("RGB", (28, 28), (n, n, 0)) for n in range(200)],
            "loop": 0,
        },
    ),
    "bmp": ("RGB", "BMP", {}),
    "bmp-palette": ("P", "BMP", {}),
    "pgm": ("L", "PPM", {}),
    "ppm": ("RGB", "PPM", {}),
    "pbm": ("1", "PPM", {}),
    "pgm-16-bit": ("I;16", "PPM", {}),
    **{f"tiff-{kind}": ("RGB", "TIFF", {"compression": kind}) for kind in COMPRESSIONS},
    **{f"tiff-gray-{kind}": ("L", "TIFF", {"compression": kind}) for kind in COMPRESSIONS},
    **{f"tiff-1-bit-{kind}": ("1", "TIFF", {"compression": kind}) for kind in ("group3", "group4", "tiff_ccitt")},
    "tiff-big": ("L", "TIFF", {"big_tiff": True}),
    "tiff-cmyk": ("CMYK", "TIFF", {"compression": "tiff_lzw"}),
    "tiff-16-bit": ("I;16", "TIFF", {"compression": "tiff_lzw"}),
    "tiff-16-bit-big-endian": ("I;16B", "TIFF", {}),
    "tiff-palette": ("P", "TIFF", {}),
    "tiff-ycbcr-jpeg": ("YCbCr", "TIFF", {"compression": "jpeg", "quality": 90}),
    "tiff-alpha": ("RGBA", "TIFF", {"compression": "tiff_lzw"}),
    "tiff-row-strips": ("L", "TIFF", {"tiffinfo": {278: 1}, "compression": "tiff_lzw"}),
    "tiff-tiles": ("RGB", "TIFF", {"tiffinfo": {322: 256, 323: 256}, "compression": "tiff_deflate"}),
    "tiff-large-tiles": ("L", "TIFF", {"tiffinfo": {322: 2048, 323: 2048}, "compression": "tiff_lzw"}),
    "tiff-metadata": (
        "RGB",
        "TIFF",
        {"icc_profile": PROFILE * 100, "exif": camera_exif(), "description": "a" * 9000},
    ),
    "tiff-pages": ("L", "TIFF", {"save_all": True, "append_images": [Image.new("L", (28, 28))] * 50}),
}


def picture(mode):
    if mode.startswith("I;16"):
        levels = np.asarray(gray()).astype(np.uint16) * 257
        return Image.fromarray(levels.astype(">u2" if mode == "I;16B" else "<u2"))
    return gray().convert(mode)


@pytest.mark.parametrize("name", REAL)
def test_files_that_programs_write_are_read(name):
    mode, kind, options = REAL[name]
    try:
        content = saved(picture(mode), kind, **options)
    except OSError as error:
        pytest.skip(f"this Pillow does not write it: {error}")
    pixels, notes = load_image(content, "it", (28, 28))
    lossy = any(part in name for part in ("jpeg", "mpo", "webp"))
    expected = np.asarray((gray().convert("1") if mode == "1" else gray()).convert("L")).astype(int)
    if "png-palette" not in name:  # where a level is transparent
        assert abs(pixels - expected).mean() < (12 if lossy else 1)
    assert ("only the first frame is used" in notes) == ("save_all" in options)


def test_metadata_of_cameras_and_editors_is_accepted():
    """An extended XMP block of megabytes, Photoshop resources, and a video after the image."""
    extended = b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)
    photoshop = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0" + struct.pack(">I", 60_000) + bytes(60_000)
    segments = jpeg_segment(0xE1, extended) * 150 + jpeg_segment(0xED, photoshop) * 4
    content = jpeg_with(segments, progressive=True) + bytes(10_000_000)
    assert abs(load_image(content, "it", (28, 28))[0].astype(int) - np.asarray(gray())).mean() < 12


def test_a_gif_with_xmp_is_read():
    """The text is read as blocks, and the first letter of each block is its length."""
    xmp = b"!\xff\x0bXMP DataXMP" + b" " * 66_000 + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    assert load_image(gif(xmp + gif_comment(1, 20)), "it", (28, 28))[0].shape == (28, 28)


def test_pages_are_not_counted():
    assert load_image(tiff_of_frames(2), "it", (28, 28))[1] == ["only the first frame is used"]
    assert load_image(tiff_of_frames(1), "it", (28, 28))[1] == []


@pytest.mark.skipif(sys.platform == "win32", reason="libtiff cannot be reached on Windows")
def test_a_bad_tiff_is_one_sentence_on_standard_error(tmp_path):
    content = saved(gray(), "TIFF", compression="tiff_lzw")
    damaged = bytearray(content)
    damaged[200:400] = bytes(200)  # libtiff prints
    (tmp_path / "damaged.tiff").write_bytes(damaged)
    many_samples = tiff([(273, 4, 1, 8), (277, 3, 1, 9)], bytes(784))
    (tmp_path / "odd.tiff").write_bytes(many_samples)  # Pillow logs
    files = [tmp_path / "damaged.tiff", tmp_path / "odd.tiff"]
    program = "import sys; from fmae_edge.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "compress", *files, "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert all(line.startswith(f"fmae-edge: {tmp_path}") for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_is_turned_and_a_note_says_so(images, orientation, compression):
    stored = np.asarray(Image.fromarray(images[0]).resize((56, 28)))
    content = saved(Image.fromarray(stored), "TIFF", tiffinfo={0x0112: orientation}, compression=compression)
    turned = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}
    lying = {5: stored.T, 6: stored[::-1].T, 7: stored[::-1, ::-1].T, 8: stored[:, ::-1].T}
    upright = (turned | lying)[orientation]
    pixels, notes = load_image(content, "it", upright.shape)
    np.testing.assert_array_equal(pixels, upright)
    assert notes == ["EXIF orientation applied"] * (orientation > 1)
