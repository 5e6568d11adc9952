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
from fmae_edge.train.objective import draw, quantise, rate_distortion
from fmae_edge.train.processes import ALONE, Processes

RECONSTRUCTIONS = 10  # that are returned, for pictures
MOST_HELD_OUT = 2000
# The number of the first image of a batch, the images, and what they are decoded to, both in [0, 1]
_Reconstructed = tuple[int, NDArray[np.floating], NDArray[np.floating]]
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
    model: Autoencoder,
    prior: Prior | None,
    images: Tensor,
    recipe: Recipe,
    device: torch.device,
    processes: Processes = ALONE,
) -> tuple[dict[str, float], NDArray[np.float32]]:
    """Return the metrics of an epoch on `images`, and the first reconstructions of `measure_model`.

    The names of the metrics start with val_ if the recipe has validation images, which `images` must be then, and
    with test_ otherwise. A recipe with a rate adds the bytes and the loss of validation images. Each of the
    `processes` measures a part of the images, and all get the same result.
    """
    quality, reconstructions = measure_model(model, images, device, processes)
    kind = "test" if recipe.validation_images is None else "val"
    metrics = {f"{kind}_{name}": value for name, value in asdict(quality).items()}
    if kind == "val" and prior and recipe.rate_distortion:
        loss, bits = measure_rate_distortion(
            model, prior, images, recipe.rate_distortion, recipe.seed, device, processes
        )
        metrics |= {"val_bytes": bits / 8, "val_loss": loss}
    return metrics, reconstructions


def measure_model(
    model: Autoencoder, images: Tensor, device: torch.device, processes: Processes = ALONE
) -> tuple[Quality, NDArray[np.float32]]:
    """Reconstruct uint8 images (N, height, width[, 3]); return the quality, and the first ten reconstructions.

    Reconstructions are float32, of the shape of the images, in [0, 1]. Neither they nor the quality are rounded to
    8 bits. Each image is measured by one of the `processes`.
    """
    own = []
    for number, originals, decoded in _reconstruct(model, images, device, processes=processes):
        first = decoded[: max(0, RECONSTRUCTIONS - number)].copy()  # not a view, which would keep all of them
        own.append((mse_per_image(originals, decoded), ssim_per_image(originals, decoded), first))
    errors, similarities, reconstructions = (
        np.concatenate(parts) for parts in zip(*processes.gather(own), strict=True)
    )
    return quality_of(errors, similarities), reconstructions


def measure_rate_distortion(
    model: Autoencoder,
    prior: Prior,
    images: Tensor,
    weight: float,
    seed: int,
    device: torch.device,
    processes: Processes = ALONE,
) -> tuple[float, float]:
    """Return the mean rate-distortion loss and the mean bits of uint8 images (N, height, width[, 3]).

    Both are computed as in training, but with the same qualities and noise at every call with this `seed`, so that
    epochs can be compared. Each image is measured by one of the `processes`.
    """
    model.eval()
    draws = torch.Generator().manual_seed(seed)
    own = []
    with torch.inference_mode():
        for number, batch in enumerate(images.split(images_at_once(model.config))):
            if not processes.computes(number):
                draw(len(batch), model.config.latent_size, draws)  # the next batch gets the same as in one process
                continue
            costs = rate_distortion(model, prior, to_pixels(batch.to(device)), weight, draws)
            own.append((costs.loss.item() * len(batch), costs.bits.item() * len(batch)))
    loss, bits = map(sum, zip(*processes.gather(own), strict=True))
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
        (number, originals, np.rint(decoded * 255) / np.float32(255))
        for number, originals, decoded in _reconstruct(model, images, device, rounded)
    )
    reached = _pooled_psnr(in_levels)
    return QualityPoint(quality, bits / len(images) / 8 + SINGLE_HEADER_BYTES, reached)


@torch.inference_mode()
def _reconstruct(
    model: Autoencoder,
    images: Tensor,
    device: torch.device,
    change: Callable[[Tensor], Tensor] = lambda latents: latents,
    processes: Processes = ALONE,
) -> Iterator[_Reconstructed]:
    """Yield batches of uint8 images and their reconstructions from changed latents.

    They are the batches that this process computes, one of `processes`.
    """
    model.eval()
    at_once = images_at_once(model.config)
    for number, batch in enumerate(images.split(at_once)):
        if not processes.computes(number):
            continue
        latents = change(fast_encode(model.encoder, to_pixels(batch.to(device))))
        decoded = to_images(fast_decode(model.decoder, latents)).cpu().numpy()
        yield number * at_once, (batch.float() / 255).numpy(), decoded


def _pooled_psnr(batches: Iterator[_Reconstructed]) -> float:
    return psnr(float(np.concatenate([mse_per_image(*pixels) for _, *pixels in batches]).mean()))


def spread(images: Tensor, most: int) -> Tensor:
    """Return `images`, or at most `most` of them at equal distances, without copying them."""
    return images[:: math.ceil(len(images) / most)][:most] if len(images) > most else images


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
