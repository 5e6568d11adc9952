"""Conversion between pixels and numbers keeps all 256 levels."""

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec, InputError
from fmae_edge.runtime.images import channels_first, channels_last, fewer_if_larger, to_levels, to_reals, to_uint8


def test_every_level_survives():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    numbers = to_reals(levels)
    assert (numbers.shape, numbers.dtype) == ((1, 16, 16), np.float32)
    assert (numbers.min(), numbers.max()) == (0, 1)
    np.testing.assert_array_equal(to_uint8(numbers), levels)


def test_pixels_are_rounded_to_the_nearest_level_and_clipped():
    found = to_uint8(np.array([0.4, 0.6, 1.4, 254.6, -3, 300], np.float32) / 255)
    np.testing.assert_array_equal(found, [0, 1, 1, 255, 0, 255])


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4, 5, 3)])
def test_graphs_get_channels_before_rows_and_callers_after_columns(shape):
    images = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    planes = channels_first(images)
    assert planes.shape == (2, 3 if len(shape) == 4 else 1, 4, 5)
    assert planes.flags.c_contiguous
    assert planes[1, -1, 3, 2] == images[1, 3, 2].max()
    np.testing.assert_array_equal(channels_last(planes), images)


def test_larger_images_are_fewer_at_once_and_smaller_ones_not_more():
    counts = [fewer_if_larger(64, numbers) for numbers in (64, 28 * 28, 32 * 32, 32 * 32 * 3, 256 * 256 * 3)]
    assert counts == [64, 64, 49, 16, 1]


def test_levels_are_unchanged_and_real_pixels_go_to_the_nearest_level():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for same in (levels, levels / 255, (levels / 255).astype(np.float32), (levels + 0.4) / 255 * (levels < 255)):
        found = to_levels(same)
        assert (found.shape, found.dtype) == ((1, 16, 16), np.uint8)
        np.testing.assert_array_equal(found[levels < 255], levels[levels < 255])


CODEC = Codec()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pixels_just_outside_0_to_1_are_refused_and_shown(images, dtype):
    above, below = np.nextafter(dtype(1), dtype(2)), np.nextafter(dtype(0), dtype(-1))
    assert str(above) != "1.0"
    for wrong in (above, below):
        some = (images[0] / 255).astype(dtype)
        some[0, :2] = 0, 1
        CODEC.encode(some)
        some[14, 14] = wrong
        with pytest.raises(
            InputError, match=f"values from .*{wrong!s}.*; floating-point pixels must lie in"
        ) as caught:
            CODEC.encode(some)
        assert "from 0.0 to 1.0;" not in str(caught.value)


def test_a_gray_pillow_image_is_accepted(images):
    gray = Image.fromarray(images[0])
    assert CODEC.compress(gray) == CODEC.compress(images[0])
    np.testing.assert_array_equal(CODEC.encode([gray, gray]), CODEC.encode(images[[0, 0]]))
    assert list(CODEC.compress_iter([gray])) == [CODEC.compress(images[0])]


def of_mode(mode, images):
    gray = Image.fromarray(images[0])
    if mode == "L with transparency":
        gray.info["transparency"] = 0
        return gray
    if mode == "P":  # its numbers are indices into the palette
        return gray.quantize(16)
    if mode == "LA":
        return Image.merge("LA", (gray, gray))
    if mode == "I;16":
        return Image.fromarray(images[0].astype(np.uint16) * 257)
    return Image.fromarray(images[0].astype(np.float32) / 255) if mode == "F" else gray.convert(mode)


@pytest.mark.parametrize(
    ("mode", "advice"),
    [
        ("P", r'mode P; expected L: use image.convert\("L"\)'),
        ("1", r'mode 1; expected L: use image.convert\("L"\)'),
        ("LA", r'mode LA; expected L: use image.convert\("L"\)'),
        ("RGB", r'mode RGB; expected L: use image.convert\("L"\)'),
        ("L with transparency", "transparent pixels; put it on a background"),
        ("I", "mode I, which is more than 8 bits; scale it to uint8"),
        ("I;16", "mode I;16, which is more than 8 bits; scale it to uint8"),
        ("F", "mode F, which is more than 8 bits; scale it to uint8"),
    ],
)
def test_a_pillow_image_in_another_mode_than_gray_is_refused(images, mode, advice):
    image, gray = of_mode(mode, images), Image.fromarray(images[0])
    calls = [
        lambda: CODEC.encode(image),
        lambda: CODEC.compress(image),
        lambda: CODEC.encode([gray, image]),
        lambda: CODEC.compress_batch((gray, image)),
        lambda: CODEC.encode([[gray], [image]]),
        lambda: CODEC.encode([gray] * 1100 + [image]),
        lambda: list(CODEC.compress_iter([gray, image])),
    ]
    for call in calls:
        with pytest.raises(InputError, match=advice):
            call()
