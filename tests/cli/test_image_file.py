"""Conversions to grayscale are what a person would expect, and are said."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fmae_edge.cli.image_file import load_gray, png_bytes
from fmae_edge.runtime.errors import InputError


def load(image, fit=None, **options):
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return load_gray(stream.getvalue(), "it", (28, 28), fit)


@pytest.fixture
def gray(images):
    return Image.fromarray(images[0])


def test_gray_is_taken_as_it_is(gray, images):
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


def test_one_bit_becomes_black_and_white(gray, images):
    found, notes = load(gray.point(lambda level: 255 * (level > 99), "1"))
    np.testing.assert_array_equal(found, 255 * (images[0] > 99))
    assert notes == ["1-bit converted to grayscale"]


def test_transparent_parts_are_black_whatever_colour_they_hide(images):
    hidden = np.full((28, 28, 4), 255, np.uint8)
    hidden[:, :, 3] = images[0]
    found, notes = load(Image.fromarray(hidden, "RGBA"))
    np.testing.assert_allclose(found.astype(int), images[0], atol=1)
    assert "transparent parts put on black" in notes


def test_a_transparent_gray_level(images):
    found, notes = load(Image.new("L", (28, 28), 200), transparency=200)
    assert (found == 0).all()
    assert "transparent parts put on black" in notes


def test_luma_weights():
    for colour, level in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):  # ITU-R 601
        found, _ = load(Image.new("RGB", (28, 28), colour))
        assert (abs(found.astype(int) - level) <= 1).all()


@pytest.mark.parametrize("size", [(27, 28), (28, 27), (1, 1), (56, 56), (100, 30)])
def test_other_sizes_are_refused_or_resized(size):
    image = Image.new("L", size, 90)
    with pytest.raises(
        InputError, match=f"it: the image is {size[0]}x{size[1]} and must be 28x28; --fit resize will"
    ):
        load(image)
    found, notes = load(image, fit="resize")
    assert found.shape == (28, 28)
    assert (found == 90).all()
    assert notes == [f"resized from {size[0]}x{size[1]} to 28x28"]


@pytest.mark.parametrize("size", [(40_000, 40_000), (70_000, 1)])
@pytest.mark.parametrize("fit", [None, "resize"])
def test_a_picture_of_gigapixels_is_refused_by_its_header(fit, size):
    header = png_bytes(np.zeros((1, 1), np.uint8))
    import struct
    import zlib

    chunk = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    bomb = header[:8] + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + header[33:]
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]} and must be 28x28; it is too large"):
        load_gray(bomb, "it", (28, 28), fit)


GOOD = png_bytes(np.arange(784, dtype=np.uint16).astype(np.uint8).reshape(28, 28))


@pytest.mark.parametrize("length", [8, 20, 33, 40, len(GOOD) // 2, len(GOOD) - 20])
def test_a_truncated_picture(length):
    with pytest.raises(InputError, match="it: "):
        load_gray(GOOD[:length], "it", (28, 28), None)


@pytest.mark.parametrize("at", range(45, len(GOOD) - 16, 7))
def test_damaged_pixels_are_never_shown(at):
    content = bytearray(GOOD)
    content[at] ^= 0x10
    with pytest.raises(InputError, match="it: the image is truncated or damaged"):
        load_gray(bytes(content), "it", (28, 28), None)


def test_only_the_first_frame_is_taken_and_that_is_said(images):
    stream = io.BytesIO()
    frames = [Image.fromarray(frame) for frame in images[:3]]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    found, notes = load_gray(stream.getvalue(), "it", (28, 28), None)
    np.testing.assert_array_equal(found, images[0])
    assert notes == ["the first of 3 frames"]


@settings(max_examples=300, deadline=None)
@given(st.integers(8, len(GOOD) - 1), st.integers(1, 255))
def test_any_changed_byte_is_an_image_or_an_error(at, change):
    content = bytearray(GOOD)
    content[at] ^= change
    try:
        found, _ = load_gray(bytes(content), "it", (28, 28), None)
    except InputError as error:
        assert str(error).startswith("it: ")
    else:
        assert found.shape == (28, 28)


def test_png_round_trip(images):
    with Image.open(io.BytesIO(png_bytes(images[0]))) as image:
        np.testing.assert_array_equal(np.asarray(image), images[0])
