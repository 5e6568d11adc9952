"""The options of a training run: everything that decides the result besides the images and the config."""

import math
from dataclasses import dataclass

from fmae_edge.runtime.errors import ArgumentError, shown

# Share of the steps in which the learning rate rises; it falls as a half cosine in the rest.
_WARM_UP = 0.3
# Learning rate at the start, as a share of the peak.
_START = 0.04
# Most epochs, and most images per step
_LARGEST = 10**6


@dataclass(frozen=True)
class Recipe:
    """Options of a training run; the defaults made the default bundle. Raises ArgumentError for bad values.

    `lr` is the peak of a one-cycle schedule (Smith and Topin, "Super-convergence", 2018). `rate_distortion` is
    the lambda of loss = bits per pixel + lambda x 255^2 x MSE at the middle quality; without it, the loss is MSE.
    """

    epochs: int = 10
    batch_size: int = 256
    lr: float = 0.004
    seed: int = 0
    rate_distortion: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "seed"):
            if type(getattr(self, name)) is not int:
                raise ArgumentError(name, f"is {shown(getattr(self, name))}; it must be an integer")
        for name in ("epochs", "batch_size"):
            if not 1 <= getattr(self, name) <= _LARGEST:
                raise ArgumentError(name, f"is {getattr(self, name)}; it must lie between 1 and {_LARGEST}")
        if not (0 < self.lr < 1):
            raise ArgumentError("lr", f"is {self.lr}; it must lie between 0 and 1")
        if self.rate_distortion is not None and not (1e-6 <= self.rate_distortion <= 1):
            raise ArgumentError("rate_distortion", f"is {self.rate_distortion}; it must lie between 1e-6 and 1")
        if not (0 <= self.seed < 2**63):
            raise ArgumentError("seed", f"is {self.seed}; it must be at least 0 and under 2^63")

    def learning_rate(self, progress: float) -> float:
        """Return the learning rate after `progress` (0 to 1) of all steps."""
        if progress < _WARM_UP:
            share = _START + (1 - _START) * (0.5 - 0.5 * math.cos(math.pi * progress / _WARM_UP))
        else:
            share = 0.5 + 0.5 * math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))
        return self.lr * share
