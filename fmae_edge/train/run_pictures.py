"""Draw curves and reconstructions during training, and write events for TensorBoard.

The files are for people; nothing reads them. Drawing takes about 0.4 s on one CPU. An epoch of the seed
architecture takes a minute, but one of 300 small images less than drawing: from epoch 20 on, only every tenth
epoch and the last one are drawn.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.measure.figure import draw_reconstructions, plot_to_png, to_png
from fmae_edge.measure.quality import measure_each
from fmae_edge.model.checkpoint import Metrics
from fmae_edge.runtime.atomic_write import write_file

try:
    from torch.utils.tensorboard.writer import SummaryWriter
except ImportError:  # the package tensorboard is optional
    SummaryWriter = None  # type: ignore[assignment,misc]

CURVES, RECONSTRUCTIONS, EVENTS = "curves.png", "reconstructions", "tensorboard"
IMAGES = 10

# From Okabe and Ito's palette, which colour-blind people can distinguish
_BLUE, _ORANGE = "#0072B2", "#D55E00"
_PANEL_WIDTH, _HEIGHT = 4.5, 3.6  # inches
_ALL_DRAWN, _DRAWN_AFTER = 20, 10  # so many epochs are drawn, and then every tenth
_MARKED_EPOCHS = 40  # with more, the markers would overlap


class RunPictures:
    """Write pictures into folder `run` after epochs: pass `on_measured` to `train`.

    They show the first ten of `measured_images`, uint8 (N, height, width[, 3]), which must be those of `train`.
    Leaving the context draws the last epoch, unless that was done, and closes the file of TensorBoard.
    """

    def __init__(self, run: Path, measured_images: Tensor) -> None:
        self._run = run
        self._originals: NDArray[np.uint8] = measured_images[:IMAGES].numpy()
        self._events: SummaryWriter | None = None  # opened after the first epoch, because it creates a folder
        self._waiting: tuple[list[Metrics], NDArray[np.uint8]] | None = None  # the last epoch if it is not drawn

    def __enter__(self) -> "RunPictures":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind in (None, KeyboardInterrupt) and self._waiting is not None:
            self._draw(*self._waiting)
        if self._events is not None:
            self._events.close()

    def on_measured(self, metrics: list[Metrics], reconstructions: NDArray[np.float32]) -> None:
        """Draw the metrics so far, and the reconstructions (N, height, width[, 3]) in [0, 1] of the last epoch."""
        decoded = np.rint(reconstructions[:IMAGES] * 255).astype(np.uint8)
        if SummaryWriter is not None:
            self._add_metrics(metrics[-1])
        self._waiting = list(metrics), decoded
        if metrics[-1]["epoch"] <= _ALL_DRAWN or metrics[-1]["epoch"] % _DRAWN_AFTER == 0:
            self._draw(*self._waiting)

    def _draw(self, metrics: list[Metrics], decoded: NDArray[np.uint8]) -> None:
        self._waiting = None
        epoch = metrics[-1]["epoch"]
        picture = draw_reconstructions(self._originals, decoded, measure_each(self._originals, decoded))
        (self._run / RECONSTRUCTIONS).mkdir(exist_ok=True)
        write_file(self._run / RECONSTRUCTIONS / f"epoch-{epoch:03d}.png", to_png(picture), force=True)
        write_file(self._run / CURVES, plot_to_png(plot_curves(metrics)), force=True)
        if self._events is not None:
            shown = np.asarray(picture)
            kind = "HW" if shown.ndim == 2 else "HWC"
            self._events.add_image(RECONSTRUCTIONS, shown, epoch, dataformats=kind)
            self._events.flush()

    def _add_metrics(self, metrics: Metrics) -> None:
        """Add the metrics of an epoch under their names."""
        epoch, folder = metrics["epoch"], str(self._run / EVENTS)
        try:
            folder.encode()
        except UnicodeEncodeError:  # TensorBoard cannot write to names that are not valid UTF-8
            return
        if self._events is None:
            # Hides events of this epoch and later ones that an interrupted process left
            self._events = SummaryWriter(folder, purge_step=epoch)
        for name, value in metrics.items():
            if name != "epoch":
                self._events.add_scalar(name, value, epoch)
        self._events.flush()  # TensorBoard shows them immediately


def plot_curves(metrics: Sequence[Metrics]) -> Figure:
    """Plot metrics, one entry per epoch: PSNR, mean squared error, and bytes per image if the loss has a rate."""
    epochs = [entry["epoch"] for entry in metrics]
    rated = [entry for entry in metrics if "train_bytes" in entry]
    figure = Figure(figsize=((3 if rated else 2) * _PANEL_WIDTH, _HEIGHT), layout="constrained")
    panels = figure.subplots(1, 3 if rated else 2, squeeze=False)[0]

    def draw(panel: Axes, name: str, label: str, colour: str) -> None:
        points = [(entry["epoch"], entry[name]) for entry in metrics if name in entry]
        marker = "o" if len(epochs) <= _MARKED_EPOCHS else ""
        panel.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4, label=label)

    kind, images = ("val", "validation images") if "val_mse" in metrics[0] else ("test", "test images")
    draw(panels[0], f"{kind}_psnr_pooled", "pooled", _BLUE)
    draw(panels[0], f"{kind}_psnr_per_image", "per image", _ORANGE)
    panels[0].set_title(f"PSNR in dB, {images}")
    draw(panels[1], "train_loss", "training images", _ORANGE)
    draw(panels[1], f"{kind}_mse", images, _BLUE)
    panels[1].set_yscale("log")
    panels[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    panels[1].yaxis.set_major_formatter("{x:g}")  # plain numbers, as in the training log
    panels[1].yaxis.set_minor_locator(NullLocator())
    panels[1].set_title("mean squared error")
    if rated:
        draw(panels[2], "train_bytes", "training images", _ORANGE)
        if "val_bytes" in rated[-1]:
            draw(panels[2], "val_bytes", images, _BLUE)
        panels[2].set_title("bytes per image, by the prior")
    for panel in panels:
        panel.set_xlabel("epoch")
        panel.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panel.grid(alpha=0.3)
        panel.legend()
    return figure
