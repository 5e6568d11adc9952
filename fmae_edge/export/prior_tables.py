"""Make the tables of the prior: integer distributions, counted on training images and smoothed by a formula."""

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.entropy.prior import ESCAPE, FRACTIONS, RADIUS, Integers
from fmae_edge.runtime.entropy.range_coder import TOTAL
from fmae_edge.runtime.entropy.symbol_coder import columns_of

COLUMNS = ESCAPE + 1
# Widths of the logistic distributions: from 1/16 of a symbol, in steps of a quarter of an octave.
_NARROWEST_LOG2 = -4
WIDTHS_PER_OCTAVE = 4
_WIDTHS = 32
# The weight of the formula, in counts.
_FORMULA_COUNTS = 500

Masses = NDArray[np.float64]


def logistic_masses() -> Masses:
    """Return logistic distributions, (widths x fractions, columns): one row for each that a prior can choose."""
    log2_widths = _NARROWEST_LOG2 + np.arange(_WIDTHS) / WIDTHS_PER_OCTAVE
    means = (np.arange(FRACTIONS) + 0.5) / FRACTIONS - 0.5
    edges = np.arange(-RADIUS, RADIUS + 2) - 0.5
    z = (edges - means[:, None]) / np.exp2(log2_widths)[:, None, None]
    below = 0.5 + 0.5 * np.tanh(z / 2)
    inside = np.diff(below, axis=-1)
    outside = 1 - below[..., -1:] + below[..., :1]
    masses = np.concatenate([inside, outside], axis=-1)
    return masses.reshape(-1, COLUMNS)


def widths_below(step: int) -> int:
    """Return by how many widths a distribution in units gets narrower in steps of `step` units."""
    return round(WIDTHS_PER_OCTAVE * (float(np.log2(step)) + _NARROWEST_LOG2))


def count_columns(symbols: Integers, centres: Integers, rows: Integers, table_rows: int) -> Integers:
    """Return how often each column of each row was seen, (table_rows, columns); all arguments have one shape."""
    counts = np.bincount((rows * COLUMNS + columns_of(symbols, centres)).ravel(), minlength=table_rows * COLUMNS)
    return counts.reshape(table_rows, COLUMNS)


def to_starts(counts: Integers, formula: Masses) -> NDArray[np.uint16]:
    """Return the starts of the columns' intervals of [0, 65536), (rows, columns): no interval is empty.

    Rows seen often follow their `counts`, others the masses of the `formula`.
    """
    masses = counts + _FORMULA_COUNTS * formula
    masses /= masses.sum(axis=1, keepdims=True)
    sizes = 1 + np.floor(masses * (TOTAL - COLUMNS)).astype(np.int64)
    sizes[np.arange(len(sizes)), sizes.argmax(axis=1)] += TOTAL - sizes.sum(axis=1)
    return (np.cumsum(sizes, axis=1) - sizes).astype(np.uint16)
