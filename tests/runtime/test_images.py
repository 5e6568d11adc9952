"""Pixels become numbers and numbers pixels without a level lost."""

import numpy as np

from fmae_edge.runtime.images import to_levels, to_reals, to_uint8


def test_every_level_survives():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    numbers = to_reals(levels, 1)
    assert (numbers.shape, numbers.dtype) == ((1, 1, 16, 16), np.float32)
    assert (numbers.min(), numbers.max()) == (0, 1)
    np.testing.assert_array_equal(to_uint8(numbers)[0], levels)


def test_pixels_are_rounded_to_the_nearest_level_and_clipped():
    found = to_uint8(np.array([0.4, 0.6, 1.4, 254.6, -3, 300], np.float32) / 255)
    np.testing.assert_array_equal(found, [0, 1, 1, 255, 0, 255])


def test_channels_come_before_rows():
    planes = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(to_reals(planes, 3), planes / np.float32(255))


def test_levels_are_left_alone_and_real_pixels_go_to_the_nearest():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for same in (levels, levels / 255, (levels / 255).astype(np.float32), (levels + 0.4) / 255 * (levels < 255)):
        found = to_levels(same, 1)
        assert (found.shape, found.dtype) == ((1, 1, 16, 16), np.uint8)
        np.testing.assert_array_equal(found[0][levels < 255], levels[levels < 255])
