"""A comparison shows the pixels, the doubled differences, and its figures."""

from dataclasses import replace

import numpy as np

from fmae_edge.measure.comparison import Comparison, draw_comparisons, enlarged_difference
from fmae_edge.measure.quality import measure_each

SIDE, MARGIN, LABELS = 28 * 5, 12, 100


def test_differences_are_doubled_around_gray():
    original = np.array([[100, 100, 100, 100, 0, 255, 100, 100]], np.uint8)
    reconstruction = np.array([[100, 101, 98, 163, 255, 0, 164, 36]], np.uint8)
    expected = [[128, 130, 124, 254, 255, 0, 255, 0]]
    difference = enlarged_difference(original, reconstruction)
    assert difference.dtype == np.uint8
    assert difference.tolist() == expected


def test_each_image_is_a_column_of_three_pictures(images):
    reconstructions = images[1:4]
    comparisons = [
        Comparison("default", f"{index}.png", before, after, 20, quality)
        for index, (before, after, quality) in enumerate(
            zip(images[:3], reconstructions, measure_each(images[:3], reconstructions), strict=True)
        )
    ]
    figure = np.asarray(draw_comparisons([comparisons], "quality 5"))
    for index, (before, after) in enumerate(zip(images[:3], reconstructions, strict=True)):
        left = MARGIN + LABELS + index * (SIDE + MARGIN)
        for line, expected in enumerate((before, after, enlarged_difference(before, after))):
            top = MARGIN + line * (SIDE + MARGIN)
            np.testing.assert_array_equal(figure[top : top + SIDE : 5, left : left + SIDE : 5], expected)


def test_the_captions_depend_on_what_was_measured(images):
    def drawn(name="a.png", file_bytes=20, settings="quality 5", pair=(0, 1)):
        before, after = images[[pair[0]]], images[[pair[1]]]
        (quality,) = measure_each(before, after)
        each = Comparison("default", name, images[0], images[1], file_bytes, quality)
        return np.asarray(draw_comparisons([[each]], settings))

    for changed in ({"name": "b.png"}, {"file_bytes": 21}, {"settings": "quality 6"}, {"pair": (0, 2)}):
        assert (drawn(**changed) != drawn()).any(), changed
    np.testing.assert_array_equal(drawn(name="folder/a.png"), drawn())


def test_each_bundle_has_a_pair_of_rows(images):
    def compared(bundle, reconstructions, file_bytes):
        qualities = measure_each(images[:2], reconstructions)
        return [
            Comparison(bundle, f"{index}.png", images[index], reconstructions[index], file_bytes, quality)
            for index, quality in enumerate(qualities)
        ]

    one, other = compared("default", images[2:4], 20), compared("folder/mine", images[4:6], 30)
    figure = np.asarray(draw_comparisons([one, other], "quality 5"))
    for index in range(2):
        rows = (images[index], *(view for each in (one, other) for view in _views(each[index])))
        left = MARGIN + LABELS + index * (SIDE + MARGIN)
        for line, expected in enumerate(rows):
            top = MARGIN + line * (SIDE + MARGIN)
            np.testing.assert_array_equal(figure[top : top + SIDE : 5, left : left + SIDE : 5], expected)
    alone = np.asarray(draw_comparisons([one], "quality 5"))
    assert figure.shape[0] > alone.shape[0] + 2 * SIDE
    renamed = [replace(each, bundle="detail") for each in other]
    assert (np.asarray(draw_comparisons([one, renamed], "quality 5")) != figure).any()


def _views(comparison):
    return comparison.reconstruction, comparison.difference
