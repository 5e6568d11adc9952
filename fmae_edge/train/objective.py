"""The loss with a rate: bits and distortion together, at every quality of the codec."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from fmae_edge.model.autoencoder import Autoencoder, to_pixels
from fmae_edge.model.fast_pass import fast_decode, fast_encode, images_at_once
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS
from fmae_edge.train.refinement import refine

_MIDDLE = QUALITY_STEPS[len(QUALITY_STEPS) // 2]


@dataclass(frozen=True)
class Costs:
    """The loss of a batch, which training minimises, with its mean squared error and its mean bits per image."""

    loss: Tensor
    error: Tensor
    bits: Tensor


def rate_distortion(
    model: Autoencoder, prior: Prior, batch: Tensor, weight: float, generator: torch.Generator
) -> Costs:
    """Return the rate-distortion costs of pixels (N, channels, height, width) in [0, 1].

    Each image gets a random quality. `weight` is the lambda of the middle quality, where the loss is
    MSE + bits per pixel / (weight x 255^2), where a pixel has all its channels. At other qualities the weight of
    the bits grows with the square of the quantiser step, as the distortion does.

    The decoder gets rounded latents, whose gradient is that of the identity. The prior gives the bits of latents
    with uniform noise in place of the rounding (Minnen and Singh, ICIP 2020).
    """
    quality = torch.randint(len(QUALITY_STEPS), (len(batch),), generator=generator).to(batch.device)
    noise = torch.rand((len(batch), model.config.latent_size), generator=generator).to(batch.device) - 0.5
    steps = _steps(quality)
    latents = fast_encode(model.encoder, batch).float() * UNITS
    rounded = latents + (quantise(latents, steps) - latents).detach()
    with torch.autocast(batch.device.type, enabled=False):  # bfloat16 is too coarse for values in units
        bits = prior.bits(latents + noise * steps, rounded, quality)
    error = mse_loss(fast_decode(model.decoder, rounded / UNITS), batch)
    rate = (bits * _bit_weights(quality)).mean() / batch[0, 0].numel()
    return Costs(error + rate / (weight * 255**2), error, bits.mean())


def refined_costs(
    model: Autoencoder, prior: Prior, batch: Tensor, weight: float, generator: torch.Generator
) -> Costs:
    """Return the costs of pixels whose latents a search has improved; they train only the decoder and the prior.

    The arguments and the loss are those of `rate_distortion`. The prior gives the bits of the rounded latents.
    """
    quality = torch.randint(len(QUALITY_STEPS), (len(batch),), generator=generator).to(batch.device)
    with torch.no_grad():
        latents = fast_encode(model.encoder, batch).float() * UNITS
    with torch.autocast(batch.device.type, enabled=False):
        refined = refine_latents(model, prior, batch, latents, quality, weight)
        bits = prior.bits(refined, refined, quality)
    error = mse_loss(fast_decode(model.decoder, refined / UNITS), batch)
    rate = (bits * _bit_weights(quality)).mean() / batch[0, 0].numel()
    return Costs(error + rate / (weight * 255**2), error, bits.mean())


def refine_latents(
    model: Autoencoder, prior: Prior, pixels: Tensor, latents: Tensor, quality: Tensor, weight: float
) -> Tensor:
    """Return rounded latents (N, latent_size) in units that cost less in the loss than rounding `latents` gives.

    `pixels` are (N, channels, height, width) in [0, 1], `quality` (N,) counts from 0.
    """
    bit_cost = _bit_weights(quality) * pixels.shape[1] / (weight * 255**2)
    return refine(model, prior, pixels, latents, quality, _steps(quality), bit_cost)


def refine_all(
    model: Autoencoder, prior: Prior, images: Tensor, weight: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Return refined latents (N, latent_size) in units of uint8 images, each at one random quality (N,).

    The images are (N, height, width[, 3]), on any device; the result is on that of the model.
    """
    model.eval()
    device = model.encoder.dense.weight.device
    draws = torch.Generator().manual_seed(seed)
    quality = torch.randint(len(QUALITY_STEPS), (len(images),), generator=draws).to(device)
    refined = []
    at_once = images_at_once(model.config)
    for batch, chosen in zip(images.split(at_once), quality.split(at_once), strict=True):
        pixels = to_pixels(batch.to(device))
        with torch.no_grad():
            latents = fast_encode(model.encoder, pixels) * UNITS
            refined.append(refine_latents(model, prior, pixels, latents, chosen, weight))
    return torch.cat(refined), quality


def _steps(quality: Tensor) -> Tensor:
    """Return the quantiser steps (N, 1) in units."""
    return torch.tensor(QUALITY_STEPS, device=quality.device)[quality].unsqueeze(1)


def _bit_weights(quality: Tensor) -> Tensor:
    """Return the weight (N,) of bits at each quality, relative to the middle one."""
    return (_steps(quality)[:, 0] / _MIDDLE) ** 2


def quantise(latents: Tensor, steps: Tensor) -> Tensor:
    """Return `latents` rounded to multiples of `steps`, both in units."""
    return (latents / steps).round() * steps
