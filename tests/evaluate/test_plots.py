"""The plot shows every curve in both panels, in one colour per codec, with names that cover nothing."""

import json
from itertools import combinations

import pytest

from fmae_edge.evaluate.evaluation import Evaluation
from fmae_edge.evaluate.plots import Curve, plot_rate, plot_rate_apart, psnr_window
from fmae_edge.measure.figure import plot_to_png
from tests.conftest import REPOSITORY

SINGLE = [
    Curve("fmae-edge", [(18, 20.8), (21, 21.5), (24, 22.1), (30, 22.7)]),
    Curve("WebP", [(98, 23.2), (84, 21.0), (162, 30.1)]),
    Curve("PCA", [(21, 19.1), (41, 21.8), (82, 25.3)]),
]
AMORTISED = [
    Curve("WebP", [(35, 21.0), (49, 23.2), (106, 30.2)]),
    Curve("fmae-edge", [(12, 20.8), (15, 21.5), (18, 22.1), (24, 22.7)]),
    Curve("AVIF", [(25, 20.7), (35, 23.1), (77, 29.8)]),
]


@pytest.fixture(scope="module")
def figure():
    return plot_rate(SINGLE, AMORTISED, (18, 31))


def test_every_curve_is_drawn_from_low_to_high(figure):
    for panel, curves in zip(figure.axes, (SINGLE, AMORTISED), strict=True):
        drawn = [list(zip(*line.get_data(), strict=True)) for line in panel.get_lines()]
        assert drawn == [sorted(curve.points) for curve in curves]
        assert panel.get_xscale() == "log"
        assert panel.get_ylim() == (18, 31)


def test_a_name_has_one_colour_and_appears_once_in_each_panel(figure):
    colours = {}
    for panel, curves in zip(figure.axes, (SINGLE, AMORTISED), strict=True):
        assert [text.get_text() for text in panel.texts] == [curve.name for curve in curves]
        for line, text in zip(panel.get_lines(), panel.texts, strict=True):
            assert text.get_color() == line.get_color()
            assert colours.setdefault(text.get_text(), text.get_color()) == text.get_color()
    assert len(set(colours.values())) == 4


def test_names_are_inside_the_panel_and_do_not_overlap(figure):
    assert plot_to_png(figure).startswith(b"\x89PNG")
    for panel in figure.axes:
        boxes = [text.get_window_extent() for text in panel.texts]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        frame = panel.get_window_extent()
        assert all(frame.containsx(x) and frame.containsy(y) for box in boxes for x, y in box.corners())


def test_names_cover_no_curve_even_where_curves_cross():
    """The curve of a model after one epoch is short, low, and close to the ends of the others."""
    crossing = [
        Curve("fmae-edge", [(12, 19.5), (16, 20.3), (22, 20.6), (32, 20.8)]),
        Curve("PCA", [(15, 19.2), (20, 20.0), (27, 20.9), (36, 21.9), (50, 23.3), (78, 25.4)]),
        Curve("AVIF", [(25, 20.3), (36, 22.9), (45, 24.4), (53, 25.6)]),
        Curve("WebP", [(36, 21.1), (49, 23.2), (55, 24.0), (61, 24.9), (73, 26.4)]),
        Curve("JPEG XL", [(39, 18.0), (47, 19.7), (57, 21.2), (67, 22.5), (84, 24.4), (111, 27.0)]),
        Curve("JPEG", [(29, 18.0), (39, 19.3), (50, 20.4), (62, 21.6), (78, 22.9), (99, 24.7)]),
    ]
    for figure in plot_rate_apart(crossing, crossing, (18, 25)):
        (panel,) = figure.axes
        boxes = [text.get_window_extent() for text in panel.texts]
        assert len(boxes) == len(crossing)
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        for line in panel.get_lines():
            path = line.get_transform().transform_path(line.get_path())
            for text, box in zip(panel.texts, boxes, strict=True):
                assert not path.intersects_bbox(box, filled=False), text.get_text()


@pytest.mark.parametrize(
    "curves",
    [[], [Curve("low", [(10, 14.0), (20, 16.5)])], [Curve("high", [(10, 28.0), (20, 30.0)])]],
)
def test_curves_outside_the_plot_are_not_an_error(curves):
    assert plot_to_png(plot_rate(curves, curves, (17.0, 27.0))).startswith(b"\x89PNG")


def test_without_curves_for_100_images_per_file_there_is_one_panel():
    (panel,) = plot_rate(SINGLE, [], (18, 31)).axes
    assert [text.get_text() for text in panel.texts] == [curve.name for curve in SINGLE]
    assert panel.get_title() == "one image per file"
    assert panel.get_ylabel()
    assert len(plot_rate_apart(SINGLE, [], (18, 31))) == 1


def test_more_curves_than_colours_are_an_error():
    with pytest.raises(ValueError, match="8 curves, but only 7 colours"):
        plot_rate([Curve(str(number), [(10, 20)]) for number in range(8)], [], (18, 31))


def test_the_window_of_fashion_mnist_is_as_published():
    record = json.loads((REPOSITORY / "docs/evaluation/evaluation.json").read_text())
    evaluation = Evaluation.from_record(record)
    curves = [
        curve
        for packing in ("single", "amortised")
        for name in evaluation.codecs()
        if (curve := evaluation.curve(name, packing)).points
    ]
    window = psnr_window(curves, "fmae-edge")
    assert window == (17, 27)
    assert plot_rate(curves[:6], curves[:6], window).axes[0].get_xlim() == (4, 500)


def test_the_window_follows_the_bundle_and_the_low_ends_of_others():
    def window(**levels):
        return psnr_window([Curve(name, [(10, psnr) for psnr in each]) for name, each in levels.items()], "ours")

    assert window(ours=(17.8, 18.1), AVIF=(22.1, 30), JPEG=(18, 35)) == (17, 25)
    assert window(ours=(36.5, 41.2), JPEG=(18, 45)) == (32, 45)
    assert window(JPEG=(18, 45)) == (17, 27)


def test_large_files_are_inside_the_panel():
    large = [Curve("fmae-edge", [(800, 20), (2000, 24)]), Curve("WebP", [(3000, 22), (90_000, 26)])]
    panel = plot_rate(large, large[:1], (18, 27)).axes[0]
    low, high = panel.get_xlim()
    assert low < 800
    assert high > 90_000
    assert {"1000", "10000"} <= {label.get_text() for label in panel.get_xticklabels()}
