"""Measure a model on images that it is not trained on, in batches whose size is bounded by their pixels."""

from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.measure.quality import Quality, mse_per_image, quality_of, ssim_per_image
from fmae_edge.model.autoencoder import Autoencoder, to_images, to_pixels
from fmae_edge.model.fast_pass import fast_autoencode, images_at_once
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import Recipe
from fmae_edge.train.objective import rate_distortion

RECONSTRUCTIONS = 10  # that are returned, for pictures


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
    model.eval()
    errors, similarities = [], []
    first: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for batch in images.split(images_at_once(model.config)):
            decoded = to_images(fast_autoencode(model, to_pixels(batch.to(device)))).cpu().numpy()
            originals = (batch.float() / 255).numpy()
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
