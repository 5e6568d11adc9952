"""Improve rounded latents by a search as `--effort` makes it in the runtime.

A few steps of Adam follow the gradient of the cost through the rounding (Yang et al., "Improving inference for
neural image compression", NeurIPS 2020, describe the gain). Then each round tries the moves of single latents by
one quantiser step that the gradient rates best, and keeps the best collection of them. `entropy/search.py` in the
runtime explains the search; this one runs on a whole batch in PyTorch, with the unquantised decoder.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fmae_edge.model.fast_pass import PackedDecoder
from fmae_edge.model.learned_prior import PackedPrior
from fmae_edge.model.recipe import UNITS
from fmae_edge.train.objective import quantise

_GRADIENT_STEPS, _ROUNDS, _MOVES = 4, 2, 8
_LEARNING_RATE = 3.0  # units
_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class Problem:
    """What the latents of a batch should represent, and what errors and bits cost.

    `pixels` are (N, channels, height, width) in [0, 1]. `steps` (N, 1) are the quantiser steps in units, of
    `quality` (N,) from 0. The cost of an image is its summed squared error and `bit_cost` (N,) per bit.
    """

    decoder: PackedDecoder
    prior: PackedPrior
    pixels: Tensor
    quality: Tensor
    steps: Tensor
    bit_cost: Tensor

    def decode(self, latents: Tensor) -> Tensor:
        """Return the decoded pixels (N, numbers) of latents in units."""
        return self.decoder.decode(latents / UNITS).flatten(1)

    def error(self, decoded: Tensor) -> Tensor:
        """Return the summed squared error (N,) of decoded pixels."""
        return (decoded - self.pixels.flatten(1)).square().sum(dim=1)

    def cost(self, latents: Tensor) -> Tensor:
        """Return the cost (N,) of rounded latents in units."""
        return self.error(self.decode(latents)) + self.bit_cost * self.prior.bits(latents, latents, self.quality)

    def rounded(self, latents: Tensor) -> Tensor:
        """Return latents rounded to the nearest quantiser step."""
        return quantise(latents, self.steps)


@torch.no_grad()
def search(problem: Problem, latents: Tensor) -> Tensor:
    """Return rounded latents (N, latent_size) in units that cost no more than `latents` after rounding.

    Gradients flow back neither to `latents` nor to the problem.
    """
    best = _Best(problem.rounded(latents))
    _descend(problem, latents, best)
    for _ in range(_ROUNDS):
        _try_moves(problem, best)
    return best.latents


class _Best:
    """The cheapest rounded latents of each image so far."""

    def __init__(self, latents: Tensor) -> None:
        self.latents, self.cost = latents, torch.full_like(latents[:, 0], torch.inf)

    def offer(self, latents: Tensor, cost: Tensor) -> None:
        better = cost < self.cost
        self.latents = torch.where(better.unsqueeze(1), latents, self.latents)
        self.cost = torch.where(better, cost, self.cost)


@dataclass(frozen=True)
class _Slope:
    """The cost (N,) of rounded latents, its gradient, and what both were computed from.

    `of_others` is the part of the gradient without a latent's own bits: a move changes these by too much.
    """

    cost: Tensor
    gradient: Tensor
    of_others: Tensor
    decoded: Tensor


def _slope(problem: Problem, latents: Tensor) -> _Slope:
    with torch.enable_grad():
        values, context = latents.detach().requires_grad_(), latents.detach().requires_grad_()
        decoded = problem.decode(values)
        error = problem.error(decoded)
        own = problem.bit_cost * problem.prior.bits(values, context, problem.quality)
        (of_error,) = torch.autograd.grad(error.sum(), values)
        of_bits, of_context = torch.autograd.grad(own.sum(), (values, context))
    cost = (error + own).detach()
    return _Slope(cost, of_error + of_bits + of_context, of_error + of_context, decoded.detach())


def _descend(problem: Problem, start: Tensor, best: _Best) -> None:
    """Take steps of Adam on unrounded latents, by the gradient at the rounded ones. `start` itself counts too."""
    latents, mean, square = start, torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, _GRADIENT_STEPS + 1):
        rounded = problem.rounded(latents)
        slope = _slope(problem, rounded)
        best.offer(rounded, slope.cost)
        mean = _BETAS[0] * mean + (1 - _BETAS[0]) * slope.gradient
        square = _BETAS[1] * square + (1 - _BETAS[1]) * slope.gradient.square()
        direction = (mean / (1 - _BETAS[0] ** step)) / ((square / (1 - _BETAS[1] ** step)).sqrt() + 1e-12)
        latents = latents - _LEARNING_RATE * direction
    rounded = problem.rounded(latents)
    best.offer(rounded, problem.cost(rounded))


def _try_moves(problem: Problem, best: _Best) -> None:
    """Change the best latents by the best collection of the moves that the gradient rates best."""
    latents, quality, bit_cost = best.latents, problem.quality, problem.bit_cost.unsqueeze(1)
    slope = _slope(problem, latents)
    predicted = problem.prior.predict(latents, quality)
    own = problem.prior.bits_as_predicted(latents, *predicted, quality)
    change = []
    for sign in (1, -1):
        moved = problem.prior.bits_as_predicted(latents + sign * problem.steps, *predicted, quality)
        # The error's second derivative is left out: it is about the same for all latents, so the order stays
        change.append(sign * slope.of_others * problem.steps + bit_cost * (moved - own))
    moves = _cheapest_moves(change[0], change[1], problem.steps)
    tried = (latents.unsqueeze(1) + moves).flatten(0, 1)
    many = quality.repeat_interleave(moves.shape[1])
    changes = problem.decode(tried).unflatten(0, moves.shape[:2]) - slope.decoded.unsqueeze(1)
    bits = problem.prior.bits(tried, tried, many).unflatten(0, moves.shape[:2])
    extra = bit_cost * (bits - own.sum(dim=1, keepdim=True))
    # The changes of the pixels are taken to add up, so these products give the error of any collection of moves
    products = changes @ changes.transpose(1, 2)
    toward = (changes @ (problem.pixels.flatten(1) - slope.decoded).unsqueeze(2)).squeeze(2)
    alone = products.diagonal(dim1=1, dim2=2) + extra
    taken = torch.zeros_like(alone, dtype=torch.bool)
    rows = torch.arange(len(latents), device=latents.device)
    for done in range(1, moves.shape[1] + 1):
        cost, move = torch.where(taken, torch.inf, alone - 2 * toward).min(dim=1)
        useful = cost < 0
        taken[rows[useful], move[useful]] = True
        toward = toward - torch.where(useful.unsqueeze(1), products[rows, move], 0.0)
        if done & (done - 1) == 0:  # at 1, 2, 4, ... moves, check their true cost
            together = latents + (moves * taken.unsqueeze(2)).sum(dim=1)
            best.offer(together, problem.cost(together))


def _cheapest_moves(up: Tensor, down: Tensor, steps: Tensor) -> Tensor:
    """Return the moves (N, moves, latent_size) of single latents that change the cost best.

    `up` and `down` (N, latent_size) are the changes of the cost if a latent moves by a quantiser step.
    """
    cheaper, index = torch.stack([up, down]).min(dim=0)
    chosen = cheaper.topk(min(_MOVES, up.shape[1]), dim=1, largest=False).indices
    signs = 1 - 2 * index.gather(1, chosen)
    moves = torch.zeros(*chosen.shape, up.shape[1], device=up.device)
    return moves.scatter_(2, chosen.unsqueeze(2), (signs * steps).unsqueeze(2).to(moves.dtype))
