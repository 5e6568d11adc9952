"""Split images into those to train on and those held out for measuring, without the same picture on both sides.

An image is held out if the hash of its pixels says so. So the choice stays the same when files are added, removed
or renamed. Exact duplicates are dropped. A training image that nearly equals a held-out one is dropped too: the
model would be measured on what it has memorised. Two images nearly equal each other if their mean squared
error is at most one per cent of the variance of the held-out one's pixels, or their PSNR is at least 40 dB.
Shifted, mirrored and recoloured copies are not found.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

NEAR_SHARE = 0.01  # of the variance
NEAR_ERROR = 255**2 / 10**4
_VALIDATION_SHARE, _MOST_VALIDATION = 20, 2000  # one in 20 of the training images, and at most so many
# Cells per side of the small images that are compared first, and pixels per side of a cell of a large image
_GRID, _FINEST_GRID, _CELL = 8, 32, 8
_IMAGES_AT_ONCE, _HELD_AT_ONCE, _NUMBERS_AT_ONCE = 2048, 512, 1 << 22
_ROUNDING = 1.0  # of a float32 product: as a squared error, far below any that matters


class Images(Protocol):
    """Images (N, height, width[, 3]) in an array or a file, of which some are read at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the stack."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Return the images at `rows`."""


@dataclass(frozen=True)
class Split:
    """Indices of the images to train on, to validate with and held out, each in the order of their hashes.

    `duplicates` and `near_duplicates` are the numbers of images that were dropped.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    held_out: NDArray[np.int64]
    duplicates: int
    near_duplicates: int


def split(
    images: Images,
    hashes: NDArray[np.uint64],
    readable: NDArray[np.int64],
    holdout: float | NDArray[np.bool_],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Split:
    """Split the `readable` ones of images (N, height, width[, 3]) by their `hashes` (N,), uniform in 64 bits.

    `holdout` is the share of the different images that are held out, or says for each of the N images whether it
    is. Of the other images, the first 5 % in the order of the hashes, at most 2,000, are for validation.
    """
    different, first = np.unique(hashes[readable], return_index=True)
    first = readable[first]
    if isinstance(holdout, float):
        is_held_out = different < np.uint64(min(holdout * 2.0**64, 2.0**64 - 2048))
    else:
        is_held_out = np.isin(different, hashes[readable[holdout[readable]]])
    held_out, others = first[is_held_out], first[~is_held_out]
    near = near_duplicates(images, others, held_out, on_progress)
    others = others[~near]
    count = min(_MOST_VALIDATION, max(1, len(others) // _VALIDATION_SHARE))
    return Split(others[count:], others[:count], held_out, len(readable) - len(first), int(near.sum()))


def near_duplicates(
    images: Images,
    train: NDArray[np.int64],
    held_out: NDArray[np.int64],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.bool_]:
    """Return for each of the images at `train` whether it nearly equals one of those at `held_out`.

    Means over small cells are compared first. Averaging never makes the squared error larger, so no pair is
    missed.
    """
    at_once = max(1, min(_IMAGES_AT_ONCE, _NUMBERS_AT_ONCE // math.prod(images.shape[1:])))
    cell_sums = _CellSums(images.shape[1:])
    limits = np.zeros(len(held_out))
    held = np.zeros((len(held_out), cell_sums.count + 2), np.float32)
    for at in range(0, len(held_out), at_once):
        pixels = images[held_out[at : at + at_once]]
        limits[at : at + at_once] = _limits(pixels)
        held[at : at + at_once] = _held_factors(cell_sums(pixels), limits[at : at + at_once])
    near = np.zeros(len(train), bool)
    for at in range(0, len(train), at_once):
        pixels = images[train[at : at + at_once]]
        factors = _train_factors(cell_sums(pixels))
        for start in range(0, len(held_out), _HELD_AT_ONCE):
            # The squared distance of the cells, minus the limit
            excess = factors @ held[start : start + _HELD_AT_ONCE].T
            pairs = np.flatnonzero(excess <= _ROUNDING)
            mine, theirs = pairs // excess.shape[1], pairs % excess.shape[1] + start
            mine, theirs = mine[~near[at + mine]], theirs[~near[at + mine]]
            while len(mine):
                this, other = mine[:at_once], theirs[:at_once]
                mine, theirs = mine[at_once:], theirs[at_once:]
                errors = _mean_squared_errors(pixels[this], images[held_out[other]])
                found = this[errors <= limits[other]]
                if len(found):
                    near[at + found] = True
                    left = ~near[at + mine]
                    mine, theirs = mine[left], theirs[left]
        on_progress(min(at + at_once, len(train)), len(train))
    return near


class _CellSums:
    """Average images over cells, scaled so that squared distances are lower bounds of mean squared errors."""

    def __init__(self, image_shape: tuple[int, ...]) -> None:
        height, width, channels = (*image_shape, 1)[:3]
        self._rows = _cell_weights(height)
        self._columns = np.repeat(_cell_weights(width), channels, axis=1) / np.float32(channels)
        self.count = len(self._rows) * len(self._columns)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, cells) for images (N, height, width[, 3])."""
        numbers = images.reshape(*images.shape[:2], -1).astype(np.float32)
        numbers -= 128  # smaller numbers have smaller rounding errors
        return (self._rows @ (numbers @ self._columns.T)).reshape(len(images), -1)


def _cell_weights(side: int) -> NDArray[np.float32]:
    """Return (cells, side) weights. Cells of noise would have nearly equal means if they were too large."""
    cells = min(side, max(_GRID, min(_FINEST_GRID, side // _CELL)))
    edges = np.linspace(0, side, cells + 1).astype(int)
    weights = np.zeros((cells, side), np.float32)
    for cell, (start, end) in enumerate(pairwise(edges.tolist())):
        weights[cell, start:end] = 1 / math.sqrt((end - start) * side)
    return weights


def _train_factors(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (a, |a|^2, 1), whose product with `_held_factors` is |a|^2 - 2ab + |b|^2 - limit."""
    return np.column_stack([cells, np.square(cells).sum(axis=1), np.ones(len(cells), np.float32)])


def _held_factors(cells: NDArray[np.float32], limits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (-2b, 1, |b|^2 - limit)."""
    last = np.square(cells).sum(axis=1) - limits
    return np.column_stack([-2 * cells, np.ones(len(cells), np.float32), last]).astype(np.float32)


def _limits(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the largest mean squared error of a near duplicate of each image. Sums of integers are exact."""
    numbers = images.reshape(len(images), -1).astype(np.float64)
    variances = np.square(numbers).mean(axis=1) - np.square(numbers.mean(axis=1))
    limits: NDArray[np.float64] = np.maximum(NEAR_SHARE * variances, NEAR_ERROR)
    return limits


def _mean_squared_errors(some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    differences = some.astype(np.float64) - others
    errors: NDArray[np.float64] = np.square(differences).reshape(len(some), -1).mean(axis=1)
    return errors
