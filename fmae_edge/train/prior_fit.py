"""Fit the prior to the latents of a finished encoder, rounded as the codec rounds them."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from fmae_edge.train.prior import QUALITY_STEPS, UNITS, Prior
from fmae_edge.train.rate import quantise

_STEPS = 8000
_BATCH = 512
_LR = 0.003
_WARM_UP = 200


def fit_prior(
    prior: Prior,
    latents: Tensor,
    seed: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    steps: int = _STEPS,
) -> Prior:
    """Return `prior` trained on to give latents (N, latent_size) the fewest bits, at all qualities alike."""
    fitted = copy.deepcopy(prior)
    optimiser = torch.optim.AdamW(fitted.parameters(), lr=0.0, weight_decay=0.0, fused=True)
    draws = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(QUALITY_STEPS, device=latents.device)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _LR * min(1.0, step / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = torch.randint(len(latents), (_BATCH,), generator=draws).to(latents.device)
        quality = torch.randint(len(QUALITY_STEPS), (_BATCH,), generator=draws).to(latents.device)
        rounded = quantise(latents[chosen] * UNITS, sizes[quality].unsqueeze(1))
        optimiser.zero_grad()
        fitted.bits(rounded, rounded, quality).mean().backward()
        optimiser.step()
        on_step(step + 1, steps)
    return fitted
