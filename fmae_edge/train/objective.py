"""The loss with a rate: bits and distortion together, at every quality of the codec."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.fast_pass import fast_decode, fast_encode
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS
from fmae_edge.train.processes import Share

_MIDDLE = QUALITY_STEPS[len(QUALITY_STEPS) // 2]


@dataclass(frozen=True)
class Costs:
    """The loss of a batch, which training minimises, with its mean squared error and its mean bits per image."""

    loss: Tensor
    error: Tensor
    bits: Tensor


def rate_distortion(
    model: Autoencoder,
    prior: Prior,
    batch: Tensor,
    weight: float,
    generator: torch.Generator,
    share: Share | None = None,
) -> Costs:
    """Return the rate-distortion costs of pixels (N, channels, height, width) in [0, 1].

    Each image gets a random quality. `weight` is the lambda of the middle quality, where the loss is
    MSE + bits per pixel / (weight x 255^2), where a pixel has all its channels. At other qualities the weight of
    the bits grows with the square of the quantiser step, as the distortion does.

    The decoder gets rounded latents, whose gradient is that of the identity. The prior gives the bits of latents
    with uniform noise in place of the rounding (Minnen and Singh, ICIP 2020).

    The images may be a `share` of a batch: then the random numbers are those of this share.
    """
    share = share or Share(len(batch))
    quality, noise = (
        share.take(each).to(batch.device) for each in draw(share.total, model.config.latent_size, generator)
    )
    steps = quantiser_steps(quality)
    latents = fast_encode(model.encoder, batch).float() * UNITS
    rounded = latents + (quantise(latents, steps) - latents).detach()
    with torch.autocast(batch.device.type, enabled=False):  # bfloat16 is too coarse for values in units
        bits = prior.bits(latents + noise * steps, rounded, quality)
    error = mse_loss(fast_decode(model.decoder, rounded / UNITS), batch)
    return costs_of(error, bits, quality, batch, weight)


def draw(images: int, latent_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return random qualities (images,) from 0, and noise (images, latent_size) from -0.5 to 0.5."""
    quality = torch.randint(len(QUALITY_STEPS), (images,), generator=generator)
    return quality, torch.rand((images, latent_size), generator=generator) - 0.5


def costs_of(error: Tensor, bits: Tensor, quality: Tensor, batch: Tensor, weight: float) -> Costs:
    """Return the costs of a batch from its mean squared error, and the bits (N,) and qualities of its images."""
    rate = (bits * bit_weights(quality)).mean() / batch[0, 0].numel()
    return Costs(error + rate / (weight * 255**2), error, bits.mean())


def quantiser_steps(quality: Tensor) -> Tensor:
    """Return the quantiser steps (N, 1) in units."""
    return torch.tensor(QUALITY_STEPS, device=quality.device)[quality].unsqueeze(1)


def bit_weights(quality: Tensor) -> Tensor:
    """Return the weight (N,) of bits at each quality, relative to the middle one."""
    return (quantiser_steps(quality)[:, 0] / _MIDDLE) ** 2


def quantise(latents: Tensor, steps: Tensor) -> Tensor:
    """Return `latents` rounded to multiples of `steps`, both in units."""
    return (latents / steps).round() * steps
