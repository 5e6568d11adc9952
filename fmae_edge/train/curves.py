"""Plot the metrics of a run over its epochs."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from fmae_edge.model.checkpoint import Metrics

# From Okabe and Ito's palette, which colour-blind people can tell apart
_BLUE, _ORANGE = "#0072B2", "#D55E00"
_PANEL_WIDTH, _HEIGHT = 4.5, 3.6  # inches
_MARKED_EPOCHS = 40  # with more, the markers would overlap


def plot_curves(metrics: Sequence[Metrics]) -> Figure:
    """Draw metrics, one entry per epoch: PSNR, mean squared error, and bytes per image if the loss has a rate."""
    epochs = [entry["epoch"] for entry in metrics]
    rated = [entry for entry in metrics if "train_bytes" in entry]
    figure = Figure(figsize=((3 if rated else 2) * _PANEL_WIDTH, _HEIGHT), layout="constrained")
    panels = figure.subplots(1, 3 if rated else 2, squeeze=False)[0]

    def draw(panel: Axes, name: str, label: str, colour: str) -> None:
        there = [(entry["epoch"], entry[name]) for entry in metrics if name in entry]
        marker = "o" if len(epochs) <= _MARKED_EPOCHS else ""
        panel.plot(*zip(*there, strict=True), color=colour, marker=marker, markersize=4, label=label)

    draw(panels[0], "test_psnr_pooled", "pooled", _BLUE)
    draw(panels[0], "test_psnr_per_image", "per image", _ORANGE)
    panels[0].set_title("PSNR in dB, test images")
    draw(panels[1], "train_loss", "training images", _ORANGE)
    draw(panels[1], "test_mse", "test images", _BLUE)
    panels[1].set_yscale("log")
    panels[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    panels[1].yaxis.set_major_formatter("{x:g}")  # plain numbers, as in the log of the training
    panels[1].yaxis.set_minor_locator(NullLocator())
    panels[1].set_title("mean squared error")
    if rated:
        draw(panels[2], "train_bytes", "training images", _ORANGE)
        panels[2].set_title("bytes per image, by the prior")
    for panel in panels:
        panel.set_xlabel("epoch")
        panel.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panel.grid(alpha=0.3)
        panel.legend()
    return figure
