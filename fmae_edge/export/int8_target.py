"""What int8 numbers a kind of CPU multiplies well, and without overflow."""

from dataclasses import dataclass
from typing import Literal, get_args

TargetName = Literal["avx2", "vnni", "arm"]
TARGETS: tuple[TargetName, ...] = get_args(TargetName)
DEFAULT_TARGET: TargetName = "avx2"
MAX_WEIGHT = 127


@dataclass(frozen=True)
class Int8Target:
    """The integers that a graph is written in.

    `signed_activations`: int8 (-128 ... 127) in place of uint8. `max_pair`: what two neighbouring weights
    of one sign may add up to in magnitude, or None if anything may.
    """

    name: TargetName
    signed_activations: bool
    max_pair: int | None

    @property
    def levels(self) -> tuple[int, int]:
        """Smallest and largest activation."""
        return (-128, 127) if self.signed_activations else (0, 255)


def int8_target(name: TargetName) -> Int8Target:
    """Return the target called `name`.

    - "avx2": x86 without VNNI adds two products of uint8 and int8 in 16 bits, saturating (vpmaddubsw).
      255 * 128 = 32,640 fits, so weights have all 8 bits and only the sum of a pair is bounded; halving
      all weights, the usual cure, costs twice the rounding error. Right on every x86, hence the default.
    - "vnni": x86 with VNNI or AMX adds in 32 bits, so weights are free.
    - "arm": its dot-product instructions multiply int8 by int8.
    """
    return {
        "avx2": Int8Target("avx2", signed_activations=False, max_pair=128),
        "vnni": Int8Target("vnni", signed_activations=False, max_pair=None),
        "arm": Int8Target("arm", signed_activations=True, max_pair=None),
    }[name]
