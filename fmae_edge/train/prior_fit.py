"""Fit the prior to the latents of a finished encoder, rounded as the codec rounds them.

The networks of the groups are independent, so each thread trains its share of them without waiting for the others.
A step has about fifty operations of at most a millisecond. PyTorch's own threads wait for each other at the end of
every operation, which takes many times as long if other processes use the CPUs too.
"""

import copy
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from fmae_edge.model.learned_prior import PackedPrior, Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS, PriorFit
from fmae_edge.train.objective import quantise

_WEIGHTS = ("first", "second", "second_bias", "last", "last_bias")


def fit_prior(
    prior: Prior,
    latents: Tensor,
    settings: PriorFit,
    seed: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Prior:
    """Return `prior` trained further, to minimise the bits of latents (N, latent_size) over all qualities.

    On a CPU it uses the same number of threads as PyTorch. `on_step` gets (steps done, total steps).
    """
    threads = torch.get_num_threads()
    shares = _shares(len(prior.groups), threads if latents.device.type == "cpu" else 1)
    fitted = copy.deepcopy(prior)
    stopped = threading.Event()

    def fit(share: slice) -> None:
        torch.set_num_threads(1)  # of this thread
        packed = _trainable(prior.pack(share))
        for done in _fit(packed, latents, settings, seed):
            if stopped.is_set():
                return
            if share is shares[0]:  # all shares take the same time
                on_step(done, settings.steps)
        fitted.unpack(share, packed)

    with ThreadPoolExecutor(len(shares)) as pool:
        others = [pool.submit(fit, share) for share in shares[1:]]
        try:
            fit(shares[0])
        except BaseException:
            stopped.set()
            raise
        finally:
            torch.set_num_threads(threads)
        for other in others:
            other.result()
    return fitted


def _shares(groups: int, threads: int) -> list[slice]:
    """Split the groups into consecutive slices, one per thread, whose sizes differ by at most one."""
    threads = min(threads, groups)
    edges = [index * groups // threads for index in range(threads + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]


def _trainable(start: PackedPrior) -> PackedPrior:
    """Return a trainable copy of `start`; the weights of inputs that a group must not see stay zero."""
    weights = {name: getattr(start, name).detach().clone().requires_grad_() for name in _WEIGHTS}
    weights["first"].register_hook(lambda gradient: gradient * start.seen)
    return replace(start, **weights)


def _fit(packed: PackedPrior, latents: Tensor, settings: PriorFit, seed: int) -> Iterator[int]:
    """Train `packed`, and yield the number of steps done after each step."""
    optimiser = torch.optim.AdamW(
        [getattr(packed, name) for name in _WEIGHTS], lr=0.0, weight_decay=0.0, fused=True
    )
    draws = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(QUALITY_STEPS, device=latents.device)
    for step in range(settings.steps):
        rise, fall = min(1.0, step / settings.warm_up), 0.5 + 0.5 * math.cos(math.pi * step / settings.steps)
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * rise * fall
        size = (settings.batch_size,)
        chosen = torch.randint(len(latents), size, generator=draws).to(latents.device)
        quality = torch.randint(len(QUALITY_STEPS), size, generator=draws).to(latents.device)
        rounded = quantise(latents[chosen] * UNITS, sizes[quality].unsqueeze(1))
        optimiser.zero_grad()
        packed.bits(rounded, rounded, quality).mean().backward()
        optimiser.step()
        yield step + 1
