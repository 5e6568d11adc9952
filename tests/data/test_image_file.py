"""Images are converted to grayscale as users expect, and a note names each conversion."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fmae_edge.data.image_checks import ADAM7_PASSES, check_png
from fmae_edge.data.image_file import SizeError, image_size, load_image, png_bytes
from fmae_edge.runtime.errors import InputError
from fuzz.image_parts import interlaced_rows, png, png_chunk, png_rows


def load(image, fit=None, **options):
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return load_image(stream.getvalue(), "it", (28, 28), fit=fit)


@pytest.fixture
def gray(images):
    return Image.fromarray(images[0])


def test_gray_images_are_not_changed(gray, images):
    found, notes = load(gray)
    np.testing.assert_array_equal(found, images[0])
    assert notes == []


@pytest.mark.parametrize(
    ("mode", "note"), [("RGB", "RGB"), ("RGBA", "RGBA"), ("LA", "gray with alpha"), ("P", "palette")]
)
def test_colour_modes_of_a_gray_picture_give_the_picture(gray, images, mode, note):
    found, notes = load(gray.convert(mode))
    np.testing.assert_allclose(found.astype(int), images[0], atol=1)
    assert any(note in text and "converted to grayscale" in text for text in notes)


def test_sixteen_bits_are_scaled_not_clipped(gray, images):
    wide = Image.fromarray(images[0].astype(np.uint16) * 257)
    assert wide.mode == "I;16"
    found, notes = load(wide)
    np.testing.assert_array_equal(found, images[0])
    assert notes == ["16-bit gray converted to 8-bit"]
    dim, _ = load(Image.fromarray(np.full((28, 28), 130, np.uint16)))
    assert (dim == 1).all()


def test_sixteen_bits_of_a_pgm(images):
    stream = io.BytesIO(b"P5\n28 28\n65535\n" + (images[0].astype(">u2") * 257).tobytes())
    found, notes = load_image(stream.getvalue(), "it", (28, 28))
    np.testing.assert_array_equal(found, images[0])
    assert notes == ["16-bit gray converted to 8-bit"]


def test_lab_colours_are_refused_by_name(images):
    stream = io.BytesIO()
    Image.new("LAB", (28, 28)).save(stream, "TIFF")
    with pytest.raises(InputError, match="it: the image has LAB colours"):
        load_image(stream.getvalue(), "it", (28, 28))


def test_one_bit_becomes_black_and_white(gray, images):
    found, notes = load(gray.point(lambda level: 255 * (level > 99), "1"))
    np.testing.assert_array_equal(found, 255 * (images[0] > 99))
    assert notes == ["1-bit converted to grayscale"]


def test_transparent_parts_are_black_and_hide_their_colour(images):
    hidden = np.full((28, 28, 4), 255, np.uint8)
    hidden[:, :, 3] = images[0]
    found, notes = load(Image.fromarray(hidden, "RGBA"))
    np.testing.assert_allclose(found.astype(int), images[0], atol=1)
    assert "transparent parts made black" in notes


def test_a_transparent_gray_level(images):
    found, notes = load(Image.new("L", (28, 28), 200), transparency=200)
    assert (found == 0).all()
    assert "transparent parts made black" in notes


def test_luma_weights():
    for colour, level in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):  # ITU-R 601
        found, _ = load(Image.new("RGB", (28, 28), colour))
        assert (abs(found.astype(int) - level) <= 1).all()


def load_rgb(image, size=None, fit=None, **options):
    stream = io.BytesIO()
    image.save(stream, options.pop("format", "PNG"), **options)
    return load_image(stream.getvalue(), "it", size or image.size[::-1], 3, fit)


def test_rgb_images_are_not_changed():
    colours = np.random.default_rng(0).integers(0, 256, (9, 20, 3), np.uint8)
    for format in ("PNG", "BMP", "PPM"):
        found, notes = load_rgb(Image.fromarray(colours), format=format)
        np.testing.assert_array_equal(found, colours)
        assert notes == []
    np.testing.assert_array_equal(load_image(png_bytes(colours), "it", (9, 20), 3)[0], colours)


@pytest.mark.parametrize(
    ("mode", "note"),
    [
        ("L", "grayscale converted to RGB"),
        ("1", "1-bit converted to RGB"),
        ("P", "palette converted to RGB"),
        ("LA", "gray with alpha converted to RGB"),
        ("RGBA", "RGBA converted to RGB"),
        ("CMYK", "CMYK converted to RGB"),
    ],
)
def test_other_modes_become_rgb_with_a_note(mode, note):
    image = Image.new("RGB", (9, 12), (255, 0, 0) if mode in ("P", "RGBA", "CMYK") else (255, 255, 255)).convert(
        mode
    )
    found, notes = load_rgb(image, format="TIFF" if mode == "CMYK" else "PNG")
    assert notes[0] == note
    expected = (255, 0, 0) if mode in ("P", "RGBA", "CMYK") else (255, 255, 255)
    assert found.shape == (12, 9, 3)
    assert (abs(found.astype(int) - expected) <= 1).all()


def test_transparent_parts_of_rgb_are_black():
    hidden = np.full((8, 9, 4), 255, np.uint8)
    hidden[:, :4, 3] = 0
    found, notes = load_rgb(Image.fromarray(hidden, "RGBA"))
    assert (found[:, :4] == 0).all()
    assert (found[:, 4:] == 255).all()
    assert notes == ["RGBA converted to RGB", "transparent parts made black"]
    found, notes = load_rgb(Image.new("RGB", (9, 8), (1, 2, 3)), transparency=(1, 2, 3))
    assert (found == 0).all()
    assert notes == ["transparent parts made black"]


def test_sixteen_bits_become_rgb_of_eight():
    found, notes = load_rgb(Image.fromarray(np.full((8, 9), 300 * 257 % 65536, np.uint16)))
    assert notes == ["16-bit gray converted to 8-bit", "grayscale converted to RGB"]
    assert found.shape == (8, 9, 3)
    row = b"\0" + np.array([[0x1234, 0x5678, 0x9ABC]] * 9, ">u2").tobytes()
    header = struct.pack(">IIBBBBB", 9, 8, 16, 2, 0, 0, 0)
    chunks = png_chunk(b"IDAT", zlib.compress(row * 8)) + png_chunk(b"IEND", b"")
    deep = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + chunks
    found, notes = load_image(deep, "it", (8, 9), 3)
    assert (found == (0x12, 0x56, 0x9A)).all()
    assert notes == ["16-bit channels converted to 8-bit"]


def test_rgb_of_another_size_is_refused_or_resized():
    image = Image.new("RGB", (40, 30), (9, 99, 199))
    with pytest.raises(SizeError, match=r"40x30 and must be 9x8 \(width x height\)$"):
        load_rgb(image, size=(8, 9))
    found, notes = load_rgb(image, size=(8, 9), fit="resize")
    assert (found == (9, 99, 199)).all()
    assert notes == ["resized from 40x30 to 9x8"]


def test_crop_scales_to_cover_the_size_and_cuts_out_the_centre():
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 200
    found, notes = load_image(png_bytes(wide), "it", (10, 10), 1, "crop")
    assert (found[:, 2:8] >= 195).all()
    assert (found >= 185).all()  # at the edges, the filter uses pixels outside the crop
    assert notes == ["scaled and cropped from 60x20 to 10x10"]
    tall, _ = load_image(png_bytes(wide.T.copy()), "it", (10, 10), 1, "crop")
    np.testing.assert_array_equal(tall, found.T)


def test_pad_scales_to_fit_inside_and_adds_black():
    wide = np.full((20, 60, 3), (200, 100, 50), np.uint8)
    found, notes = load_image(png_bytes(wide), "it", (12, 12), 3, "pad")
    assert (found[4:8] == (200, 100, 50)).all()
    assert (found[:4] == 0).all()
    assert (found[8:] == 0).all()
    assert notes == ["scaled and padded with black from 60x20 to 12x12"]
    small, _ = load_image(png_bytes(wide[:2, :2]), "it", (12, 12), 3, "pad")
    assert (small == (200, 100, 50)).all()


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (27, 28), (29, 31), (200, 7)])
def test_every_fit_gives_the_size_and_keeps_a_flat_image_flat(fit, size):
    found, _ = load_image(png_bytes(np.full(size, 90, np.uint8)), "it", (28, 20), 1, fit)
    assert found.shape == (28, 20)
    assert (found[13:15, 9:11] == 90).any()
    assert set(np.unique(found)) <= ({0, 90} if fit == "pad" else {90})


@pytest.mark.parametrize("fit", [None, "resize", "crop", "pad"])
def test_an_image_of_the_size_is_never_changed(images, fit):
    found, notes = load_image(png_bytes(images[0]), "it", (28, 28), 1, fit)
    np.testing.assert_array_equal(found, images[0])
    assert notes == []


def file_of(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_without_a_number_of_channels_an_image_without_colours_is_gray(gray, mode):
    image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257) if mode == "I;16" else gray.convert(mode)
    content = file_of(image)
    found, notes = load_image(content, "it", (28, 28), None)
    expected, expected_notes = load_image(content, "it", (28, 28), 1)
    np.testing.assert_array_equal(found, expected)
    assert notes == expected_notes


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA", "CMYK"])
def test_without_a_number_of_channels_one_coloured_pixel_makes_an_image_rgb(mode):
    image = Image.new("RGB", (9, 8), (9, 9, 9))
    image.putpixel((3, 4), (9, 9, 200))
    content = file_of(image.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    found, notes = load_image(content, "it", (8, 9), None)
    expected, expected_notes = load_image(content, "it", (8, 9), 3)
    np.testing.assert_array_equal(found, expected)
    assert notes == expected_notes


def test_colours_that_are_transparent_do_not_count():
    pixels = np.full((8, 9, 4), 99, np.uint8)
    pixels[0, 0] = (255, 0, 0, 0)
    assert load_image(file_of(Image.fromarray(pixels, "RGBA")), "it", (8, 9), None)[0].shape == (8, 9)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_size_is_known_without_the_pixels(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.new("L", (30, 20)), kind, exif=exif)
    size = image_size(content, "it")
    assert load_image(content, "it", size)[0].shape == size
    with pytest.raises(SizeError) as raised:
        load_image(content, "it", (28, 28))
    assert raised.value.size == size


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n123"])
def test_the_size_of_what_is_no_image(content):
    with pytest.raises(InputError, match="it: not an image file"):
        image_size(content, "it")


@pytest.mark.parametrize("size", [(27, 28), (28, 27), (1, 1), (56, 56), (100, 30)])
def test_other_sizes_are_refused_or_resized(size):
    image = Image.new("L", size, 90)
    with pytest.raises(SizeError, match=f"^it: the image is {size[0]}x{size[1]} and must be 28x28$"):
        load(image)
    found, notes = load(image, fit="resize")
    assert found.shape == (28, 28)
    assert (found == 90).all()
    assert notes == [f"resized from {size[0]}x{size[1]} to 28x28"]


@pytest.mark.parametrize("size", [(40_000, 40_000), (70_000, 1)])
@pytest.mark.parametrize("fit", [None, "resize"])
def test_a_picture_of_gigapixels_is_refused_by_its_header(fit, size):
    bomb = png(png_chunk(b"IDAT", zlib.compress(b"\0\0")), size=size)
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]} and must be 28x28; it is too large"):
        load_image(bomb, "it", (28, 28), fit=fit)


GOOD = png_bytes(np.arange(784, dtype=np.uint16).astype(np.uint8).reshape(28, 28))


@pytest.mark.parametrize("length", [8, 20, 33, 40, len(GOOD) // 2, len(GOOD) - 20])
def test_a_truncated_picture(length):
    with pytest.raises(InputError, match="it: "):
        load_image(GOOD[:length], "it", (28, 28))


@pytest.mark.parametrize("at", range(45, len(GOOD) - 16, 7))
def test_damaged_pixels_are_never_shown(at):
    content = bytearray(GOOD)
    content[at] ^= 0x10
    with pytest.raises(InputError, match="it: the image is truncated or damaged"):
        load_image(bytes(content), "it", (28, 28))


def test_only_the_first_frame_is_read_and_a_note_says_so(images):
    stream = io.BytesIO()
    frames = [Image.fromarray(frame) for frame in images[:3]]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    found, notes = load_image(stream.getvalue(), "it", (28, 28))
    np.testing.assert_array_equal(found, images[0])
    assert notes == ["only the first frame is used"]


@settings(max_examples=300, deadline=None)
@given(st.integers(8, len(GOOD) - 1), st.integers(1, 255))
def test_any_changed_byte_is_an_image_or_an_error(at, change):
    content = bytearray(GOOD)
    content[at] ^= change
    try:
        found, _ = load_image(bytes(content), "it", (28, 28))
    except InputError as error:
        assert str(error).startswith("it: ")
    else:
        assert found.shape == (28, 28)


def test_a_bomb_of_another_format_is_refused():
    header = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, 60000, 60000, 1, 24, 0, 0, 1, 1, 0, 0)
    with pytest.raises(InputError, match="it: the image (is 60000x60000|has more pixels than the limit)"):
        load_image(header + bytes(100), "it", (28, 28), fit="resize")


def png_of(rows, size=(28, 28), depth=8, interlaced=False, before=b"", behind=b""):
    """Return a PNG file of rows, which may not match its header, with chunks before and after them."""
    pixels = png_chunk(b"IDAT", zlib.compress(rows))
    return png(before, pixels, behind, size=size, depth=depth, interlaced=interlaced)


@pytest.mark.parametrize("size", [(28, 28), (1, 1), (3, 5), (4, 1), (1, 9), (33, 17)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_missing_rows_are_an_error_and_not_black(size, interlaced):
    pixels = np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)
    rows = interlaced_rows(pixels) if interlaced else png_rows(pixels)
    found, _ = load_image(png_of(rows, size, interlaced=interlaced), "it", size[::-1])
    np.testing.assert_array_equal(found, pixels)
    with pytest.raises(InputError, match=r"it: the image is (truncated|damaged)"):
        load_image(png_of(rows[:-1], size, interlaced=interlaced), "it", size[::-1])
    if interlaced or size[1] > 1:
        with pytest.raises(InputError, match=r"it: the image is (truncated|damaged)"):
            load_image(png_of(rows[: -size[0] - 1], size, interlaced=interlaced), "it", size[::-1])


@pytest.mark.parametrize(("depth", "row_bytes"), [(1, 2), (2, 3), (4, 5)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_the_last_byte_of_a_row_counts_even_if_partly_used(depth, row_bytes, interlaced):
    """Nine pixels of these depths fill `row_bytes` bytes, the last one partly."""
    rows = (b"\0" + b"\xff" * row_bytes) * 9
    if interlaced:  # most rows of the passes have one pixel, which fills part of a byte
        rows = b"".join(
            (b"\0" + b"\xff" * -(-len(range(x, 9, dx)) * depth // 8)) * len(range(y, 9, dy))
            for x, y, dx, dy in ADAM7_PASSES
            if range(x, 9, dx)
        )
    found, _ = load_image(png_of(rows, (9, 9), depth, interlaced), "it", (9, 9))
    assert (found == 255).all()
    with pytest.raises(InputError, match="it: the image is truncated: 1 bytes of its pixels are missing"):
        check_png(png_of(rows[:-1], (9, 9), depth, interlaced), "it")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_level_is_black_at_every_depth(depth):
    """White is declared transparent; a darker level is not."""
    levels = np.array([[2**depth - 1, 2**depth - 1 - 2 ** (depth - 1)]] * 2)
    rows = b"".join(
        b"\0" + (row.astype(">u2").tobytes() if depth == 16 else np.packbits(bits_of(row, depth)).tobytes())
        for row in levels
    )
    transparent = png_chunk(b"tRNS", struct.pack(">H", 2**depth - 1))
    file = png_of(rows, (2, 2), depth, before=transparent)
    found, notes = load_image(file, "it", (2, 2))
    assert (found[:, 0] == 0).all()
    assert (found[:, 1] == round(255 * levels[0, 1] / (2**depth - 1))).all()
    assert "transparent parts made black" in notes
    plain, _ = load_image(png_of(rows, (2, 2), depth), "it", (2, 2))
    assert (plain[:, 0] == 255).all()


def bits_of(row, depth):
    return [level >> shift & 1 for level in row for shift in range(depth - 1, -1, -1)]


def test_an_image_with_much_text_is_read(images):
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))
    file = png_of(png_rows(images[0]), before=text)
    np.testing.assert_array_equal(load_image(file, "it", (28, 28))[0], images[0])


def test_exif_behind_the_pixels_counts(images):
    exif = Image.Exif()
    exif[0x0112] = 3
    file = png_of(png_rows(images[0]), behind=png_chunk(b"eXIf", exif.tobytes()[6:]))
    found, notes = load_image(file, "it", (28, 28))
    np.testing.assert_array_equal(found, images[0][::-1, ::-1])
    assert notes == ["EXIF orientation applied"]


@pytest.mark.parametrize("orientation", range(9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_rotated_by_its_exif_orientation(images, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    picture = Image.fromarray(images[0]).resize((56, 28))
    picture.save(stream, kind, exif=exif, **({} if kind == "PNG" else {"quality": 100}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stream.getvalue())))
    width, height = upright.size
    found, notes = load_image(stream.getvalue(), "it", (height, width))
    np.testing.assert_array_equal(found, np.asarray(upright.convert("L")))
    assert ("EXIF orientation applied" in notes) == (orientation > 1)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # the command line silences it, and pytest undoes that
def test_an_image_with_damaged_exif_is_read(images):
    stream = io.BytesIO()
    Image.fromarray(images[0]).save(stream, "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    np.testing.assert_array_equal(load_image(stream.getvalue(), "it", (28, 28))[0], images[0])


def test_png_round_trip(images):
    with Image.open(io.BytesIO(png_bytes(images[0]))) as image:
        np.testing.assert_array_equal(np.asarray(image), images[0])
