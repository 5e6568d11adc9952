"""Improve rounded latents by the search that `--effort` makes in the runtime, to train on what it finds.

A few steps of Adam follow the gradient of the cost through the rounding (Yang et al., "Improving inference for neural
image compression", NeurIPS 2020, describe the gain). Then each round tries the moves of single latents by one
quantiser step that the gradient rates best, and keeps the best collection of them. `entropy/search.py` in the
runtime explains the search; this one runs on a whole batch in PyTorch, with the unquantised decoder.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.fast_pass import fast_decode
from fmae_edge.model.learned_prior import PackedPrior, Prior
from fmae_edge.model.recipe import UNITS

_GRADIENT_STEPS, _ROUNDS, _MOVES = 4, 2, 8
_LEARNING_RATE = 3.0  # units
_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class Problem:
    """What the latents of a batch should represent, and what errors and bits cost.

    `pixels` are (N, channels, height, width) in [0, 1]. `steps` (N, 1) are the quantiser steps in units, of
    `quality` (N,) from 0. The cost of an image is its summed squared error and `bit_cost` (N,) per bit.
    """

    model: Autoencoder
    prior: PackedPrior
    pixels: Tensor
    quality: Tensor
    steps: Tensor
    bit_cost: Tensor

    def decode(self, latents: Tensor) -> Tensor:
        """Return the decoded pixels (N, numbers) of latents in units."""
        return fast_decode(self.model.decoder, latents / UNITS).flatten(1)

    def error(self, decoded: Tensor) -> Tensor:
        """Return the summed squared error (N,) of decoded pixels."""
        return (decoded - self.pixels.flatten(1)).square().sum(dim=1)

    def bits(self, latents: Tensor) -> Tensor:
        """Return the bits (N,) of rounded latents in units."""
        return self.prior.bits(latents, latents, self.quality)

    def cost(self, latents: Tensor) -> Tensor:
        """Return the cost (N,) of rounded latents in units."""
        return self.error(self.decode(latents)) + self.bit_cost * self.bits(latents)

    def rounded(self, latents: Tensor) -> Tensor:
        """Return latents rounded to the nearest quantiser step."""
        return (latents / self.steps).round() * self.steps


@torch.no_grad()
def refine(
    model: Autoencoder, prior: Prior, pixels: Tensor, latents: Tensor, quality: Tensor, steps: Tensor, bit_cost: Tensor
) -> Tensor:
    """Return rounded latents (N, latent_size) in units that cost no more than `latents` after rounding.

    The arguments are those of `Problem`. Gradients do not flow back to any of them.
    """
    problem = Problem(model, prior.pack(), pixels, quality, steps, bit_cost)
    best = _Best(problem, problem.rounded(latents))
    _descend(problem, latents, best)
    for _ in range(_ROUNDS):
        _try_moves(problem, best)
    return best.latents


class _Best:
    """The cheapest rounded latents of each image so far."""

    def __init__(self, problem: Problem, latents: Tensor) -> None:
        self.latents, self.cost = latents, problem.cost(latents)

    def offer(self, latents: Tensor, cost: Tensor) -> None:
        better = cost < self.cost
        self.latents = torch.where(better.unsqueeze(1), latents, self.latents)
        self.cost = torch.where(better, cost, self.cost)


def _descend(problem: Problem, start: Tensor, best: _Best) -> None:
    """Take steps of Adam on unrounded latents, by the gradient at the rounded ones."""
    latents, mean, square = start, torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, _GRADIENT_STEPS + 1):
        cost, gradient, _ = _gradient(problem, problem.rounded(latents))
        best.offer(problem.rounded(latents), cost)
        mean = _BETAS[0] * mean + (1 - _BETAS[0]) * gradient
        square = _BETAS[1] * square + (1 - _BETAS[1]) * gradient.square()
        direction = (mean / (1 - _BETAS[0] ** step)) / ((square / (1 - _BETAS[1] ** step)).sqrt() + 1e-12)
        latents = latents - _LEARNING_RATE * direction
    rounded = problem.rounded(latents)
    best.offer(rounded, problem.cost(rounded))


def _gradient(problem: Problem, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cost (N,), its gradient, and the part of the gradient without a latent's own bits."""
    with torch.enable_grad():
        values, context = latents.detach().requires_grad_(), latents.detach().requires_grad_()
        error = problem.error(problem.decode(values))
        own = problem.bit_cost * problem.prior.bits(values, context, problem.quality)
        (of_error,) = torch.autograd.grad(error.sum(), values)
        of_bits, of_context = torch.autograd.grad(own.sum(), (values, context))
    return (error + own).detach(), of_error + of_bits + of_context, of_error + of_context


def _try_moves(problem: Problem, best: _Best) -> None:
    """Change the best latents by the best collection of the moves that the gradient rates best."""
    latents = best.latents
    count = len(latents)
    _, _, slope = _gradient(problem, latents)
    decoded = problem.decode(latents)
    # The error's second derivative is left out: it is about the same for all latents, so the order stays
    change = []
    own = problem.prior.bits_of_each(latents, latents, problem.quality)
    for sign in (1, -1):
        moved = problem.prior.bits_of_each(latents + sign * problem.steps, latents, problem.quality)
        change.append(sign * slope * problem.steps + problem.bit_cost.unsqueeze(1) * (moved - own))
    cheaper, index = torch.stack(change).min(dim=0)
    chosen = cheaper.topk(min(_MOVES, latents.shape[1]), dim=1, largest=False).indices
    signs = 1 - 2 * index.gather(1, chosen)
    moves = torch.zeros(*chosen.shape, latents.shape[1], device=latents.device)
    moves.scatter_(2, chosen.unsqueeze(2), (signs * problem.steps).unsqueeze(2).to(moves.dtype))
    tried = (latents.unsqueeze(1) + moves).flatten(0, 1)
    number = chosen.shape[1]
    changes = problem.decode(tried).unflatten(0, (count, number)) - decoded.unsqueeze(1)
    many = problem.quality.repeat_interleave(number)
    bits = problem.prior.bits(tried, tried, many).unflatten(0, (count, number))
    extra = problem.bit_cost.unsqueeze(1) * (bits - problem.bits(latents).unsqueeze(1))
    products = changes @ changes.transpose(1, 2)
    toward = (changes @ (problem.pixels.flatten(1) - decoded).unsqueeze(2)).squeeze(2)
    alone = products.diagonal(dim1=1, dim2=2) + extra
    taken = torch.zeros_like(alone, dtype=torch.bool)
    rows = torch.arange(count, device=latents.device)
    for done in range(1, number + 1):
        costs = torch.where(taken, torch.inf, alone - 2 * toward)
        cost, move = costs.min(dim=1)
        useful = cost < 0
        taken[rows[useful], move[useful]] = True
        toward = toward - torch.where(useful.unsqueeze(1), products[rows, move], 0.0)
        if done & (done - 1) == 0:
            together = latents + (moves * taken.unsqueeze(2)).sum(dim=1)
            best.offer(together, problem.cost(together))
