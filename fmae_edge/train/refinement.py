"""Train the decoder and the prior on latents that a search has improved: `--effort` will find such latents."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from fmae_edge.model.autoencoder import Autoencoder, to_pixels
from fmae_edge.model.fast_pass import PackedDecoder, fast_decode, fast_encode, images_at_once
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS
from fmae_edge.train.latent_search import Problem, search
from fmae_edge.train.objective import Costs, bit_weights, costs_of, quantiser_steps
from fmae_edge.train.processes import Share


def refined_costs(
    model: Autoencoder,
    prior: Prior,
    batch: Tensor,
    weight: float,
    generator: torch.Generator,
    share: Share | None = None,
) -> Costs:
    """Return the costs of pixels whose latents a search has improved; they train only the decoder and the prior.

    The arguments and the loss are those of `rate_distortion`. The prior gives the bits of the rounded latents.
    """
    share = share or Share(len(batch))
    drawn = torch.randint(len(QUALITY_STEPS), (share.total,), generator=generator)
    quality = share.take(drawn).to(batch.device)
    with torch.no_grad():
        latents = fast_encode(model.encoder, batch).float() * UNITS
    with torch.autocast(batch.device.type, enabled=False):  # bfloat16 is too coarse for values in units
        refined = refine_latents(model, prior, batch, latents, quality, weight)
        bits = prior.bits(refined, refined, quality)
    error = mse_loss(fast_decode(model.decoder, refined / UNITS), batch)
    return costs_of(error, bits, quality, batch, weight)


@torch.no_grad()
def refine_latents(
    model: Autoencoder, prior: Prior, pixels: Tensor, latents: Tensor, quality: Tensor, weight: float
) -> Tensor:
    """Return rounded latents (N, latent_size) in units that cost no more in the loss than `latents` do rounded.

    `pixels` are (N, channels, height, width) in [0, 1], `quality` (N,) counts from 0. No gradients flow back.
    """
    bit_cost = bit_weights(quality) * pixels.shape[1] / (weight * 255**2)
    packed = PackedDecoder.of(model.decoder), prior.pack()
    return search(Problem(*packed, pixels, quality, quantiser_steps(quality), bit_cost), latents)


def refine_all(
    model: Autoencoder,
    prior: Prior,
    images: Tensor,
    weight: float,
    seed: int,
    on_refined: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Tensor, Tensor]:
    """Return refined latents (N, latent_size) in units of uint8 images, each at one random quality (N,).

    The images are (N, height, width[, 3]), on any device; the result is on that of the model. `on_refined` gets
    (images done, total images).
    """
    model.eval()
    device = model.encoder.dense.weight.device
    draws = torch.Generator().manual_seed(seed)
    quality = torch.randint(len(QUALITY_STEPS), (len(images),), generator=draws).to(device)
    refined = torch.empty(len(images), model.config.latent_size, device=device)
    at_once, done = images_at_once(model.config), 0
    for batch, chosen, result in zip(*(each.split(at_once) for each in (images, quality, refined)), strict=True):
        pixels = to_pixels(batch.to(device))
        with torch.no_grad():
            latents = fast_encode(model.encoder, pixels) * UNITS
        result.copy_(refine_latents(model, prior, pixels, latents, chosen, weight))
        done += len(batch)
        on_refined(done, len(images))
    return refined, quality
