"""Compute the Bjontegaard delta rate: the difference in bytes between two codecs at equal PSNR.

G. Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001; computed by the
`bjontegaard` library with piecewise cubic (PCHIP) interpolation, as in the test conditions of the standards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import bjontegaard

Point = tuple[float, float]

FEWEST_POINTS = 4


@dataclass(frozen=True)
class RateDifference:
    """The mean rate difference in percent, negative for fewer bytes, over the PSNR from `low_db` to `high_db`."""

    percent: float
    low_db: float
    high_db: float


def rate_difference(anchor: Sequence[Point], test: Sequence[Point]) -> RateDifference:
    """Compare two curves of (bytes, PSNR in dB) points over the PSNR range that both reach.

    Only the Pareto front of each curve counts: settings that another setting beats in both bytes and PSNR are left
    out, so that the remaining points rise and can be interpolated. The logarithms of the rates are averaged.

    Raises ValueError if a front has fewer than four points or if the curves share no PSNR.
    """
    fronts = [pareto_front(curve) for curve in (anchor, test)]
    for name, curve, front in zip(("anchor", "test"), (anchor, test), fronts, strict=True):
        if len(front) < FEWEST_POINTS:
            raise ValueError(
                f"the {name} curve has {len(front)} of {len(curve)} points on its Pareto front; "
                f"a rate difference needs {FEWEST_POINTS}"
            )
    low = max(front[0][1] for front in fronts)
    high = min(front[-1][1] for front in fronts)
    if low >= high:
        ranges = " and ".join(f"{front[0][1]:.2f} to {front[-1][1]:.2f} dB" for front in fronts)
        raise ValueError(f"the curves share no PSNR: {ranges}")
    coordinates = [axis for front in fronts for axis in zip(*front, strict=True)]
    percent = bjontegaard.bd_rate(*coordinates, method="pchip", require_matching_points=False, min_overlap=0)
    return RateDifference(float(percent), low, high)


def pareto_front(curve: Sequence[Point]) -> list[Point]:
    """Return the (bytes, PSNR) points that no other point beats, in ascending order of bytes and PSNR."""
    front: list[Point] = []
    for size, psnr in sorted(curve, key=lambda point: (point[0], -point[1])):
        if not front or psnr > front[-1][1]:
            front.append((size, psnr))
    return front
