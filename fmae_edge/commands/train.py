"""`fmae-edge train`."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fmae_edge.commands import console
from fmae_edge.commands.options import Data, Json, integer_option

if TYPE_CHECKING:
    from fmae_edge.train.loop import Step

_SECONDS_BETWEEN_LINES = 20


def train(
    run: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="RUN",
            help="Folder of the run, with checkpoints, metrics and pictures.",
            readable=False,
        ),
    ] = Path("runs/fashion-mnist"),
    data: Data = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last epoch of the run.")] = False,
    epochs: Annotated[
        int | None, integer_option("--epochs", "N", 1, help="Passes over the training images. [default: 10]")
    ] = None,
    batch_size: Annotated[
        int | None, integer_option("--batch-size", "N", 1, help="Images per step. [default: 256]")
    ] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Peak learning rate. [default: 0.004]")] = None,
    seed: Annotated[
        int | None,
        integer_option("--seed", "N", 0, help="Seed of the weights and of the order of images. [default: 0]"),
    ] = None,
    rate_distortion: Annotated[
        float | None,
        typer.Option(
            metavar="LAMBDA",
            help="Minimise bits per pixel + LAMBDA x 255^2 x MSE at the middle quality. "
            "[default: minimise only the MSE]",
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        typer.Option(help="Device to train on. auto chooses the fastest one."),
    ] = "auto",
    json: Json = False,
) -> None:
    """Train the autoencoder on Fashion-MNIST.

    Each epoch writes a checkpoint, metrics, curves.png and a picture such as reconstructions/epoch-001.png to the
    folder of the run, and TensorBoard events if tensorboard is installed. The run records its images: --resume
    refuses other data.

    Example: fmae-edge train -o runs/fashion-mnist
    """
    import torch

    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.model.autoencoder import Autoencoder
    from fmae_edge.model.checkpoint import resume_run, start_run
    from fmae_edge.model.config import default_config
    from fmae_edge.model.recipe import ImageSet, Recipe
    from fmae_edge.runtime.errors import ArgumentError
    from fmae_edge.train.device import has_fast_bfloat16, resolve_device
    from fmae_edge.train.loop import train as train_model
    from fmae_edge.train.run_pictures import RunPictures

    options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
    options["rate_distortion"] = rate_distortion
    chosen = {name: value for name, value in options.items() if value is not None}
    torch_device = resolve_device(device)
    try:
        config, recipe = resume_run(run, chosen) if resume else (None, Recipe(**chosen))
    except ArgumentError as error:
        raise console.UsageError(console.as_option(error)) from None
    images = load_fashion_mnist(data)
    train_images, test_images = torch.from_numpy(images.train), torch.from_numpy(images.test)
    if config is None:  # a new run
        config = default_config(*images.train.shape[1:])
        recipe = replace(recipe, train_images=ImageSet.of(images.train), test_images=ImageSet.of(images.test))
        start_run(run, config, recipe)
    torch.manual_seed(recipe.seed)
    model = Autoencoder(config)
    rate = recipe.rate_distortion
    objective = "MSE" if rate is None else f"rate and distortion with lambda {rate}"
    precision = "bfloat16 autocast" if has_fast_bfloat16(torch_device) else "float32"
    try:
        with console.progress_bar("") as update, RunPictures(run, test_images) as pictures:
            progress = TrainingProgress(json, update)
            progress.say(
                f"training on {len(images.train)} images from {images.folder}: {recipe.epochs} epochs, "
                f"batch {recipe.batch_size}, lr {recipe.lr}, seed {recipe.seed}, loss: {objective}, "
                f"{torch_device.type}, {precision}"
            )
            callbacks = (progress.on_step, progress.on_epoch, progress.on_fit, pictures.on_measured)
            metrics = train_model(run, model, recipe, train_images, test_images, torch_device, *callbacks)
            progress.say(f"{len(metrics)} epochs done: {run}; next: fmae-edge export {run} -o BUNDLE")
    except KeyboardInterrupt:
        console.say_error(f"stopped; to continue after the last finished epoch: fmae-edge train -o {run} --resume")
        raise typer.Exit(130) from None


class TrainingProgress:
    """Callbacks of the training loop that `update` the bar with loss, PSNR and speed, and print each epoch.

    Without a bar, lines report the progress of fitting the prior. With `json`, standard output contains only
    epochs, and lines for people go to standard error.
    """

    def __init__(self, json: bool, update: Callable[..., None]) -> None:
        self._json, self._update = json, update
        self._fit_began: float | None = None
        self._last_line = 0.0

    def on_step(self, step: "Step") -> None:
        """Move the bar."""
        details = f"loss {step.loss:.5f}  {step.psnr:.2f} dB {step.images_per_second:.0f} images/s"
        self._update(step.done, step.total, f"epoch {step.epoch}", details)

    def on_fit(self, done: int, total: int) -> None:
        """Move the bar while the prior is fitted; print when the fit begins and when it ends."""
        now = time.monotonic()
        if self._fit_began is None:
            self._fit_began = self._last_line = now
            self.say(f"fitting the prior to the trained encoder: {total} steps")
        self._update(done, total, "fitting the prior")
        seconds = now - self._fit_began
        if done == total:
            self.say(f"fitted the prior in {seconds:.1f} s")
        elif not console.shows_bars() and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = seconds / (done - 1) * (total - done)  # the time is measured from the end of the first step
            self.say(f"fitting the prior: {done} of {total} steps, about {left:.0f} s left")

    def on_epoch(self, metrics: dict[str, Any]) -> None:
        """Print a line for an epoch."""
        if self._json:
            console.print_line(console.json_line(metrics))
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
        console.say(line, sys.stderr if self._json else sys.stdout)
