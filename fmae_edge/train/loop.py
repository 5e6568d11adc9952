"""The training loop: epochs of shuffled batches, each followed by a measurement and a checkpoint."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmae_edge.measure.quality import psnr
from fmae_edge.model.autoencoder import Autoencoder, to_pixels
from fmae_edge.model.checkpoint import Metrics, RunError, has_prior, save_prior
from fmae_edge.model.chosen_epoch import criterion
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import ImageSet, Recipe
from fmae_edge.train.augment import augment_batch
from fmae_edge.train.batch_loss import batch_losses
from fmae_edge.train.device import has_fast_bfloat16, keep_freed_memory
from fmae_edge.train.measurement import measure_epoch
from fmae_edge.train.prior_fit import fit_prior
from fmae_edge.train.processes import ALONE, Processes
from fmae_edge.train.refinement import refine_all
from fmae_edge.train.schedule import Schedule, stops_early
from fmae_edge.train.state import TrainingState
from fmae_edge.train.step_threads import StepThreads

_MOST_ON_DEVICE = 2**31  # bytes of training images that are copied to a GPU at once
_MOST_FITTED = 200_000  # images whose latents the prior is fitted to
_AUGMENT_SEEDS = 2**32  # apart from those of the orders and of the noise


@dataclass(frozen=True)
class Step:
    """Progress of a run after a batch: `done` of `total` steps, or seconds of a run in minutes.

    `loss` is the MSE of the batch, without the rate.
    """

    epoch: int
    done: int
    total: int
    loss: float
    images_per_second: float

    @property
    def psnr(self) -> float:
        """The pooled PSNR of the batch in dB."""
        return psnr(self.loss)


@dataclass(frozen=True)
class _Epoch:
    """Sums over the images of an epoch; `bits` is None if the loss had no rate."""

    images: int
    loss: float
    bits: float | None
    done: float  # share of the run
    seconds: float


def train(
    run: Path,
    model: Autoencoder,
    recipe: Recipe,
    train_images: Tensor,
    measured_images: Tensor,
    device: torch.device,
    on_step: Callable[[Step], None] = lambda step: None,
    on_epoch: Callable[[Metrics], None] = lambda metrics: None,
    on_fit: Callable[[int, int], None] = lambda done, total: None,
    on_measured: Callable[[list[Metrics], NDArray[np.float32]], None] = lambda metrics, reconstructions: None,
    on_trained: Callable[[list[Metrics]], None] = lambda metrics: None,
    prior: Prior | None = None,
    on_refined: Callable[[int, int], None] = lambda done, total: None,
    processes: Processes = ALONE,
    threads: StepThreads | None = None,
) -> list[Metrics]:
    """Train `model` on uint8 images (N, height, width[, 3]) and return one entry of metrics per epoch.

    A checkpoint is written to `run` after each epoch. If `run` has one, training continues from it, with the same
    result as without the interruption, unless the recipe has minutes instead of epochs. The training images may be
    a memory-mapped file: they are read in batches.

    `measured_images` are the validation images of the recipe. They choose the epoch whose weights the run keeps,
    and may end it early: `stops_early` has the rule. If the recipe has none, they are its test images: these are
    only measured, and the last epoch is kept. `model` ends with the weights that the run keeps.

    After each checkpoint, `on_measured` gets the metrics of all epochs so far and the reconstructions of the first
    ten of `measured_images`, in [0, 1]. Then `on_epoch` gets the metrics of this epoch. `on_trained` gets all of
    them after the last epoch.

    With a rate in the recipe, a prior over the latents is trained together with the model, and finally fitted to
    the encoder that is kept. `on_fit` gets (steps done, total steps) of this fit. With `refine` in the recipe, the
    latents of the training images are refined before it, and `on_refined` gets (images done, total images).

    A run whose recipe has a `start` begins with the weights of `model` and `prior`, which another run has trained.
    Without a `prior`, a new one is made.

    With several `processes`, each calls this function with the same arguments and computes its share of every
    batch and measurement. After the last epoch, the first one fits the prior alone, and the others return.

    With `threads`, the number of PyTorch's threads follows the time that steps take. This changes the order of
    sums, so the last digits of a run do not repeat.

    Raises RunError if the images are not those of the recipe, the checkpoint in `run` does not fit `model`, the
    loss is no longer finite, or another process has ended.
    """
    _require_images(run, "training", recipe.train_images, train_images)
    if recipe.validation_images is None:
        _require_images(run, "test", recipe.test_images, measured_images)
    else:
        _require_images(run, "validation", recipe.validation_images, measured_images)
    if device.type == "cpu":
        keep_freed_memory()
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    if train_images.nbytes <= _MOST_ON_DEVICE:
        train_images = train_images.to(device)
    prior = (prior or Prior(model.config.latent_size)).to(device) if recipe.rate_distortion else None
    state = TrainingState(run, model, prior, recipe.validation_images is not None, processes)
    state.restore()
    if recipe.start is not None and not state.metrics:
        state.save_start()
    with processes.losses_named():
        _train_epochs(
            state, recipe, train_images, measured_images, device, on_step, on_measured, on_epoch, threads
        )
        processes.leave()
    state.return_to_best()
    on_trained(state.metrics)
    if prior and processes.is_first and not has_prior(run):
        fitted = train_images[:: prior_stride(len(train_images))]
        latents = encode_all(model, fitted)
        validation = encode_all(model, measured_images) if recipe.validation_images else None
        refined = None
        if recipe.refine and recipe.rate_distortion:
            refined = refine_all(model, prior, fitted, recipe.rate_distortion, recipe.seed, on_refined)
        if threads is not None:  # the threads of the fit do not wait for each other
            torch.set_num_threads(threads.most)
        save_prior(run, fit_prior(prior, latents, recipe.prior_fit, recipe.seed, on_fit, validation, refined))
    return state.metrics


def _train_epochs(
    state: TrainingState,
    recipe: Recipe,
    train_images: Tensor,
    measured_images: Tensor,
    device: torch.device,
    on_step: Callable[[Step], None],
    on_measured: Callable[[list[Metrics], NDArray[np.float32]], None],
    on_epoch: Callable[[Metrics], None],
    threads: StepThreads | None,
) -> None:
    """Train, measure and save epochs until the run is done, or its validation gets worse."""
    model, prior, processes = state.model, state.prior, state.processes
    loss_at = batch_losses(model, prior, recipe, device, processes)
    steps = math.ceil(len(train_images) / recipe.batch_size)
    schedule = Schedule(recipe, steps, state.elapsed, processes)
    while schedule.done(len(state.metrics) + 1, 0) < 1 and not stops_early(state.metrics, recipe):
        number = len(state.metrics) + 1
        epoch = _train_epoch(loss_at, state, recipe, schedule, train_images, number, device, on_step, threads)
        if threads is not None:
            threads.end_trial()
        if epoch.images == 0:  # the time was over before the first step
            break
        measured, reconstructions = measure_epoch(model, prior, measured_images, recipe, device, processes)
        metrics = processes.agree(
            {
                "epoch": number,
                "train_loss": epoch.loss / epoch.images,
                **({} if epoch.bits is None else {"train_bytes": epoch.bits / 8}),
                **measured,
                "seconds": round(epoch.seconds, 2),
                "images_per_second": round(epoch.images / epoch.seconds, 1),
                **({"progress": epoch.done} if recipe.validation_images or recipe.minutes else {}),
            }
        )
        _require_finite(criterion(metrics) or 0.0, number)
        state.save(metrics, schedule.elapsed)
        on_measured(state.metrics, reconstructions)
        on_epoch(metrics)


def prior_stride(images: int) -> int:
    """Return k, if the prior is fitted to every k-th of this number of training images: at most 200,000."""
    return math.ceil(images / _MOST_FITTED)


def epoch_order(images: int, seed: int, epoch: int) -> Tensor:
    """Return the order of images in an epoch. It depends only on (seed, epoch), so a resumed run repeats it."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(seed + epoch))


def _train_epoch(
    loss_at: Callable[[float], nn.Module],
    state: TrainingState,
    recipe: Recipe,
    schedule: Schedule,
    images: Tensor,
    number: int,
    device: torch.device,
    on_step: Callable[[Step], None],
    threads: StepThreads | None,
) -> _Epoch:
    """Run one epoch, or the part of it that there is time for."""
    state.model.train()
    processes = state.processes
    order = epoch_order(len(images), recipe.seed, number).to(images.device)
    draws = torch.Generator().manual_seed(recipe.seed + number)
    changes = torch.Generator().manual_seed(_AUGMENT_SEEDS + recipe.seed + number)
    bfloat16 = has_fast_bfloat16(device)
    total, bits, seen, with_rate = 0.0, 0.0, 0, 0
    started = time.perf_counter()
    for step, chosen in enumerate(order.split(recipe.batch_size)):
        done = schedule.done(number, step)
        if done >= 1:
            break
        began, share = time.perf_counter(), processes.share(len(chosen))
        batch = augment_batch(to_pixels(images[share.take(chosen)].to(device)), recipe.augment, changes, share)
        state.optimisers.set_learning_rate(recipe.learning_rate(done))
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss, *others = loss_at(done)(batch, share, draws, done)
        state.optimisers.step(loss)
        error, *rate = (each.item() * share.images for each in others)
        batch_value, batch_error, *batch_bits = processes.sums(loss.item() / processes.count, error, *rate)
        if threads is not None:
            threads.took(time.perf_counter() - began, len(chosen))
        _require_finite(batch_value, number)
        total += batch_error
        seen += len(chosen)
        if batch_bits:
            bits += batch_bits[0]
            with_rate += len(chosen)
        speed = seen / (time.perf_counter() - started)
        on_step(Step(number, *schedule.shown(number, step + 1), batch_error / len(chosen), speed))
    done, seconds = schedule.done(number, step + 1), time.perf_counter() - started
    return _Epoch(seen, total, bits / with_rate if with_rate else None, done, seconds)


def _require_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise RunError(f"the loss is {loss} in epoch {epoch}; start again with a lower --lr")


def _require_images(run: Path, kind: str, recorded: ImageSet | None, images: Tensor) -> None:
    """Raise RunError if the run recorded other images. Old runs did not record them, so they accept any."""
    if recorded is not None and (current := ImageSet.of(images.cpu().numpy())) != recorded:
        raise RunError(
            f"{run}: the run was started with other {kind} images (recorded: {recorded}, now: {current}); "
            "use the same --data, or start a new run"
        )
