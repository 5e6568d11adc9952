"""Progress bars on stderr, only on a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fmae_edge.commands.console import is_quiet, json_line, print_above, print_line, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmae_edge.train.loop import Step


SECONDS_BETWEEN_LINES = 20


class _Rate(ProgressColumn):
    """The number of files per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class _Bar(Progress):
    """A bar below the other output on the terminal. Streams are not redirected, because results may use them."""

    def __init__(self, *columns: ProgressColumn) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=is_quiet() or not sys.stderr.isatty(),
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )

    def start(self) -> None:
        super().start()
        if not self.disable:
            print_above(lambda line: self.console.print(Text.from_ansi(line), soft_wrap=True))

    def stop(self) -> None:
        print_above(None)
        super().stop()


class TrainingProgress:
    """The callbacks of the training loop: a bar with loss, PSNR and speed, and one printed line per epoch.

    Without a bar, lines report the progress of fitting the prior. With `json`, standard output has only epochs,
    and lines for people go to standard error.
    """

    def __init__(self, json: bool) -> None:
        self._json = json
        self._fit_began: float | None = None
        self._last_said = 0.0
        self._bar = _Bar(
            TextColumn("loss {task.fields[loss]:.5f}  {task.fields[psnr]:.2f} dB"),
            TextColumn("{task.fields[speed]:.0f} images/s"),
        )
        self._task = self._bar.add_task("", total=None, loss=float("nan"), psnr=float("nan"), speed=0.0)

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_step(self, step: "Step") -> None:
        """Move the bar."""
        self._bar.update(
            self._task,
            description=f"epoch {step.epoch}",
            completed=step.step,
            total=step.steps,
            loss=step.loss,
            psnr=step.psnr,
            speed=step.images_per_second,
        )

    def on_fit(self, done: int, total: int) -> None:
        """Move the bar while the prior is fitted; print when the fit begins and when it ends."""
        now = time.monotonic()
        if self._fit_began is None:
            self._fit_began = self._last_said = now
            self.say(f"fitting the prior to the trained encoder: {total} steps")
        self._bar.update(self._task, description="fitting the prior", completed=done, total=total)
        seconds = now - self._fit_began
        if done == total:
            self.say(f"fitted the prior in {seconds:.1f} s")
        elif self._bar.disable and now - self._last_said >= SECONDS_BETWEEN_LINES:
            self._last_said = now
            left = seconds / (done - 1) * (total - done)  # the clock began after the first step
            self.say(f"fitting the prior: {done} of {total} steps, about {left:.0f} s left")

    def on_epoch(self, metrics: dict[str, Any]) -> None:
        """Print the line of an epoch."""
        if self._json:
            print_line(json_line(metrics), sys.stdout)
            return
        line = (
            "epoch {epoch:3d}  train loss {train_loss:.5f}  "
            + ("{train_bytes:.2f} bytes  " if "train_bytes" in metrics else "")
            + "test MSE {test_mse:.5f}  "
            "PSNR {test_psnr_pooled:.2f} dB pooled, {test_psnr_per_image:.2f} dB per image  "
            "SSIM {test_ssim:.4f}  {seconds:.1f} s, {images_per_second:.0f} images/s"
        ).format(**metrics)
        self.say(line)

    def say(self, line: str) -> None:
        """Print a line for people."""
        say(line, sys.stderr if self._json else sys.stdout)


@contextmanager
def progress_bar(
    description: str, rate: bool = False, total: int | None = None
) -> "Iterator[Callable[[int, int], None]]":
    """Show a bar, with `rate` also the number per second. Yields a function to call with (done, total)."""
    with _Bar(*[_Rate()] * rate) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)
