"""Describe the 8-bit integers that each kind of CPU multiplies fast and without overflow."""

from dataclasses import dataclass
from typing import Literal, get_args

TargetName = Literal["avx2", "vnni", "arm"]
TARGETS: tuple[TargetName, ...] = get_args(TargetName)
DEFAULT_TARGET: TargetName = "avx2"
MAX_WEIGHT = 127


@dataclass(frozen=True)
class Int8Target:
    """The integer types of a graph.

    With `signed_activations`, activations are int8 (-128 ... 127), else uint8. `max_pair` is the largest magnitude
    of the sum of two neighbouring weights of the same sign, or None for no limit.
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

    - "avx2": x86 without VNNI adds two products of uint8 and int8 in 16 bits and saturates (vpmaddubsw).
      255 * 128 = 32,640 fits, so weights use all 8 bits and only the sum of each pair is bounded. The usual
      remedy, halving all weights, doubles the rounding error. The result is correct on every x86 CPU, so this is
      the default.
    - "vnni": x86 with VNNI or AMX adds in 32 bits, so weights have no limit.
    - "arm": the dot-product instructions of ARM multiply int8 by int8.
    """
    return {
        "avx2": Int8Target("avx2", signed_activations=False, max_pair=128),
        "vnni": Int8Target("vnni", signed_activations=False, max_pair=None),
        "arm": Int8Target("arm", signed_activations=True, max_pair=None),
    }[name]
