"""Compare the bytes of a bundle with those of the best other codec at each PSNR that the bundle reaches.

The best other codec may be another one at each PSNR. A codec that cannot go as low as a PSNR is charged its
smallest file at or above it, because that is the file that its user would get.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.evaluate.bjontegaard import pareto_front

Point = tuple[float, float]
Floats = NDArray[np.float64]

_STEP_DB = 0.01


@dataclass(frozen=True)
class Stretch:
    """A PSNR range in dB in which the bundle always needs fewer bytes than the best other codec, or never.

    `percent` is the mean difference in bytes, averaged over the logarithm, negative for fewer bytes;
    `least_percent` is the one nearest to 0, at `least_at_db`. `codecs` are the best other codecs, the most
    frequent first.
    """

    low_db: float
    high_db: float
    percent: float
    least_percent: float
    least_at_db: float
    codecs: tuple[str, ...]


@dataclass(frozen=True)
class Advantage:
    """The bytes of a bundle against the best other codec, from `low_db` to `high_db`, which the bundle reaches.

    `stretches` are all ranges in ascending order; `half` is the widest range with at most half the bytes.
    `charged` maps the codecs that are charged their smallest file to its bytes and its PSNR. The best other codec
    at `high_db` is `next_codec` with `next_bytes` per image, where the bundle has `own_bytes`; None if no codec
    goes so far. Without stretches, no other codec was measured at these levels.
    """

    low_db: float
    high_db: float
    stretches: tuple[Stretch, ...]
    half: tuple[float, float] | None
    charged: Mapping[str, Point]
    own_bytes: float
    next_codec: str | None
    next_bytes: float | None

    @property
    def is_below_others(self) -> bool:
        """Whether the best other codecs have no quality as low as the best one of the bundle."""
        codecs = {name for each in self.stretches for name in each.codecs}
        return all(name in self.charged and self.charged[name][1] > self.high_db for name in codecs)

    @property
    def smaller(self) -> Stretch | None:
        """The widest range in which the bundle needs fewer bytes."""
        return _widest([each for each in self.stretches if each.percent < 0])

    @property
    def larger(self) -> Stretch | None:
        """The widest range in which the best other codec needs at most the bytes of the bundle."""
        return _widest([each for each in self.stretches if each.percent >= 0])

    def to_record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        smaller, larger = ({**vars(each)} if each else None for each in (self.smaller, self.larger))
        return {
            "low_db": self.low_db,
            "high_db": self.high_db,
            "smaller": smaller,
            "larger": larger,
            "half": None if self.half is None else {"low_db": self.half[0], "high_db": self.half[1]},
            "stretches": [{**vars(each), "codecs": list(each.codecs)} for each in self.stretches],
            "charged": {name: {"bytes": size, "psnr": psnr} for name, (size, psnr) in self.charged.items()},
            "own_bytes": self.own_bytes,
            "next_codec": self.next_codec,
            "next_bytes": self.next_bytes,
        }


def find_advantage(ours: Sequence[Point], others: Mapping[str, Sequence[Point]]) -> Advantage | None:
    """Compare (bytes per image, PSNR in dB) points; the PSNR of a lossless codec is infinite.

    Returns None if the bundle has no lossy point.
    """
    front = pareto_front([point for point in ours if math.isfinite(point[1])])
    if not front:
        return None
    low, high = float(front[0][1]), float(front[-1][1])
    levels = np.linspace(low, high, max(math.ceil((high - low) / _STEP_DB), 0) + 1)
    own = bytes_at_levels(front, levels)
    names = list(others)
    costs = np.array([bytes_at_levels(others[name], levels) for name in names]).reshape(-1, len(levels))
    best = costs.min(axis=0, initial=np.inf)
    winner = costs.argmin(axis=0) if names else np.zeros(len(levels), int)
    difference = np.log(own) - np.log(best)  # minus infinity where no other codec goes so far
    smallest = {
        name: pareto_front([each for each in others[name] if math.isfinite(each[1])])[:1] for name in names
    }
    known = np.isfinite(best)
    stretches = []
    for run in _runs(np.where(known, np.where(difference < 0, 1, 2), 0)):
        if known[run[0]]:
            numbers, counts = np.unique(winner[run], return_counts=True)
            codecs = tuple(names[number] for number in numbers[np.argsort(-counts, kind="stable")])
            stretches.append(_stretch(levels[run], difference[run], codecs))
    at_most_half = known & (difference <= math.log(0.5))
    halves = [run for run in _runs(at_most_half) if at_most_half[run[0]]]
    widest = max(halves, key=len, default=None)
    charged = {}
    for number in dict.fromkeys(winner[known].tolist()):
        for size, psnr in smallest[names[number]]:
            if (levels[known & (winner == number)] < psnr).any():
                charged[names[number]] = (float(size), float(psnr))
    return Advantage(
        low_db=low,
        high_db=high,
        stretches=tuple(stretches),
        half=None if widest is None else (float(levels[widest[0]]), float(levels[widest[-1]])),
        charged=charged,
        own_bytes=float(own[-1]),
        next_codec=names[winner[-1]] if known[-1] else None,
        next_bytes=float(best[-1]) if known[-1] else None,
    )


def bytes_at_levels(points: Sequence[Point], levels: Floats) -> Floats:
    """Return the bytes of the smallest file of a codec with at least each PSNR, infinity above its highest one.

    Between points, the logarithm of the bytes is interpolated; a lossless point counts at every PSNR.
    """
    finite = pareto_front([point for point in points if math.isfinite(point[1])])
    lossless = min((size for size, psnr in points if math.isinf(psnr)), default=math.inf)
    if not finite:
        return np.full(len(levels), lossless)
    sizes, reached = (np.array(axis) for axis in zip(*finite, strict=True))
    between = np.exp(np.interp(levels, reached, np.log(sizes)))  # below the lowest PSNR: the smallest file
    return np.minimum(np.where(levels <= reached[-1], between, np.inf), lossless)


def _runs(kinds: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Return the indices of each longest run of equal values."""
    return np.split(np.arange(len(kinds)), np.flatnonzero(kinds[1:] != kinds[:-1]) + 1)


def _stretch(levels: Floats, difference: Floats, codecs: tuple[str, ...]) -> Stretch:
    percent = 100 * np.expm1(difference)
    nearest = int(np.abs(percent).argmin())
    return Stretch(
        low_db=float(levels[0]),
        high_db=float(levels[-1]),
        percent=float(100 * np.expm1(difference.mean())),
        least_percent=float(percent[nearest]),
        least_at_db=float(levels[nearest]),
        codecs=codecs,
    )


def _widest(stretches: Sequence[Stretch]) -> Stretch | None:
    return max(stretches, key=lambda each: each.high_db - each.low_db, default=None)
