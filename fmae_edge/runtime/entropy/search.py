"""Search for symbols that cost less, in error and bits together, than those that rounding gives.

Only the encoder searches; the decoder does not change. Each round tries to raise and to lower every symbol of an
image by one. Decoding the result gives the true change in error and bits of each move, and its change of pixels.
Moves are collected greedily as if their changes of pixels added up exactly. Of the first 1, 2, 4, ... moves, the
collection with the lowest true cost is kept. For large images, the changes are compared at evenly spaced pixels
only, so that those of all moves fit into memory.

This is rate-distortion optimised quantisation: Ramchandran and Vetterli, IEEE TIP 1994. Campos et al., CVPR
Workshops 2019, describe the loss of encoding in one pass.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.entropy.prior import MAX_SYMBOL, Integers, multiply

_IMAGES_AT_ONCE = 4  # measured: more are not faster
_NUMBERS_AT_ONCE = 1 << 21  # of decoded images, and of the changes of all moves of an image: bounds memory

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
    at_once = max(1, min(_IMAGES_AT_ONCE, _NUMBERS_AT_ONCE // (2 * symbols.shape[1] * pixels.shape[1])))
    for at in range(0, len(best), at_once):
        active = np.arange(at, min(at + at_once, len(best)))  # images that the last round improved
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
    parts = max(1, _NUMBERS_AT_ONCE // pixels.shape[1])  # images that are decoded at once
    stride = _stride(2 * size * pixels.shape[1])
    moves = np.concatenate([np.eye(size, dtype=np.int64), -np.eye(size, dtype=np.int64)])
    tried = np.clip(symbols[:, None] + moves, -MAX_SYMBOL, MAX_SYMBOL)
    everything = np.concatenate([symbols, tried.reshape(-1, size)])
    decoded = np.concatenate(
        [np.ascontiguousarray(decode(everything[part])[:, ::stride]) for part in slices(len(everything), parts)]
    )
    bits = count_bits(everything)
    changes = decoded[count:].reshape(count, 2 * size, -1) - decoded[:count, None]
    rates = bit_cost / stride * (bits[count:].reshape(count, -1) - bits[:count, None])
    candidates = [symbols]
    errors = pixels[:, ::stride] - decoded[:count]
    orders = [_collect(changes[image], errors[image], rates[image]) for image in range(count)]
    longest = max(map(len, orders))
    lengths = [1 << power for power in range(longest.bit_length()) if 1 << power < longest] + [longest]
    for length in lengths if longest else []:
        candidates.append(symbols + np.stack([moves[order[:length]].sum(axis=0) for order in orders]))
    stacked = np.clip(np.concatenate(candidates), -MAX_SYMBOL, MAX_SYMBOL)
    rows = np.tile(np.arange(count), len(candidates))  # the image of each candidate
    lost = [
        np.square(decode(stacked[part]) - pixels[rows[part]]).sum(axis=1) for part in slices(len(stacked), parts)
    ]
    costs = np.concatenate(lost) + bit_cost * count_bits(stacked)
    best = costs.reshape(len(candidates), count).argmin(axis=0)
    cheapest: Integers = stacked.reshape(len(candidates), count, size)[best, np.arange(count)]
    return cheapest


def _stride(numbers: int) -> int:
    """Return the distance of the pixels at which changes of so many `numbers` are compared.

    It is 1, or a number that is not a multiple of 2 or 3, so that all columns and all channels are seen.
    """
    stride = -(-numbers // _NUMBERS_AT_ONCE)
    while stride > 1 and (stride % 2 == 0 or stride % 3 == 0):
        stride += 1
    return stride


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
