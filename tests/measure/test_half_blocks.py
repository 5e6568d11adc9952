"""The text that is drawn in a terminal shows the pixels of the images."""

import re

import numpy as np
import pytest

from fmae_edge.measure.half_blocks import choose_style, image_lines, side_by_side
from tests.half_block_decoder import decode


@pytest.mark.parametrize("shape", [(28, 28), (2, 1), (1, 3), (7, 5)])
def test_half_blocks_are_the_pixels(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    image[:, 0] = 0  # runs of one gray, where codes are left out
    shown = decode("\n".join(image_lines(image, "half blocks")))
    np.testing.assert_array_equal(shown[: shape[0]], image)
    assert (shown[shape[0] :] == -1).all()  # below an image of odd height


def test_half_blocks_of_rgb_are_in_the_colours_of_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    image[:2, 1:3] = 7, 8, 9  # runs of one colour, where codes are left out
    planes = [image_lines(np.ascontiguousarray(image[..., channel]), "half blocks") for channel in range(3)]
    for row, line in enumerate(image_lines(image, "half blocks")):
        ink = paper = None
        found = []
        for ground, colour, block in re.findall("\x1b\\[([34])8;2;([0-9;]+)m|(\u2580)", line):
            numbers = [int(number) for number in colour.split(";")] if colour else None
            ink, paper = (numbers if ground == "3" else ink), (numbers if ground == "4" else paper)
            if block:
                found.append((ink, paper))
        assert found == list(zip(image[2 * row].tolist(), image[2 * row + 1].tolist(), strict=True))
        assert line.count("\u2580") == planes[0][row].count("\u2580")


def test_rgb_is_shaded_by_its_luma():
    image = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]]], np.uint8)
    gray = np.array([[255, 76, 150, 29, 0]], np.uint8)
    for style in ("shades", "ascii"):
        assert image_lines(image, style) == image_lines(gray, style)


def test_every_line_resets_its_colours(images):
    for line in image_lines(images[0], "half blocks"):
        assert line.endswith("\x1b[0m")


@pytest.mark.parametrize(("style", "ramp"), [("shades", " ░▒▓█"), ("ascii", " .:-=+*#%@")])
def test_brighter_pixels_are_denser_characters(style, ramp):
    image = np.repeat(np.arange(256, dtype=np.uint8)[None], 3, axis=0)
    first, last = image_lines(image, style)
    assert first == last  # a single row at the bottom is as bright as a pair of rows
    levels = [ramp.index(character) for character in first]
    assert levels == sorted(levels)
    assert np.bincount(levels, minlength=len(ramp)).min() >= 256 // len(ramp)
    mixed = np.array([[0], [255]], np.uint8)
    assert image_lines(mixed, style) == [ramp[(len(ramp) - 1) // 2]]


def test_the_best_style_that_the_encoding_can_show():
    assert choose_style("utf-8", colours=True) == "half blocks"
    assert choose_style("utf-8", colours=False) == "shades"
    assert choose_style("cp437", colours=False) == "shades"
    for colours in (False, True):
        assert choose_style("ascii", colours) == choose_style("latin-1", colours) == "ascii"


@pytest.mark.parametrize(("width", "across"), [(88, 3), (10_000, 3), (87, 2), (58, 2), (57, 1), (28, 1), (5, 1)])
def test_as_many_images_are_side_by_side_as_fit(images, width, across):
    names = ("one", "two", "three")
    pictures = list(zip(names, images[:3], strict=True))
    text = side_by_side(pictures, "half blocks", width)
    lines = text.splitlines()
    rows = -(-3 // across)
    assert len(lines) == rows * (14 + 1)
    for index, (name, image) in enumerate(pictures):
        row, left = index // across, index % across * 30
        block = decode("\n".join(lines[row * 15 : row * 15 + 14]))
        np.testing.assert_array_equal(block[:, left : left + 28], image)
        assert lines[row * 15 + 14][left:].startswith(name)
    assert max(len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in lines) <= max(width, 28)


def test_captions_wider_than_images_do_not_touch():
    image = np.zeros((2, 2), np.uint8)
    text = side_by_side([("a long one", image), ("another", image)], "shades", 80)
    assert text.splitlines()[-1] == "a long one  another"
