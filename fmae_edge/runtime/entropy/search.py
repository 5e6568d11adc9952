"""Search for symbols that cost less, in error and bits together, than those that rounding gives.

Only the encoder searches; the decoder does not change. The search has two parts:

1. Steps of Adam on the unrounded latents, by the gradient of the cost at the rounded ones. They move many symbols
   at once, which pays for fine quantisers (Yang et al., "Improving inference for neural image compression", 2020).
2. Rounds of moves. A move raises or lowers one symbol by one. The gradient chooses the moves that promise most.
   Decoding each of them gives its true change of pixels. Moves are collected greedily as if these changes added up
   exactly. Of the first 1, 2, 4, ... moves, the collection with the lowest true cost is kept. This is
   rate-distortion optimised quantisation (Ramchandran and Vetterli, IEEE TIP 1994), and pays most for coarse ones.

A bundle without the gradient has only rounds, which try all moves. That takes many times as long. For large
images, changes are compared at evenly spaced pixels only, so that those of all moves fit into memory.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.entropy.prior import MAX_SYMBOL, Integers, multiply
from fmae_edge.runtime.entropy.symbol_coder import clip_symbols

_IMAGES_AT_ONCE = 64
_NUMBERS_AT_ONCE = 1 << 21  # of decoded images, and of the changes of all moves: bounds memory
_BETAS = (0.9, 0.999)  # of Adam
_STEEPEST = 1e15  # the gradients of an untrusted bundle may be larger, and their squares are float32
_LAST_RATE = 0.3  # share of the learning rate that is left at the last step

Pixels = NDArray[np.float32]
Reals = NDArray[np.float32]


class Level(NamedTuple):
    """What an effort above 0 does: steps of Adam, then rounds, each of which tries so many moves."""

    steps: int
    rounds: int
    moves: int


# Measured by `python benchmarks/effort.py`
LEVELS = (
    Level(2, 2, 4),
    Level(3, 3, 6),
    Level(5, 4, 8),
    Level(8, 5, 8),
    Level(12, 6, 10),
    Level(18, 6, 12),
    Level(26, 7, 14),
    Level(38, 8, 18),
    Level(50, 10, 26),
)


class Problem(NamedTuple):
    """What the symbols of images at one quality decode to, and what they cost.

    The cost of an image is the squared error of its pixels, levels 0 to 255, and `bit_cost` per bit. `decode` maps
    symbols (N, latent_size) to pixels (N, pixels), `count_bits` to bits (N,). `bits_near` gives the bits
    (3, N, latent_size) of each symbol if it were one less, as it is, and one more, while all others stay.
    """

    bit_cost: float
    decode: Callable[[Integers], Pixels]
    count_bits: Callable[[Integers], NDArray[np.float64]]
    bits_near: Callable[[Integers], NDArray[np.float64]]


class Descent(NamedTuple):
    """`gradient` maps symbols and the rows of their images to (squared errors (N,), gradients by symbol).

    `rate` is the learning rate of Adam, in quantiser steps.
    """

    gradient: Callable[[Integers, NDArray[np.intp]], tuple[Reals, Reals]]
    rate: float


def search(latents: Reals, pixels: Pixels, effort: int, problem: Problem, descent: Descent | None) -> Integers:
    """Return symbols (N, latent_size) that cost no more than rounding `latents`, which are in quantiser steps.

    `pixels` (N, pixels) are the levels of the images. `effort` counts from 1.
    """
    level = LEVELS[effort - 1]
    if descent is None:
        level = Level(0, effort, 2 * latents.shape[1])
    best = clip_symbols(np.rint(latents))
    at_once = _NUMBERS_AT_ONCE // (level.moves * pixels.shape[1])
    for part in slices(len(best), max(1, min(_IMAGES_AT_ONCE, at_once))):
        searched = _Search(best[part], np.arange(len(best))[part], pixels[part], problem)
        if descent is not None:
            searched.descend(latents[part], level.steps, descent)
        searched.try_moves(level, descent)
        best[part] = searched.symbols
    return best


class _Search:
    """The cheapest symbols so far of a few images, whose numbers are `rows`."""

    def __init__(self, symbols: Integers, rows: NDArray[np.intp], pixels: Pixels, problem: Problem) -> None:
        self.symbols = symbols.copy()
        self._rows, self._pixels, self._problem = rows, pixels, problem
        self._parts = max(1, _NUMBERS_AT_ONCE // pixels.shape[1])  # images that are decoded at once
        self._costs = self._costs_of(symbols, np.arange(len(symbols)))

    def descend(self, latents: Reals, steps: int, descent: Descent) -> None:
        """Take steps of Adam from `latents`; keep the cheapest rounded latents of each image."""
        problem = self._problem
        mean, square = np.zeros_like(latents), np.zeros_like(latents)
        seen, lowest = self.symbols, np.full(len(latents), np.inf)
        for step in range(1, steps + 1):
            symbols = clip_symbols(np.rint(latents))
            errors, slopes = descent.gradient(symbols, self._rows)
            less, same, more = problem.bits_near(symbols)
            # The decoder of the gradient is not quantised, so these costs only choose among the steps
            costs = errors + problem.bit_cost * same.sum(axis=1)
            cheaper = costs < lowest
            seen = np.where(cheaper[:, None], symbols, seen)
            lowest = np.where(cheaper, costs, lowest)
            gradient = np.clip(slopes + problem.bit_cost / 2 * (more - less), -_STEEPEST, _STEEPEST)
            mean += (1 - _BETAS[0]) * (gradient - mean)
            square += (1 - _BETAS[1]) * (np.square(gradient) - square)
            scale = np.sqrt(square / (1 - _BETAS[1] ** step)) + 1e-9
            rate = descent.rate * (1 - (1 - _LAST_RATE) * (step - 1) / steps)
            latents = latents - np.float32(rate / (1 - _BETAS[0] ** step)) * mean / scale
        for symbols in (seen, clip_symbols(np.rint(latents))):
            self._keep_cheaper(symbols, np.arange(len(symbols)))

    def try_moves(self, level: Level, descent: Descent | None) -> None:
        """Make the rounds of a level; an image that a round does not improve has no more."""
        active = np.arange(len(self.symbols))
        for _ in range(level.rounds):
            before = self._costs[active]
            self._round(active, level.moves, descent)
            active = active[self._costs[active] < before]
            if not len(active):
                break

    def _round(self, active: NDArray[np.intp], count: int, descent: Descent | None) -> None:
        """Improve the images `active` by the best collection of at most `count` moves."""
        symbols = self.symbols[active]
        size = symbols.shape[1]
        problem = self._problem
        less, same, more = problem.bits_near(symbols)
        if descent is None:
            moves = np.broadcast_to(np.arange(2 * size), (len(active), 2 * size))
        else:
            _, slopes = descent.gradient(symbols, self._rows[active])
            # Both the curvature of the error, which is about the same for all latents, and what a symbol does to
            # the bits of later ones are left out
            promised = np.concatenate(
                [problem.bit_cost * (more - same) + slopes, problem.bit_cost * (less - same) - slopes], axis=1
            )
            count = min(count, 2 * size)
            moves = np.argpartition(promised, count - 1, axis=1)[:, :count]
        latent, signs = moves % size, np.where(moves < size, 1, -1)
        stride = _stride(moves.shape[1] * self._pixels.shape[1])
        decoded = self._decode(symbols)[:, ::stride]
        tried = np.repeat(symbols[:, None], moves.shape[1], axis=1)
        at = np.arange(len(active))[:, None], np.arange(moves.shape[1]), latent
        tried[at] = np.clip(tried[at] + signs, -MAX_SYMBOL, MAX_SYMBOL)
        tried = tried.reshape(-1, size)
        changes = self._decode(tried, stride).reshape(*moves.shape, -1) - decoded[:, None]
        bits = problem.count_bits(tried).reshape(moves.shape) - same.sum(axis=1)[:, None]
        toward = np.matmul(changes, (self._pixels[active, ::stride] - decoded)[:, :, None])[:, :, 0]
        products = np.stack([multiply(each, each.T) for each in changes])
        for chosen, collected in _collections(products, toward, problem.bit_cost / stride * bits, latent):
            together = symbols[chosen]
            np.add.at(together, (np.arange(len(chosen))[:, None], latent[chosen]), signs[chosen] * collected)
            self._keep_cheaper(np.clip(together, -MAX_SYMBOL, MAX_SYMBOL), active[chosen])

    def _keep_cheaper(self, symbols: Integers, images: NDArray[np.intp]) -> None:
        costs = self._costs_of(symbols, images)
        cheaper = costs < self._costs[images]
        self.symbols[images[cheaper]] = symbols[cheaper]
        self._costs[images[cheaper]] = costs[cheaper]

    def _costs_of(self, symbols: Integers, images: NDArray[np.intp]) -> NDArray[np.float64]:
        errors = [
            np.square(self._problem.decode(symbols[part]) - self._pixels[images[part]]).sum(axis=1)
            for part in slices(len(symbols), self._parts)
        ]
        costs: NDArray[np.float64] = np.concatenate(errors) + self._problem.bit_cost * self._problem.count_bits(
            symbols
        )
        return costs

    def _decode(self, symbols: Integers, stride: int = 1) -> Pixels:
        parts = slices(len(symbols), self._parts)
        return np.concatenate(
            [np.ascontiguousarray(self._problem.decode(symbols[part])[:, ::stride]) for part in parts]
        )


def _stride(numbers: int) -> int:
    """Return the distance of the pixels at which changes of so many `numbers` are compared.

    It is 1, or a number that is not a multiple of 2 or 3, so that all columns and all channels are seen.
    """
    stride = -(-numbers // _NUMBERS_AT_ONCE)
    while stride > 1 and (stride % 2 == 0 or stride % 3 == 0):
        stride += 1
    return stride


def _collections(
    products: NDArray[np.float32],
    toward: NDArray[np.float32],
    rates: NDArray[np.floating],
    latent: NDArray[np.intp],
) -> list[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Return which images (n,) have a first 1, 2, 4, ... moves, or all, that lower the cost, and which (n, moves).

    Each move lowers the cost after those before it, as if their changes of pixels added up. `products` (N, moves,
    moves) are those of the changes, `toward` (N, moves) those with the error that is left. Of two moves of
    the same `latent`, only one is taken.
    """
    rows = np.arange(len(toward))
    alone = np.diagonal(products, axis1=1, axis2=2) + rates
    taken = np.zeros(toward.shape, bool)
    free = np.ones(toward.shape, bool)
    kept = []
    open_rows = rows
    for number in range(1, toward.shape[1] + 1):
        costs = np.where(free, alone - 2 * toward, np.inf)
        move = costs.argmin(axis=1)
        useful = costs[rows, move] < 0
        ended = open_rows[~useful[open_rows]]
        if len(ended) and (number - 1) & (number - 2):  # their last moves are not among the first 1, 2, 4, ...
            kept.append((ended, taken[ended]))
        open_rows = open_rows[useful[open_rows]]
        if not len(open_rows):
            break
        chosen = move[open_rows]
        taken[open_rows, chosen] = True
        toward[open_rows] -= products[open_rows, chosen]
        free[open_rows] &= latent[open_rows] != latent[open_rows, chosen][:, None]
        free[~useful] = False
        if not number & (number - 1) or number == toward.shape[1]:
            kept.append((open_rows, taken[open_rows].copy()))
    return kept
