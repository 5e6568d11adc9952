"""Measure a model on images that it is not trained on: after each epoch, and on held-out images at the end.

Images are taken in batches whose size is bounded by their pixels.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.measure.quality import Quality, mse_per_image, psnr, quality_of, ssim_per_image
from fmae_edge.model.autoencoder import Autoencoder, to_images, to_pixels
from fmae_edge.model.fast_pass import fast_decode, fast_encode, images_at_once
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS, Recipe
from fmae_edge.runtime.format.fmae_file import SINGLE_HEADER_BYTES
from fmae_edge.train.objective import quantise, rate_distortion

RECONSTRUCTIONS = 10  # that are returned, for pictures
MOST_HELD_OUT = 2000
_QUALITIES = (1, (len(QUALITY_STEPS) + 1) // 2, len(QUALITY_STEPS))


@dataclass(frozen=True)
class QualityPoint:
    """Images at one quality of the codec: mean bytes of a file of one image, and their pooled PSNR in dB."""

    quality: int
    bytes_per_image: float
    psnr: float


@dataclass(frozen=True)
class HeldOut:
    """A model on `images` held-out images, and on as many training images. PSNR is pooled, in dB.

    `psnr` and `train_psnr` are without quantising. `points` has the lowest, the middle and the highest quality; it
    is empty without a prior. Their bytes are those by the prior and the header of a file; pixels are rounded to 8
    bits.
    """

    images: int
    psnr: float
    train_psnr: float
    points: tuple[QualityPoint, ...]

    @property
    def gap(self) -> float:
        """How much better training images are, in dB."""
        return self.train_psnr - self.psnr

    def to_record(self) -> dict[str, Any]:
        """Return everything as JSON values, with None for an infinite PSNR."""
        points = [{**asdict(point), "psnr": _or_none(point.psnr)} for point in self.points]
        figures = {"psnr": self.psnr, "train_psnr": self.train_psnr, "gap": self.gap}
        return {
            "images": self.images,
            **{name: _or_none(value) for name, value in figures.items()},
            "points": points,
        }


def measure_epoch(
    model: Autoencoder, prior: Prior | None, images: Tensor, recipe: Recipe, device: torch.device
) -> tuple[dict[str, float], NDArray[np.float32]]:
    """Return the metrics of an epoch on `images`, and the first reconstructions of `measure_model`.

    The names of the metrics start with val_ if the recipe has validation images, which `images` must be then, and
    with test_ otherwise. A recipe with a rate adds the bytes and the loss of validation images.
    """
    quality, reconstructions = measure_model(model, images, device)
    kind = "test" if recipe.validation_images is None else "val"
    metrics = {f"{kind}_{name}": value for name, value in asdict(quality).items()}
    if kind == "val" and prior and recipe.rate_distortion:
        loss, bits = measure_rate_distortion(model, prior, images, recipe.rate_distortion, recipe.seed, device)
        metrics |= {"val_bytes": bits / 8, "val_loss": loss}
    return metrics, reconstructions


def measure_model(model: Autoencoder, images: Tensor, device: torch.device) -> tuple[Quality, NDArray[np.float32]]:
    """Reconstruct uint8 images (N, height, width[, 3]); return the quality, and the first ten reconstructions.

    Reconstructions are float32, of the shape of the images, in [0, 1]. Neither they nor the quality are rounded to
    8 bits.
    """
    errors, similarities = [], []
    first: list[NDArray[np.floating]] = []
    for originals, decoded in _reconstruct(model, images, device):
        errors.append(mse_per_image(originals, decoded))
        similarities.append(ssim_per_image(originals, decoded))
        if sum(len(each) for each in first) < RECONSTRUCTIONS:
            first.append(decoded[:RECONSTRUCTIONS])
    quality = quality_of(np.concatenate(errors), np.concatenate(similarities))
    return quality, np.concatenate(first)[:RECONSTRUCTIONS]


def measure_rate_distortion(
    model: Autoencoder, prior: Prior, images: Tensor, weight: float, seed: int, device: torch.device
) -> tuple[float, float]:
    """Return the mean rate-distortion loss and the mean bits of uint8 images (N, height, width[, 3]).

    Both are computed as in training, but with the same qualities and noise at every call with this `seed`, so that
    epochs can be compared.
    """
    model.eval()
    draws = torch.Generator().manual_seed(seed)
    loss = bits = 0.0
    with torch.inference_mode():
        for batch in images.split(images_at_once(model.config)):
            costs = rate_distortion(model, prior, to_pixels(batch.to(device)), weight, draws)
            loss += costs.loss.item() * len(batch)
            bits += costs.bits.item() * len(batch)
    return loss / len(images), bits / len(images)


def measure_held_out(
    model: Autoencoder, prior: Prior | None, train_images: Tensor, held_out: Tensor, device: torch.device
) -> HeldOut:
    """Measure uint8 images (N, height, width[, 3]): all of `held_out`, or 2,000 at equal distances if it has more.

    `model` and `prior` are on `device`. Raises ValueError if there are no images.
    """
    held_out = spread(held_out, MOST_HELD_OUT)
    if not len(held_out):
        raise ValueError("there are no held-out images")
    plain, trained = (
        _pooled_psnr(_reconstruct(model, images, device))
        for images in (held_out, spread(train_images, len(held_out)))
    )
    points: tuple[QualityPoint, ...] = ()
    if prior is not None:
        points = tuple(_measure_quality(model, prior, held_out, quality, device) for quality in _QUALITIES)
    return HeldOut(len(held_out), plain, trained, points)


def _measure_quality(
    model: Autoencoder, prior: Prior, images: Tensor, quality: int, device: torch.device
) -> QualityPoint:
    """Measure uint8 images whose latents are rounded for `quality`, with pixels in 256 levels as in real files."""
    step = torch.tensor(QUALITY_STEPS[quality - 1], device=device)
    bits = 0.0

    def rounded(latents: Tensor) -> Tensor:
        nonlocal bits
        units = quantise(latents * UNITS, step)
        chosen = torch.full((len(units),), quality - 1, device=device)
        bits += prior.bits(units, units, chosen).sum().item()
        return units / UNITS

    in_levels = (
        (originals, np.rint(decoded * 255) / np.float32(255))
        for originals, decoded in _reconstruct(model, images, device, rounded)
    )
    reached = _pooled_psnr(in_levels)
    return QualityPoint(quality, bits / len(images) / 8 + SINGLE_HEADER_BYTES, reached)


@torch.inference_mode()
def _reconstruct(
    model: Autoencoder,
    images: Tensor,
    device: torch.device,
    change: Callable[[Tensor], Tensor] = lambda latents: latents,
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Yield batches of uint8 images and their reconstructions from changed latents, both in [0, 1]."""
    model.eval()
    for batch in images.split(images_at_once(model.config)):
        latents = change(fast_encode(model.encoder, to_pixels(batch.to(device))))
        decoded = to_images(fast_decode(model.decoder, latents)).cpu().numpy()
        yield (batch.float() / 255).numpy(), decoded


def _pooled_psnr(batches: Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]) -> float:
    return psnr(float(np.concatenate([mse_per_image(*batch) for batch in batches]).mean()))


def spread(images: Tensor, most: int) -> Tensor:
    """Return `images`, or at most `most` of them at equal distances, without copying them."""
    return images[:: math.ceil(len(images) / most)][:most] if len(images) > most else images


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
