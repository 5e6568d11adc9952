"""Describe the int8 integers that a kind of CPU multiplies fast and without overflow."""

from dataclasses import dataclass
from typing import Literal, get_args

TargetName = Literal["avx2", "vnni", "arm"]
TARGETS: tuple[TargetName, ...] = get_args(TargetName)
DEFAULT_TARGET: TargetName = "avx2"
MAX_WEIGHT = 127


@dataclass(frozen=True)
class Int8Target:
    """The integer types of a graph.

    `signed_activations`: int8 (-128 ... 127) instead of uint8. `max_pair`: the largest magnitude of the sum of two
    neighbouring weights of the same sign, or None for no limit.
    """

    name: TargetName
    signed_activations: bool
    max_pair: int | None

    @property
    def levels(self) -> tuple[int, int]:
        """The smallest and the largest activation."""
        return (-128, 127) if self.signed_activations else (0, 255)


def int8_target(name: TargetName) -> Int8Target:
    """Return the target called `name`.

    - "avx2": x86 without VNNI adds two products of uint8 and int8 in 16 bits, saturating (vpmaddubsw).
      255 * 128 = 32,640 fits, so weights use all 8 bits and only the sum of a pair is bounded; the usual
      remedy, halving all weights, doubles the rounding error. Correct on every x86, so it is the default.
    - "vnni": x86 with VNNI or AMX adds in 32 bits, so weights have no limit.
    - "arm": its dot-product instructions multiply int8 by int8.
    """
    return {
        "avx2": Int8Target("avx2", signed_activations=False, max_pair=128),
        "vnni": Int8Target("vnni", signed_activations=False, max_pair=None),
        "arm": Int8Target("arm", signed_activations=True, max_pair=None),
    }[name]
