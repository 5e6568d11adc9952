"""The lines and the progress bar of `fmae-edge train`, which end with the held-out images."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmae_edge.commands import console

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from fmae_edge.data.image_data import ImageData
    from fmae_edge.model.recipe import Recipe
    from fmae_edge.train.loop import Step
    from fmae_edge.train.measurement import HeldOut

_SECONDS_BETWEEN_LINES = 20
_LARGE_GAP_DB = 1.0  # at which a model knows its training images clearly better


class TrainingProgress:
    """Callbacks of the training loop that `update` the bar with loss, PSNR and speed, and print each epoch.

    Without a bar, lines report the progress of fitting the prior. With `json`, standard output contains only
    epochs, and lines for people go to standard error.
    """

    def __init__(
        self, json: bool, update: Callable[..., None], recipe: "Recipe | None" = None, images: int = 0
    ) -> None:
        self._json, self._update = json, update
        self._recipe, self._images = recipe, images
        self._began: float | None = None  # of the present part after the epochs
        self._last_line, self._first = 0.0, 0

    def on_processes(self, run: Path, count: int) -> None:
        """Say that several processes train the run, and whether another number of them has trained it so far."""
        from fmae_edge.model.checkpoint import processes_of

        before = processes_of(run)
        if count > 1:
            self.say(f"{count} processes, each with its share of every batch")
        if before not in (None, count):
            self.say(
                f"the run had {_processes(before)} and continues with {count}: the order of sums changes, and so "
                "do the last digits of the result"
            )

    def on_step(self, step: "Step") -> None:
        """Move the bar."""
        details = f"loss {step.loss:.5f}  {step.psnr:.2f} dB {step.images_per_second:.0f} images/s"
        self._update(step.done, step.total, f"epoch {step.epoch}", details)

    def on_refined(self, done: int, total: int) -> None:
        """Move the bar while the latents of `total` images are refined for the fit of the prior."""
        if self._began is None:
            self.say(f"refining the latents of {total} training images")
        self._follow("refining latents", done, total, "images")

    def on_fit(self, done: int, total: int) -> None:
        """Move the bar while the prior is fitted; print when the fit begins and when it ends."""
        if self._began is None:
            self.say(f"fitting the prior to the trained encoder: {total} steps")
        seconds = self._follow("fitting the prior", done, total, "steps")
        if done == total:
            self.say(f"fitted the prior in {seconds:.1f} s")

    def _follow(self, doing: str, done: int, total: int, unit: str) -> float:
        """Move the bar, or without one print a line now and then; return the seconds since the first call."""
        now = time.monotonic()
        if self._began is None:  # the time is measured from the end of the first part
            self._began, self._last_line, self._first = now, now, done
        self._update(done, total, doing)
        seconds = now - self._began
        if done == total:
            self._began = None
        elif not console.shows_bars() and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = seconds / (done - self._first) * (total - done)
            self.say(f"{doing}: {done} of {total} {unit}, about {left:.0f} s left")
        return seconds

    def on_epoch(self, metrics: dict[str, Any]) -> None:
        """Print a line for an epoch."""
        if self._json:
            console.print_line(console.json_line(metrics))
            return
        kind, name = ("test", "test") if "test_mse" in metrics else ("val", "validation")
        measured = {key.removeprefix(f"{kind}_"): value for key, value in metrics.items()}
        line = (
            "epoch {epoch:3d}  train loss {train_loss:.5f}  "
            + ("{train_bytes:.2f} bytes  " if "train_bytes" in metrics else "")
            + name
            + " MSE {mse:.5f}  "
            + ("loss {loss:.5f}  {bytes:.2f} bytes  " if "loss" in measured else "")
            + "PSNR {psnr_pooled:.2f} dB pooled, {psnr_per_image:.2f} dB per image  "
            "SSIM {ssim:.4f}  {seconds:.1f} s, {images_per_second:.0f} images/s"
        ).format(**measured)
        self.say(line)

    def on_trained(self, metrics: list[dict[str, Any]]) -> None:
        """Say which epoch the run keeps, whether it stopped early, and what the prior is fitted to."""
        from fmae_edge.model.chosen_epoch import chosen_epoch
        from fmae_edge.train.loop import prior_stride
        from fmae_edge.train.schedule import stops_early

        recipe = self._recipe
        if recipe is None or not metrics:
            return
        best = chosen_epoch(metrics)["epoch"]
        if stops_early(metrics, recipe):
            self.say(
                f"stopped early: the validation images got worse after epoch {best}, because the model memorises "
                "the training images; more images, --augment or a smaller --latent can help"
            )
        if recipe.validation_images is not None:
            self.say(f"kept the weights of epoch {best} of {len(metrics)}, the best on the validation images")
        if recipe.rate_distortion is not None and (stride := prior_stride(self._images)) > 1:
            self.say(f"the prior is fitted to {-(-self._images // stride)} of the {self._images} training images")

    def on_held_out(self, measured: "HeldOut", held_out: "NDArray[np.uint8]") -> None:
        """Print the verdict on the images `held_out` (N, height, width[, 3]), of which some were `measured`."""
        for sentence in _describe_model(measured, self._images):
            self.say(sentence)
        said, verdict = _compare_quickly(
            measured, held_out, lambda done, total: self._update(done, total, "comparing with other codecs")
        )
        for sentence in said:
            self.say(sentence)
        if self._json:
            console.print_line(console.json_line({"held_out": {**measured.to_record(), "verdict": verdict}}))

    def say(self, line: str) -> None:
        """Print a line for people."""
        console.say(line, sys.stderr if self._json else sys.stdout)


def describe_run(images: "ImageData", recipe: "Recipe", device: "torch.device", start: Path | None) -> str:
    """Return the line with which training begins; `start` is the run whose weights it starts with."""
    from fmae_edge.train.device import has_fast_bfloat16

    height, width = images.train.shape[1:3]
    length = f"{recipe.epochs} epochs" if recipe.minutes is None else f"{recipe.minutes:g} minutes"
    rate = recipe.rate_distortion
    objective = "MSE" if rate is None else f"rate and distortion with lambda {rate:g}"
    facts = [
        length,
        f"batch {recipe.batch_size}",
        f"lr {recipe.lr}",
        f"seed {recipe.seed}",
        f"loss: {objective}",
        *([f"refined latents in the last {recipe.refine:.0%}"] if recipe.refine else []),
        *([] if start is None else [f"from {start}"]),
        *([] if recipe.augment == "none" else [f"augment: {recipe.augment}"]),
        device.type,
        "bfloat16 autocast" if has_fast_bfloat16(device) else "float32",
    ]
    kind = f"{height}x{width} {'gray' if images.train.ndim == 3 else 'RGB'}"
    return f"training on {len(images.train)} images of {images.record['name']}, {kind}: {', '.join(facts)}"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _describe_model(measured: "HeldOut", training_images: int) -> list[str]:
    """Return sentences about the model alone."""
    said = [f"on {measured.images} held-out images: {measured.psnr:.2f} dB without quantising, pooled"]
    if measured.points:
        points = ", ".join(
            f"{point.bytes_per_image:.1f} bytes and {point.psnr:.2f} dB at quality {point.quality}"
            for point in measured.points
        )
        said.append(
            f"one image per file: {points}; the bytes are estimates by the prior, close to those of real files"
        )
    gap = f"training images have {measured.train_psnr:.2f} dB, {measured.gap:+.2f} dB"
    if measured.gap > _LARGE_GAP_DB:
        gap += f"; {training_images:,} images are few for this model: more images or --augment can help"
    said.append(gap)
    return said


def _compare_quickly(
    measured: "HeldOut", held_out: "NDArray[np.uint8]", on_progress: Callable[..., None]
) -> tuple[list[str], dict[str, Any] | None]:
    """Return the verdict against other codecs as sentences and JSON, for uint8 images (N, height, width[, 3]).

    Without a rate in training there is none, and without the packages of the extra there is a sentence about them.
    """
    if not measured.points:
        return [], None
    try:
        from fmae_edge.evaluate.quick_verdict import judge_quickly
    except ModuleNotFoundError as error:
        return [
            f"not compared with WebP and others: this needs {error.name}; install fmae-edge with [evaluate], "
            "as in pip install '.[evaluate]' in a clone"
        ], None
    ours = [(point.bytes_per_image, point.psnr) for point in measured.points]
    verdict = judge_quickly(ours, held_out, on_progress)
    return verdict.sentences(), verdict.to_record()
