"""Draw curves and reconstructions during training, and write events for TensorBoard.

The files are for people and nothing reads them. They take about 0.4 s per epoch on one CPU, beside the minute that
the seed architecture trains.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.measure.figure import draw_reconstructions, plot_to_png, to_png
from fmae_edge.measure.quality import measure_each
from fmae_edge.model.checkpoint import Metrics
from fmae_edge.runtime.atomic_write import write_file
from fmae_edge.train.curves import plot_curves

try:
    from torch.utils.tensorboard.writer import SummaryWriter
except ImportError:  # the package tensorboard is optional
    SummaryWriter = None  # type: ignore[assignment,misc]

CURVES, RECONSTRUCTIONS, EVENTS = "curves.png", "reconstructions", "tensorboard"
IMAGES = 10


class RunPictures:
    """Write into folder `run` after each epoch: give `on_measured` to the training loop.

    The pictures show the first ten of `test_images`, uint8 (N, height, width), the same as in the loop. Leaving
    the context closes the file of TensorBoard.
    """

    def __init__(self, run: Path, test_images: Tensor) -> None:
        self._run = run
        self._originals: NDArray[np.uint8] = test_images[:IMAGES].numpy()
        self._events: SummaryWriter | None = None  # opened at the first epoch, because it makes a folder

    def __enter__(self) -> "RunPictures":
        return self

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.close()

    def on_measured(self, metrics: list[Metrics], reconstructions: NDArray[np.float32]) -> None:
        """Draw the metrics so far, and the reconstructions (N, height, width) in [0, 1] of the last epoch."""
        epoch = metrics[-1]["epoch"]
        decoded = np.rint(reconstructions[:IMAGES] * 255).astype(np.uint8)
        picture = draw_reconstructions(self._originals, decoded, measure_each(self._originals, decoded))
        (self._run / RECONSTRUCTIONS).mkdir(exist_ok=True)
        write_file(self._run / RECONSTRUCTIONS / f"epoch-{epoch:03d}.png", to_png(picture), force=True)
        write_file(self._run / CURVES, plot_to_png(plot_curves(metrics)), force=True)
        if SummaryWriter is not None:
            self._add_events(metrics[-1], np.asarray(picture))

    def _add_events(self, metrics: Metrics, picture: NDArray[np.uint8]) -> None:
        """Add the metrics of an epoch under their names, and its picture (height, width)."""
        epoch = metrics["epoch"]
        if self._events is None:
            # Events of this epoch and later ones, left by another process, are not shown twice
            self._events = SummaryWriter(str(self._run / EVENTS), purge_step=epoch)
        for name, value in metrics.items():
            if name != "epoch":
                self._events.add_scalar(name, value, epoch)
        self._events.add_image(RECONSTRUCTIONS, picture, epoch, dataformats="HW")
        self._events.flush()  # so that it is shown at once
