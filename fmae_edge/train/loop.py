"""The training loop: epochs of shuffled batches, each followed by a measurement and a checkpoint."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

from fmae_edge.measure.quality import Quality, measure_quality, psnr
from fmae_edge.model.autoencoder import Autoencoder, to_images, to_pixels
from fmae_edge.model.checkpoint import (
    Metrics,
    Progress,
    RunError,
    has_prior,
    load_progress,
    publish,
    save_prior,
    save_progress,
)
from fmae_edge.model.fast_pass import encode_all, fast_autoencode, images_at_once
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import ImageSet, Recipe
from fmae_edge.train.device import has_fast_bfloat16, keep_freed_memory
from fmae_edge.train.objective import rate_distortion
from fmae_edge.train.optimiser import Optimisers
from fmae_edge.train.prior_fit import fit_prior


@dataclass(frozen=True)
class Step:
    """Progress of a run after a batch. `loss` is the MSE of the batch, without the rate."""

    epoch: int
    step: int
    steps: int
    loss: float
    images_per_second: float

    @property
    def psnr(self) -> float:
        """The pooled PSNR of the batch in dB."""
        return psnr(self.loss)


def train(
    run: Path,
    model: Autoencoder,
    recipe: Recipe,
    train_images: Tensor,
    test_images: Tensor,
    device: torch.device,
    on_step: Callable[[Step], None] = lambda step: None,
    on_epoch: Callable[[Metrics], None] = lambda metrics: None,
    on_fit: Callable[[int, int], None] = lambda done, total: None,
    on_measured: Callable[[list[Metrics], NDArray[np.float32]], None] = lambda metrics, reconstructions: None,
) -> list[Metrics]:
    """Train `model` on uint8 images (N, height, width[, 3]) and return one entry of metrics per epoch.

    A checkpoint is written to `run` after each epoch. If `run` has one, training continues from it, with the same
    result as without the interruption. `test_images` are only measured.

    After each checkpoint, `on_measured` gets the metrics of all epochs so far and the reconstructions of
    `test_images`, (N, height, width[, 3]) in [0, 1]. Then `on_epoch` gets the metrics of this epoch.

    With a rate in the recipe, a prior over the latents is trained together with the model, and fitted to the
    finished encoder after the last epoch. `on_fit` gets (steps done, total steps) of this fit.

    Raises RunError if the images are not those of the recipe, the checkpoint in `run` does not fit `model`, or the
    loss is no longer finite.
    """
    _require_images(run, "training", recipe.train_images, train_images)
    _require_images(run, "test", recipe.test_images, test_images)
    if device.type == "cpu":
        keep_freed_memory()
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    train_images = train_images.to(device)
    prior = Prior(model.config.latent_size).to(device) if recipe.rate_distortion else None
    optimisers = Optimisers(model, prior)
    progress = load_progress(run)
    metrics = list(progress.metrics) if progress else []
    if progress:
        try:
            model.load_state_dict(_with_prefix(progress.tensors, "model."))
            if prior:
                prior.load_state_dict(_with_prefix(progress.tensors, "prior."))
            optimisers.load_tensors(_with_prefix(progress.tensors, "optimiser."))
        except (RuntimeError, ValueError, KeyError):
            raise RunError(f"{run}: the saved state does not fit config.json") from None
        publish(run, model, metrics)
    for epoch in range(len(metrics) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        train_loss, bits = _train_epoch(model, prior, optimisers, recipe, train_images, epoch, device, on_step)
        seconds = time.perf_counter() - started
        quality, reconstructions = measure_model(model, test_images, device)
        metrics.append(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                **({} if bits is None else {"train_bytes": bits / 8}),
                **{f"test_{name}": value for name, value in asdict(quality).items()},
                "seconds": round(seconds, 2),
                "images_per_second": round(len(train_images) / seconds, 1),
            }
        )
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        if prior:
            tensors |= {f"prior.{name}": tensor for name, tensor in prior.state_dict().items()}
        tensors |= {f"optimiser.{name}": tensor for name, tensor in optimisers.tensors().items()}
        save_progress(run, model, Progress(tensors, metrics))
        on_measured(metrics, reconstructions)
        on_epoch(metrics[-1])
    if prior and not has_prior(run):
        latents = encode_all(model, train_images)
        save_prior(run, fit_prior(prior, latents, recipe.prior_fit, recipe.seed, on_fit))
    return metrics


def measure_model(model: Autoencoder, images: Tensor, device: torch.device) -> tuple[Quality, NDArray[np.float32]]:
    """Reconstruct uint8 images (N, height, width[, 3]); return the quality and the reconstructions.

    Reconstructions are float32, of the shape of `images`, in [0, 1], not rounded to 8 bits.
    """
    model.eval()
    with torch.inference_mode():
        reconstructions: NDArray[np.float32] = torch.cat(
            [
                to_images(fast_autoencode(model, to_pixels(batch).to(device))).cpu()
                for batch in images.split(images_at_once(model.config))
            ]
        ).numpy()
    return measure_quality((images.float() / 255).numpy(), reconstructions), reconstructions


def epoch_order(images: int, seed: int, epoch: int) -> Tensor:
    """Return the order of images in an epoch. It depends only on (seed, epoch), so a resumed run repeats it."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(seed + epoch))


def _train_epoch(
    model: Autoencoder,
    prior: Prior | None,
    optimisers: Optimisers,
    recipe: Recipe,
    images: Tensor,
    epoch: int,
    device: torch.device,
    on_step: Callable[[Step], None],
) -> tuple[float, float | None]:
    """Run one epoch; return the mean squared error, and the mean bits per image if the loss has a rate."""
    model.train()
    steps = math.ceil(len(images) / recipe.batch_size)
    order = epoch_order(len(images), recipe.seed, epoch).to(device)
    draws = torch.Generator().manual_seed(recipe.seed + epoch)
    bfloat16 = has_fast_bfloat16(device)
    total, bits, with_rate = 0.0, 0.0, 0
    started = time.perf_counter()
    for step, chosen in enumerate(order.split(recipe.batch_size)):
        batch = to_pixels(images[chosen])
        done = ((epoch - 1) * steps + step) / (recipe.epochs * steps)
        optimisers.set_learning_rate(recipe.learning_rate(done))
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            if prior and recipe.rate_distortion and done >= recipe.rate_start:
                costs = rate_distortion(model, prior, batch, recipe.rate_distortion, draws)
                loss, error = costs.loss, costs.error
                bits += costs.bits.item() * len(batch)
                with_rate += len(batch)
            else:
                loss = error = mse_loss(fast_autoencode(model, batch), batch)
        optimisers.step(loss)
        value = error.item()
        if not math.isfinite(loss.item()):
            raise RunError(f"the loss is {value} in epoch {epoch}; start again with a lower --lr")
        total += value * len(batch)
        speed = (step + 1) * recipe.batch_size / (time.perf_counter() - started)
        on_step(Step(epoch, (epoch - 1) * steps + step + 1, recipe.epochs * steps, value, speed))
    return total / len(images), bits / with_rate if with_rate else None


def _require_images(run: Path, kind: str, recorded: ImageSet | None, images: Tensor) -> None:
    """Raise RunError if the run recorded other images. Old runs did not record them, so they accept any."""
    if recorded is not None and (current := ImageSet.of(images.cpu().numpy())) != recorded:
        raise RunError(
            f"{run}: the run was started with other {kind} images (recorded: {recorded}, now: {current}); "
            "use the same --data, or start a new run"
        )


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
