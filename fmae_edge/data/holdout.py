"""Split images into those to train on and those held out for measuring, without the same picture on both sides.

An image is held out if the hash of its pixels says so. So the choice stays the same when files are added, removed
or renamed. Exact duplicates are dropped. A training image that nearly equals a held-out one is dropped too: the
model would be measured on what it has learned by heart. Two images nearly equal each other if their mean squared
error is at most one per cent of the variance of the held-out one's pixels, or their PSNR is at least 40 dB.
Shifted, mirrored and recoloured copies are not found.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

NEAR_SHARE = 0.01  # of the variance
NEAR_ERROR = 255**2 / 10**4
_VALIDATION_SHARE, _MOST_VALIDATION = 20, 2000  # one in 20 of the training images, and at most so many
_GRID, _FINEST_GRID, _CELL = (
    8,
    32,
    8,
)  # cells per side of the small images that are compared first, and their pixels
_IMAGES_AT_ONCE, _NUMBERS_AT_ONCE = 2048, 1 << 22
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
    parts = [held_out[at : at + at_once] for at in range(0, len(held_out), at_once)]
    held = [_cells_and_limits(images[part]) for part in parts]
    held_cells = np.concatenate([cells for cells, _ in held]) if held else np.zeros((0, 1), np.float32)
    limits = np.concatenate([limit for _, limit in held]) if held else np.zeros(0, np.float32)
    near = np.zeros(len(train), bool)
    for at in range(0, len(train), at_once):
        pixels = images[train[at : at + at_once]]
        cells, _ = _cells_and_limits(pixels)
        for start in range(0, len(held_out), _IMAGES_AT_ONCE):
            some = slice(start, start + _IMAGES_AT_ONCE)
            distances = _squared_distances(cells, held_cells[some])
            mine, theirs = np.nonzero(distances <= limits[some] + _ROUNDING)
            mine, theirs = mine[~near[at + mine]], theirs[~near[at + mine]] + start
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


def _cells_and_limits(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the cell means (N, cells) of images, and the largest error (N,) of a near duplicate of each.

    The means are scaled so that squared distances are lower bounds of mean squared errors.
    """
    height, width = images.shape[1:3]
    numbers = images.reshape(len(images), -1).astype(np.float32)
    limits = np.maximum(NEAR_SHARE * numbers.var(axis=1), NEAR_ERROR).astype(np.float32)
    gray = numbers.reshape(*images.shape[:3], -1).mean(axis=3) - 128
    rows, columns = (_edges(side) for side in (height, width))
    sums = np.add.reduceat(np.add.reduceat(gray, rows[:-1], axis=1), columns[:-1], axis=2)
    areas = np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    cells = (sums / np.sqrt(areas * height * width)).reshape(len(images), -1)
    return cells, limits


def _edges(side: int) -> NDArray[np.int64]:
    """Return the edges of the cells along a side. Cells of noise have nearly equal means if they are too large."""
    cells = min(side, max(_GRID, min(_FINEST_GRID, side // _CELL)))
    return np.linspace(0, side, cells + 1).astype(np.int64)


def _squared_distances(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    products = some @ others.T
    products *= -2
    products += np.square(some).sum(axis=1)[:, None]
    products += np.square(others).sum(axis=1)
    return products


def _mean_squared_errors(some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float32]:
    differences = some.astype(np.float32) - others
    errors: NDArray[np.float32] = np.square(differences).reshape(len(some), -1).mean(axis=1)
    return errors
