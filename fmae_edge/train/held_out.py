"""Measure a finished model on held-out images: quality, bytes by its prior, and the gap to its training images."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.measure.quality import mse_per_image, psnr
from fmae_edge.model.autoencoder import Autoencoder, to_images, to_pixels
from fmae_edge.model.fast_pass import fast_decode, fast_encode, images_at_once
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS
from fmae_edge.train.objective import quantise

MOST_IMAGES = 2000
HEADER_BYTES = 7  # of a .fmae file of one image, besides its payload
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


def measure_held_out(
    model: Autoencoder, prior: Prior | None, train_images: Tensor, held_out: Tensor, device: torch.device
) -> HeldOut:
    """Measure uint8 images (N, height, width[, 3]): all of `held_out`, or 2,000 at equal distances if it has more.

    `model` and `prior` are on `device`. Raises ValueError if there are no images.
    """
    held_out = spread(held_out, MOST_IMAGES)
    if not len(held_out):
        raise ValueError("there are no held-out images")
    plain = _measure(model, None, held_out, None, device)[0]
    trained = _measure(model, None, spread(train_images, len(held_out)), None, device)[0]
    points = []
    for quality in _QUALITIES if prior is not None else ():
        error, bits = _measure(model, prior, held_out, quality, device)
        points.append(QualityPoint(quality, bits / 8 + HEADER_BYTES, psnr(error)))
    return HeldOut(len(held_out), psnr(plain), psnr(trained), tuple(points))


def spread(images: Tensor, most: int) -> Tensor:
    """Return `images`, or at most `most` of them at equal distances, without copying them."""
    return images[:: math.ceil(len(images) / most)][:most] if len(images) > most else images


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _measure(
    model: Autoencoder, prior: Prior | None, images: Tensor, quality: int | None, device: torch.device
) -> tuple[float, float]:
    """Return the mean squared error and the mean bits by the prior, with latents rounded for `quality`."""
    model.eval()
    errors: list[NDArray[np.float64]] = []
    bits = 0.0
    with torch.inference_mode():
        for batch in images.split(images_at_once(model.config)):
            latents = fast_encode(model.encoder, to_pixels(batch.to(device)))
            if quality is not None:
                step = torch.tensor(QUALITY_STEPS[quality - 1], device=device)
                units = quantise(latents * UNITS, step)
                chosen = torch.full((len(batch),), quality - 1, device=device)
                bits += 0.0 if prior is None else prior.bits(units, units, chosen).sum().item()
                latents = units / UNITS
            decoded = to_images(fast_decode(model.decoder, latents)).cpu().numpy()
            if quality is not None:
                decoded = np.rint(decoded * 255) / np.float32(255)
            errors.append(mse_per_image((batch.float() / 255).numpy(), decoded))
    return float(np.concatenate(errors).mean()), bits / len(images)
