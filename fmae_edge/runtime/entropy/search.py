"""Search for symbols that cost less, in error and bits together, than those that rounding gives.

Only the encoder searches; the decoder does not change. Each round tries to raise and to lower every symbol of an
image by one. Decoding the result gives the true change in error and bits of each move, and its change of pixels.
Moves are collected greedily as if their changes of pixels added up exactly. Of the first 1, 2, 4, ... moves, the
collection with the lowest true cost is kept.

This is rate-distortion optimised quantisation: Ramchandran and Vetterli, IEEE TIP 1994. Campos et al., CVPR
Workshops 2019, describe the loss of encoding in one pass.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.entropy.prior import MAX_SYMBOL, Integers, multiply

_IMAGES_AT_ONCE = 4  # bounds memory, because each has two candidates per symbol; measured: more are not faster

Pixels = NDArray[np.float32]
# (N, latent_size) symbols -> (N, pixels) decoded levels 0 to 255, and (N,) bits
Decode = Callable[[Integers], Pixels]
CountBits = Callable[[Integers], NDArray[np.float64]]


def search(
    symbols: Integers, pixels: Pixels, bit_cost: float, rounds: int, decode: Decode, count_bits: CountBits
) -> Integers:
    """Return symbols (N, latent_size) that cost no more than `symbols`, after at most `rounds` rounds of search.

    The cost of an image is the squared error of its `pixels` (N, pixels), levels 0 to 255, and `bit_cost` per bit.
    """
    best = symbols.copy()
    for at in range(0, len(best), _IMAGES_AT_ONCE):
        active = np.arange(at, min(at + _IMAGES_AT_ONCE, len(best)))  # images that the last round improved
        for _ in range(rounds):
            better = _round(best[active], pixels[active], bit_cost, decode, count_bits)
            changed = (better != best[active]).any(axis=1)
            best[active] = better
            active = active[changed]
            if not len(active):
                break
    return best


def _round(symbols: Integers, pixels: Pixels, bit_cost: float, decode: Decode, count_bits: CountBits) -> Integers:
    """Return `symbols` after the best collection of moves by one."""
    count, size = symbols.shape
    moves = np.concatenate([np.eye(size, dtype=np.int64), -np.eye(size, dtype=np.int64)])
    tried = np.clip(symbols[:, None] + moves, -MAX_SYMBOL, MAX_SYMBOL)
    everything = np.concatenate([symbols, tried.reshape(-1, size)])
    decoded, bits = decode(everything), count_bits(everything)
    changes = decoded[count:].reshape(count, 2 * size, -1) - decoded[:count, None]
    rates = bit_cost * (bits[count:].reshape(count, -1) - bits[:count, None])
    candidates = [symbols]
    orders = [_collect(changes[image], pixels[image] - decoded[image], rates[image]) for image in range(count)]
    longest = max(map(len, orders))
    lengths = [1 << power for power in range(longest.bit_length()) if 1 << power < longest] + [longest]
    for length in lengths if longest else []:
        candidates.append(symbols + np.stack([moves[order[:length]].sum(axis=0) for order in orders]))
    stacked = np.clip(np.concatenate(candidates), -MAX_SYMBOL, MAX_SYMBOL)
    errors = np.square(decode(stacked).reshape(len(candidates), count, -1) - pixels).sum(axis=2)
    costs = errors + bit_cost * count_bits(stacked).reshape(len(candidates), count)
    best = costs.argmin(axis=0)
    cheapest: Integers = stacked.reshape(len(candidates), count, size)[best, np.arange(count)]
    return cheapest


def _collect(changes: Pixels, error: Pixels, rates: NDArray[np.float64]) -> list[int]:
    """Return the moves that lower the cost, each after those before it, as if their changes of pixels added up."""
    size = len(changes) // 2
    products = multiply(changes, changes.T)
    toward = multiply(changes, error)
    alone = np.diagonal(products) + rates
    order: list[int] = []
    free = np.ones(2 * size, bool)
    while True:
        costs = np.where(free, alone - 2 * toward, np.inf)
        move = int(costs.argmin())
        if costs[move] >= 0:
            return order
        order.append(move)
        free[[move % size, move % size + size]] = False
        toward -= products[move]
