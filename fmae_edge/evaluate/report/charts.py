"""Draw the charts of a page as inline SVG, in its text colour so that they are readable in dark mode."""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from fmae_edge.evaluate.evaluation import Evaluation
from fmae_edge.evaluate.plots import BLUE, ORANGE, plot_rate_apart, psnr_window
from fmae_edge.evaluate.rate_points import OURS, PACKINGS

_SIZE = (3.9, 2.8)  # inches: 281 points wide, so that letters of 9 points are at least as large on a phone
_INK = re.compile(r"#000000|\bblack\b")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


_TESTED = (
    ("loss", "Training loss", "loss", (("train_loss", "training loss"),)),
    (
        "psnr",
        "PSNR on the test images",
        "dB",
        (("test_psnr_per_image", "mean per image"), ("test_psnr_pooled", "pooled")),
    ),
    ("bytes", "Estimated bytes per image", "bytes", (("train_bytes", "bytes, by the prior"),)),
)
_VALIDATED = (
    ("loss", "Mean squared error", "MSE", (("train_loss", "training images"), ("val_mse", "validation images"))),
    (
        "psnr",
        "PSNR on the validation images",
        "dB",
        (("val_psnr_per_image", "mean per image"), ("val_psnr_pooled", "pooled")),
    ),
    (
        "bytes",
        "Estimated bytes per image",
        "bytes",
        (("train_bytes", "training images"), ("val_bytes", "validation images")),
    ),
    ("choice", "Loss on the validation images", "loss", (("val_loss", "rate and distortion"),)),
)


def training_charts(training: dict[str, Any]) -> dict[str, str]:
    """Return one chart per quantity in the recorded figures of a training: loss, PSNR, bytes per image.

    Circles mark the epoch that was chosen with validation images, if the run had them.
    """
    metrics, kept = training["metrics"], None
    quantities: tuple[Any, ...] = _TESTED
    if training["measured_on"] == "validation":
        quantities, kept = _VALIDATED, training["kept"]["epoch"]
    charts = {}
    for name, title, label, curves in quantities:
        lines = [
            (legend, [(row["epoch"], row[key]) for row in metrics if row.get(key) is not None])
            for key, legend in curves
        ]
        lines = [(legend, points) for legend, points in lines if points]
        if lines:
            ends = "; ".join(
                f"{legend} from {points[0][1]:.4g} to {points[-1][1]:.4g}" for legend, points in lines
            )
            description = f"{title} over {len(metrics)} epochs: {ends}."
            if kept is not None:
                description += f" Epoch {kept} was kept."
            charts[name] = _training_chart(title, label, lines, description, f"training {name}", kept)
    return charts


def _training_chart(
    title: str,
    label: str,
    lines: Sequence[tuple[str, list[tuple[float, float]]]],
    description: str,
    salt: str,
    kept: int | None,
) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        panel = figure.subplots()
        values = [value for _, points in lines for _, value in points]
        if label in ("loss", "MSE") and min(values) > 0:
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # the default is math text
            panel.yaxis.set_minor_formatter(NullFormatter())
        for (legend, points), colour in zip(lines, (BLUE, ORANGE), strict=False):
            panel.plot(*zip(*points, strict=True), color=colour, linewidth=1.8, label=legend)
            if len(points) == 1:
                panel.plot(*points[0], "o", color=colour)
        epochs = [epoch for _, points in lines for epoch, _ in points]
        panel.set(title=title, xlabel="epoch", ylabel=label, xlim=(min(epochs) - 0.5, max(epochs) + 0.5))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panel.grid(alpha=0.3)
        marked = [point for _, points in lines for point in points if point[0] == kept]
        if marked:
            circles: dict[str, Any] = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "linestyle": ""}
            panel.plot(*zip(*marked, strict=True), color="black", label=f"kept: epoch {kept}", **circles)
        if len(lines) > 1 or marked:
            panel.legend(frameon=False)
        return to_svg(figure, description, salt)


def histogram_chart(figures: dict[str, Any]) -> str:
    """Return the histogram of per-image PSNR, with its mean and the pooled PSNR marked."""
    edges, counts = figures["edges"], figures["counts"]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.0, 2.7), layout="constrained")
        panel = figure.subplots()
        panel.stairs(counts, edges, fill=True, color=BLUE, alpha=0.75)
        top = max(counts) * 1.25
        for name, words, side, line in (
            ("pooled", "pooled: {:.2f} dB", "right", "--"),
            ("mean", "mean per image: {:.2f} dB", "left", "-"),
        ):
            if figures[name] is not None:
                panel.axvline(figures[name], color=ORANGE, linestyle=line, linewidth=1.6)
                panel.annotate(
                    words.format(figures[name]),
                    (figures[name], top * 0.98),
                    xytext=(-5 if side == "right" else 5, 0),
                    textcoords="offset points",
                    ha=side,
                    va="top",
                    fontsize=8,
                )
        panel.set(xlabel="PSNR per image, in dB", ylabel="images", ylim=(0, top))
        panel.grid(alpha=0.3, axis="y")
        description = (
            f"Histogram of the PSNR of {sum(counts)} images, from {edges[0]:.1f} to {edges[-1]:.1f} dB; "
            f"most lie between {edges[int(np.argmax(counts))]:.1f} and {edges[int(np.argmax(counts)) + 1]:.1f} dB."
        )
        return to_svg(figure, description, "histogram")


def rate_charts(evaluation: Evaluation) -> list[str]:
    """Return the rate-distortion charts of all codecs: one image per file, and 100 images per file if measured."""
    panels = [[evaluation.curve(name, packing) for name in evaluation.codecs()] for packing in PACKINGS]
    if not any(curve.points for panel in panels for curve in panel if curve.name == OURS):
        return []
    low, high = psnr_window([curve for panel in panels for curve in panel], OURS)
    drawn = [
        [curve for curve in panel if any(low <= psnr <= high for _, psnr in curve.points)] for panel in panels
    ]
    charts = []
    with mpl.rc_context(_STYLE):
        figures = plot_rate_apart(drawn[0], drawn[1], (low, high))
        for figure, words in zip(figures, ("one image per file", "100 images per file"), strict=False):
            names = ", ".join(evaluation.codecs())
            description = f"PSNR over bytes per image, {words}: {names}. The tables below list every point."
            charts.append(to_svg(figure, description, words))
    return charts


def to_svg(figure: Figure, description: str, salt: str) -> str:
    """Return a figure as an inline SVG element with a `description` for screen readers.

    The same figure and `salt` give the same bytes; figures with different salts have different ids.
    """
    for words in figure.findobj(Text):
        words.set_color("black")  # the colours of curves are too pale for letters
    stream = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=no_metadata)
    drawing = stream.getvalue()
    inside = drawing[drawing.index("<defs>") : drawing.rindex("</svg>")]
    inside = re.sub(r'<g id="[^"]*">', "<g>", inside)
    inside = re.sub(r"<!--.*?-->\n?", "", inside, flags=re.DOTALL)
    inside = re.sub(r"<style.*?</style>", "", inside, flags=re.DOTALL)
    (box,) = re.findall(r'viewBox="[^"]*"', drawing)
    return (
        f'<svg role="img" aria-label="{escape(description)}" {box} fill="currentColor" '
        f'stroke-linejoin="round" stroke-linecap="butt"><title>{escape(description)}</title>\n'
        f"{_INK.sub('currentColor', inside)}</svg>"
    )
