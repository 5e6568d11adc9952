"""Fit the prior to the latents of a finished encoder, rounded as the codec rounds them.

The networks of the groups are independent, so each thread trains its share of them without waiting for the others.
A step has about fifty operations of at most a millisecond. PyTorch's own threads wait for each other at the end of
every operation, which takes many times as long if other processes use the CPUs too.
"""

import copy
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from fmae_edge.model.learned_prior import PackedPrior, Prior, group_sizes
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS, PriorFit
from fmae_edge.train.objective import quantise

_WEIGHTS = ("first", "second", "second_bias", "last", "last_bias")
_COMPARED = 40  # times that the weights are compared on validation latents
_ROWS = 2048  # about so many validation latents, each at random qualities


def fit_prior(
    prior: Prior,
    latents: Tensor,
    settings: PriorFit,
    seed: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    validation: Tensor | None = None,
    refined: tuple[Tensor, Tensor] | None = None,
) -> Prior:
    """Return `prior` trained further, to minimise the bits of latents (N, latent_size) over all qualities.

    Networks with thousands of weights memorise the latents of a few hundred images. So the weights are compared on
    the `validation` latents (V, latent_size), if there are any, before the fit and after each fortieth of it. Each
    group keeps the weights that need the fewest bits. Without validation latents, it keeps the last.

    Half of each batch comes from `refined` if it is given: rounded latents (N, latent_size) in units of the same
    images, which a search has improved, and their qualities (N,).

    On a CPU it uses the same number of threads as PyTorch. `on_step` gets (steps done, total steps).
    """
    threads = torch.get_num_threads()
    shares = _shares(len(prior.groups), threads if latents.device.type == "cpu" else 1)
    fitted = copy.deepcopy(prior)
    stopped = threading.Event()

    def fit(share: slice) -> None:
        torch.set_num_threads(1)  # of this thread
        packed = _trainable(prior.pack(share))
        best = None
        if validation is not None:
            best = _BestGroups(packed, group_sizes(latents.shape[1])[share], validation, seed)
        for done in _fit(packed, latents, settings, seed, refined):
            if stopped.is_set():
                return
            if best and (done % max(1, settings.steps // _COMPARED) == 0 or done == settings.steps):
                best.compare()
            if share is shares[0]:  # all shares take the same time
                on_step(done, settings.steps)
        fitted.unpack(share, best.weights if best else packed)

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


class _BestGroups:
    """The weights with which each group of `packed` needed the fewest bits for validation latents so far."""

    def __init__(self, packed: PackedPrior, sizes: Sequence[int], validation: Tensor, seed: int) -> None:
        draws = torch.Generator().manual_seed(seed)
        latents = validation.repeat(max(1, _ROWS // len(validation)), 1)
        self._quality = torch.randint(len(QUALITY_STEPS), (len(latents),), generator=draws).to(latents.device)
        steps = torch.tensor(QUALITY_STEPS, device=latents.device)[self._quality].unsqueeze(1)
        self._rounded = quantise(latents * UNITS, steps)
        self._packed, self._sizes = packed, list(sizes)
        self.weights = replace(packed, **{name: getattr(packed, name).detach().clone() for name in _WEIGHTS})
        self._bits = self._measure()

    def compare(self) -> None:
        """Keep the present weights of the groups that are better now."""
        bits = self._measure()
        for group in (bits < self._bits).nonzero().flatten().tolist():
            self._bits[group] = bits[group]
            for name in _WEIGHTS:
                getattr(self.weights, name)[group] = getattr(self._packed, name)[group].detach()

    @torch.no_grad()
    def _measure(self) -> Tensor:
        """Return the mean bits of each group."""
        each = self._packed.bits_of_each(self._rounded, self._rounded, self._quality).mean(dim=0)
        return torch.stack([part.sum() for part in each.split(self._sizes)])


def _trainable(start: PackedPrior) -> PackedPrior:
    """Return a trainable copy of `start`; the weights of inputs that a group must not see stay zero."""
    weights = {name: getattr(start, name).detach().clone().requires_grad_() for name in _WEIGHTS}
    weights["first"].register_hook(lambda gradient: gradient * start.seen)
    return replace(start, **weights)


def _fit(
    packed: PackedPrior, latents: Tensor, settings: PriorFit, seed: int, refined: tuple[Tensor, Tensor] | None
) -> Iterator[int]:
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
        if refined is not None:
            half = chosen[: len(chosen) // 2]
            rounded[: len(half)], quality[: len(half)] = refined[0][half], refined[1][half]
        optimiser.zero_grad()
        packed.bits(rounded, rounded, quality).mean().backward()
        optimiser.step()
        yield step + 1
