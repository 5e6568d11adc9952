"""Figures show the pixels of the images, in a shape that is easy to view."""

import io

import numpy as np
import pytest
from PIL import Image

from fmae_edge.measure.figure import Column, columns_in_a_row, draw_columns, draw_reconstructions, to_png
from fmae_edge.measure.quality import Quality

SCALE, MARGIN, TEXT = 5, 12, 15


def test_originals_are_above_reconstructions(images):
    quality = Quality(mse=0.01, psnr_pooled=20.0, psnr_per_image=20.0, ssim=0.9)
    top, bottom = images[:3], 255 - images[:3]
    figure = np.asarray(draw_reconstructions(top, bottom, [quality] * 3))
    side = 28 * SCALE
    for column in range(3):
        left = MARGIN + column * (side + MARGIN)
        for row, expected in enumerate((top[column], bottom[column])):
            upper = MARGIN + row * (side + MARGIN)
            np.testing.assert_array_equal(
                figure[upper : upper + side : SCALE, left : left + side : SCALE], expected
            )
    captions = figure[2 * (side + MARGIN) + MARGIN :]
    assert (captions < 128).any()


def test_captions_show_what_was_measured(images):
    one, other = (
        np.asarray(draw_reconstructions(images[:1], images[:1], [Quality(0.01, psnr, psnr, 0.9)]))
        for psnr in (20.0, 31.0)
    )
    assert (one != other).any()


def test_many_columns_continue_in_the_next_row(images):
    scale = 3
    figure = np.asarray(draw_columns([Column((image,), ("x",)) for image in images[:100]]))
    side = 28 * scale
    across = (figure.shape[1] - MARGIN) // (side + MARGIN)
    band = side + MARGIN + TEXT + 18
    assert 1 < across < 100
    for index, image in enumerate(images[:100]):
        upper, left = MARGIN + index // across * band, MARGIN + index % across * (side + MARGIN)
        np.testing.assert_array_equal(figure[upper : upper + side : scale, left : left + side : scale], image)


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8), (9, 120, 3), (256, 20)])
def test_images_of_any_shape_are_drawn_in_their_colours(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    picture = draw_columns([Column((image, image), ("PSNR 23.40 dB",))] * 2, ("label",))
    assert picture.mode == ("RGB" if len(shape) == 3 else "L")
    height, width = shape[:2]
    scale = max(1, round(140 / max(height, width)))
    slot = max(width * scale, 84)
    left, top = MARGIN + 100 + (slot - width * scale) // 2, MARGIN
    pixels = np.asarray(picture)
    for upper in (top, top + height * scale + MARGIN):
        for start in (left, left + slot + MARGIN):
            found = pixels[upper : upper + height * scale : scale, start : start + width * scale : scale]
            np.testing.assert_array_equal(found, image)
    assert picture.width == MARGIN + 100 + 2 * (slot + MARGIN)


@pytest.mark.parametrize("count", [11, 40, 100, 1000])
def test_a_picture_of_many_columns_is_not_too_wide_or_too_high(images, count):
    picture = draw_columns([Column((images[0],) * 3, ("x",) * 4)] * count)
    assert 0.8 < picture.width / picture.height < 3.5


def test_rows_of_columns_are_equally_long():
    for count in range(1, 200):
        across = columns_in_a_row(count, 152, 500)
        rows = -(-count // across)
        assert rows * across - count < rows  # otherwise shorter rows would be enough
        assert across == count if count <= 10 else across >= 6


def test_labels_are_left_of_the_images_in_every_row(images):
    scale, rows = 3, 3
    columns = [Column((image, image), ()) for image in images[:30]]
    plain, labelled = (np.asarray(draw_columns(columns, labels)) for labels in ((), ("one", "two\nlines")))
    gutter = labelled.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(labelled[:, gutter:], plain)
    text_rows = np.flatnonzero((labelled[:, :gutter] < 128).any(axis=1))
    assert 1 + np.count_nonzero(np.diff(text_rows) > 28 * scale // 2) == 2 * rows


@pytest.mark.parametrize("name", ["a-very-long-name-" * 9 + ".png", "two\nlines", "caf\udce9.png", ""])
def test_a_caption_stays_under_its_image(images, name):
    figure = np.asarray(draw_columns([Column((images[0],), (name,))]))
    outside = np.delete(figure, slice(MARGIN, MARGIN + 28 * SCALE), axis=1)
    assert (outside == 255).all()


def test_a_png_holds_the_picture(images):
    picture = draw_columns([Column((images[0],), ("x",))])
    with Image.open(io.BytesIO(to_png(picture))) as read:
        assert read.format == "PNG"
        np.testing.assert_array_equal(np.asarray(read), np.asarray(picture))
