"""Plot measurements: rate-distortion curves of codecs, and the throughput of a bundle over the batch size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fmae_edge.evaluate.bench import BATCHES, Bench

Point = tuple[float, float]
Floats = NDArray[np.float64]

# Okabe and Ito's palette, which colour-blind people can distinguish, without the yellow, which is too pale on
# white. Blue and orange are visible on white and on black
BLUE, ORANGE = "#0072B2", "#D55E00"
_COLOURS = ("#000000", ORANGE, BLUE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = "osD^vPX"
MAX_CURVES = len(_COLOURS)
TITLES = ("one image per file", "headers amortised over 100 images")
_PSNR = "PSNR in dB, pooled over all images"
# The window of Fashion-MNIST, which other images have too if their curves fit in it
_BYTES_WINDOW = (4.0, 500.0)
_BELOW_OURS, _ABOVE_OURS, _BEYOND_OTHERS = 4, 3, 2  # dB
_POINTS_PER_INCH = 72
_POINTS_PER_LINE = 200
_ANCHOR_EVERY = 5
# The size of a label in letters of 9 points, and its positions around a point of the curve, the best first
_LETTER_WIDTH, _LINE_HEIGHT = 6.5, 11
_GAPS = (4, 12, 24)
_SIDES = np.array([(0, -1), (-1, 0), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)])
_CORNERS = np.stack(np.meshgrid(np.linspace(-1, 1, 9), (-1, 0, 1)), axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Curve:
    """The name of a codec and its (bytes per image, pooled PSNR in dB) points."""

    name: str
    points: Sequence[Point]


def psnr_window(curves: Sequence[Curve], name: str) -> tuple[float, float]:
    """Return the PSNR range in dB to plot: around the curves of a bundle, with the low end of all other curves.

    `name` is that of the curves of the bundle.
    """
    ours = [psnr for curve in curves if curve.name == name for _, psnr in curve.points]
    if not ours:
        return 17.0, 27.0
    lowest = [min(psnr for _, psnr in curve.points) for curve in curves if curve.points]
    low = max(np.floor(min(lowest)), np.floor(min(ours)) - _BELOW_OURS)
    return float(low), float(max(np.ceil(max(ours)) + _ABOVE_OURS, np.ceil(max(lowest)) + _BEYOND_OTHERS))


def _bytes_window(curves: Sequence[Curve], psnr_range: tuple[float, float]) -> tuple[float, float]:
    low, high = psnr_range
    sizes = [size for curve in curves for size, psnr in curve.points if low <= psnr <= high]
    least, most = min(sizes, default=_BYTES_WINDOW[0]), max(sizes, default=_BYTES_WINDOW[1])
    if _BYTES_WINDOW[0] <= least and most <= _BYTES_WINDOW[1]:
        return _BYTES_WINDOW
    return least / 2, most * 1.5


def plot_rate(single: Sequence[Curve], amortised: Sequence[Curve], psnr_range: tuple[float, float]) -> Figure:
    """Draw the curves for one image per file and for 100 images per file in two panels; the first curve is bold.

    Without curves for 100 images per file there is one panel. A codec has the same colour in both. Points outside
    `psnr_range` in dB are cut off. Raises ValueError if there are more than `MAX_CURVES` names.
    """
    names = _names(single, amortised)
    drawn = (single, amortised) if amortised else (single,)
    figure = Figure(figsize=(5.5 * len(drawn), 5), layout="constrained")
    panels = figure.subplots(1, len(drawn), sharex=True, sharey=True, squeeze=False)[0]
    for panel, title, curves in zip(panels, TITLES, drawn, strict=False):
        _draw(panel, title, curves, names, psnr_range, _bytes_window([*single, *amortised], psnr_range))
    panels[0].set_ylabel(_PSNR)
    figure.draw_without_rendering()  # lays out the panels, so that the positions of labels are known
    for panel, curves in zip(panels, drawn, strict=True):
        _label(panel, curves, names)
    return figure


def plot_rate_apart(
    single: Sequence[Curve], amortised: Sequence[Curve], psnr_range: tuple[float, float]
) -> list[Figure]:
    """Draw each panel of `plot_rate` as a figure, so that a narrow page can stack them."""
    names = _names(single, amortised)
    figures = []
    for title, curves in zip(TITLES, (single, amortised) if amortised else (single,), strict=False):
        figure = Figure(figsize=(4.8, 4.4), layout="constrained")
        figures.append(figure)
        panel = figure.subplots()
        _draw(panel, title, curves, names, psnr_range, _bytes_window([*single, *amortised], psnr_range))
        panel.set_ylabel(_PSNR)
        figure.draw_without_rendering()
        _label(panel, curves, names)
    return figures


def _names(*panels: Sequence[Curve]) -> list[str]:
    names = list(dict.fromkeys(curve.name for curves in panels for curve in curves))
    if len(names) > MAX_CURVES:
        raise ValueError(f"{len(names)} curves, but only {MAX_CURVES} colours that everyone can distinguish")
    return names


def _draw(
    panel: Axes,
    title: str,
    curves: Sequence[Curve],
    names: Sequence[str],
    psnr_range: tuple[float, float],
    bytes_range: tuple[float, float],
) -> None:
    panel.set_xscale("log")
    panel.set_xlim(*bytes_range)
    panel.set_ylim(*psnr_range)
    for curve in curves:
        index = names.index(curve.name)
        panel.plot(
            *zip(*sorted(curve.points), strict=True),
            color=_COLOURS[index],
            marker=_MARKERS[index],
            markersize=5,
            linewidth=1.5 if index else 2.5,
        )
    panel.set_title(title)
    panel.set_xlabel("bytes per image")
    panel.grid(alpha=0.3)
    ticks = [step * 10**power for power in range(7) for step in (1, 2, 5)]
    ticks = [tick for tick in ticks if bytes_range[0] <= tick <= bytes_range[1]]
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()


def _label(panel: Axes, curves: Sequence[Curve], names: Sequence[str]) -> None:
    """Write each name next to its curve, in its colour, where it covers no line and no other name.

    The best place is next to an end or the top, otherwise anywhere along the curve if it is nearer to this curve
    than to any other. If every place covers something, the place that covers the least is used.
    """
    paths = [_path(panel, curve) for curve in curves]
    obstacles = np.concatenate([np.empty((0, 2)), *paths])
    inside = np.array(panel.get_window_extent().extents) * _POINTS_PER_INCH / panel.figure.dpi
    for number, (curve, path) in enumerate(zip(curves, paths, strict=True)):
        others = np.concatenate([np.empty((0, 2)), *paths[:number], *paths[number + 1 :]])
        half = np.array([len(curve.name) * _LETTER_WIDTH / 2, _LINE_HEIGHT / 2])
        visible = path[((path >= inside[:2]) & (path <= inside[2:])).all(axis=1)]
        if not len(visible):  # the curve lies outside the plot
            continue
        anchors = (visible[0], visible[-1], visible[visible[:, 1].argmax()], *visible[::_ANCHOR_EVERY])
        places = [anchor + side * (half + gap) for gap in _GAPS for anchor in anchors for side in _SIDES]
        within = [p for p in places if (p - half > inside[:2]).all() and (p + half < inside[2:]).all()] or places
        misleads = [_gap(place, half, others) <= _gap(place, half, path) for place in within]
        hits = [_hits(place, half, obstacles) for place in within]
        place = within[min(range(len(within)), key=lambda at: (hits[at], misleads[at]))]  # the first of the best
        obstacles = np.concatenate([obstacles, place + half * _CORNERS])
        index = names.index(curve.name)
        panel.annotate(
            curve.name,
            place,
            xycoords="figure points",
            ha="center",
            va="center",
            fontsize=9,
            color=_COLOURS[index],
            fontweight="normal" if index else "bold",
        )


def _path(panel: Axes, curve: Curve) -> Floats:
    """Return points along the curve's line, closer together than a letter, in the figure's points of 1/72 inch."""
    corners = panel.transData.transform(sorted(curve.points)) * _POINTS_PER_INCH / panel.figure.dpi
    steps = np.linspace(0, len(corners) - 1, _POINTS_PER_LINE)
    return np.stack([np.interp(steps, range(len(corners)), axis) for axis in corners.T], axis=1)


def _hits(place: Floats, half: Floats, obstacles: Floats) -> int:
    """Count the points of lines and names that a label around `place` would cover."""
    return int((np.abs(obstacles - place) < half + 1).all(axis=1).sum())


def _gap(place: Floats, half: Floats, line: Floats) -> float:
    """Return the distance of a label around `place` from the points of a line, infinity if it has no points."""
    away = np.maximum(np.abs(line - place) - half, 0)
    return float(np.hypot(*away.T).min(initial=np.inf))


def plot_bench(bench: Bench) -> Figure:
    """Draw images per second over the batch size: one panel per task, one line per precision and thread count."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    threads = sorted({speed.threads for speed in bench.speeds})
    for panel, task in zip(panels, ("encode", "decode"), strict=True):
        for precision, colour in (("int8", BLUE), ("fp32", ORANGE)):
            for count in threads:
                rows = [s for s in bench.speeds if (s.task, s.precision, s.threads) == (task, precision, count)]
                rows.sort(key=lambda speed: speed.batch)
                panel.plot(
                    [row.batch for row in rows],
                    [row.images_per_second for row in rows],
                    color=colour,
                    linestyle="-" if count == 1 else "--",
                    marker="o",
                    label=f"{precision}, {count} thread{'s' * (count > 1)}",
                )
        panel.set_xscale("log", base=2)
        panel.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
        panel.set_title(task)
        panel.set_xlabel("images per call")
        panel.grid(alpha=0.3)
    panels[0].set_ylim(bottom=0)  # after drawing, because it turns off autoscaling in both panels
    panels[0].set_ylabel("images per second, at the median")
    panels[1].legend(loc="upper left")
    figure.suptitle(f"{bench.bundle_id} on {bench.machine['cpu']}", fontsize="small")
    return figure
