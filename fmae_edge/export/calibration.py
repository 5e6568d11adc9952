"""Find the int8 range of an activation from its values over calibration images."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

CalibrationMethod = Literal["min-max", "percentile", "entropy"]
CALIBRATION_METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)
DEFAULT_METHOD: CalibrationMethod = "min-max"

_PERCENTILE = 99.99
_BINS = 4096
_LEVELS = 255  # steps between the smallest and the largest of 256 levels
_SMALLEST = 1e-6  # a channel that is always 0 still needs a range


def upper_bound(values: NDArray[np.float32], method: CalibrationMethod) -> float:
    """Return the value of the largest of 256 levels; the smallest is 0.

    `values` are activations after a ReLU. "min-max": their maximum. "percentile": 99.99 % of them are
    below. "entropy": the bound whose 256 levels lose the least information, the Kullback-Leibler
    divergence between the values' histogram and its quantised form (Migacz, "8-bit inference with
    TensorRT", GTC 2017).
    """
    largest = float(values.max(initial=0))
    if method == "percentile":
        largest = float(np.percentile(values, _PERCENTILE))
    elif method == "entropy" and largest > 0:
        largest = _entropy_bound(values[values > 0], largest)  # 0 is exact for every bound
    return max(largest, _SMALLEST)


def _entropy_bound(values: NDArray[np.float32], largest: float) -> float:
    counts, edges = np.histogram(values, bins=_BINS, range=(0, largest))
    candidates = range(2 * _LEVELS, _BINS + 1, 32)
    return float(edges[min(candidates, key=lambda bins: _divergence(counts, bins))])


def _divergence(counts: NDArray[np.int64], bins: int) -> float:
    """Return the KL divergence between `counts`, clipped to the first `bins`, and the same in 256 levels."""
    inside = counts[:bins].astype(np.float64)
    clipped = inside.copy()
    clipped[-1] += counts[bins:].sum()
    level = np.arange(bins) * _LEVELS // bins
    occupied = inside > 0
    total = np.bincount(level, weights=inside, minlength=_LEVELS)
    shared = np.bincount(level, weights=occupied, minlength=_LEVELS)
    spread = np.where(occupied, total[level] / np.maximum(shared[level], 1), 0)
    p, q = clipped / clipped.sum(), spread / spread.sum()
    both = (p > 0) & (q > 0)
    missing = p[(p > 0) & (q == 0)].sum()  # a level without values
    return float((p[both] * np.log(p[both] / q[both])).sum() + missing * np.log(1 / np.finfo(np.float64).eps))
