"""Everything that decides the result of a training run, in addition to the architecture in `ModelConfig`.

It holds the options, the constants of the learning rate, the loss and the fit of the prior, and the identity of
the images; recipe.json records all of them. Runs of version 0.1.0 recorded only the options, so the defaults of
the other fields must not change. Constants of an algorithm are in its module, for example in `train/muon.py`.
"""

import hashlib
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import ArgumentError, shown

# Latents are counted in units: the fixed point of the exported prior. Quality q quantises in steps of
# QUALITY_STEPS[q - 1] units, each three quarters of the previous step, rounded to integers.
UNITS = 80
QUALITY_STEPS = (64, 48, 36, 27, 20, 15, 11, 8, 6)

Augment = Literal["none", "flip", "shift"]

# Most epochs, minutes, and images per step
_LARGEST = 10**6
_LEAST_MINUTES = 0.01


@dataclass(frozen=True)
class PriorFit:
    """Settings of the fit of the prior to the finished encoder. Raises ArgumentError for invalid values.

    `lr` is the peak of the learning rate, which rises for `warm_up` steps and falls as a half cosine.
    """

    steps: int = 8000
    batch_size: int = 512
    lr: float = 0.003
    warm_up: int = 200

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "warm_up"):
            _require_integer(f"prior_fit.{name}", getattr(self, name), 1, 10**9)
        _require_share("prior_fit.lr", self.lr)


@dataclass(frozen=True)
class ImageSet:
    """The identity of N images: the shape (N, height, width[, 3]) of the stack and the SHA-256 of its pixels.

    Raises ArgumentError for values that no stack of images has.
    """

    shape: tuple[int, ...]
    sha256: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))  # a list in JSON
        if not self.shape or any(type(side) is not int for side in self.shape):
            raise ArgumentError("shape", f"is {shown(self.shape)}; it must be integers")
        _require_sha256("sha256", self.sha256)

    def __str__(self) -> str:
        count, *sides = self.shape
        return f"{count} images of {'x'.join(map(str, sides))} pixels with SHA-256 {self.sha256[:16]}..."

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> "ImageSet":
        """Return the identity of `images`, uint8 (N, height, width[, 3])."""
        return cls(images.shape, hashlib.sha256(np.ascontiguousarray(images).data).hexdigest())


@dataclass(frozen=True)
class Recipe:
    """Options and constants of a training run. Raises ArgumentError for invalid values.

    `lr` is the peak of a one-cycle schedule (Smith and Topin, "Super-convergence", 2018). `rate_distortion` is
    the lambda of loss = bits per pixel + lambda x 255^2 x MSE at the middle quality; without it, the loss is MSE.

    A run ends after `epochs`, or after `minutes` of training; the other one is None.

    `data` is the JSON record of where the images come from, without paths: `data.image_data` writes and reads it.
    It and the identities of the images are None if the run did not record them. Validation images choose the epoch
    whose weights are kept; a run without them keeps the last. Test images are held out: they only decide metrics.
    `units` and `quality_steps` have one valid value.
    """

    epochs: int | None = 10
    batch_size: int = 256
    lr: float = 0.004
    seed: int = 0
    rate_distortion: float | None = None

    # Share of the steps in which the learning rate rises from `initial_lr` (a share of `lr`) to `lr`; it then
    # falls as a half cosine.
    warm_up: float = 0.3
    initial_lr: float = 0.04
    # Share of the steps in which the autoencoder learns without a rate: from random weights, the noise of a coarse
    # quantiser hides the little information in the latents.
    rate_start: float = 0.1
    # Share of the steps, at the end, in which the decoder and the prior also learn from latents that a search has
    # improved, as `--effort` does. The final fit of the prior then uses such latents too.
    refine: float = 0.0
    # SHA-256 of the model.safetensors with whose weights the run started; None for random ones
    start: str | None = None
    units: int = UNITS
    quality_steps: tuple[int, ...] = QUALITY_STEPS
    prior_fit: PriorFit = field(default_factory=PriorFit)
    train_images: ImageSet | None = None
    test_images: ImageSet | None = None
    validation_images: ImageSet | None = None
    data: dict[str, Any] | None = None
    minutes: float | None = None
    augment: Augment = "none"
    # The run stops when this share of it has passed without a better epoch, if validation got clearly worse
    patience: float = 0.25

    def __post_init__(self) -> None:
        # JSON has lists and dicts
        object.__setattr__(self, "quality_steps", tuple(self.quality_steps))
        object.__setattr__(self, "prior_fit", _from_json("prior_fit", self.prior_fit, PriorFit))
        for name in ("train_images", "test_images", "validation_images"):
            if (images := getattr(self, name)) is not None:
                object.__setattr__(self, name, _from_json(name, images, ImageSet))
        if self.minutes is None:
            _require_integer("epochs", self.epochs, 1, _LARGEST)
        elif self.epochs is not None:
            raise ArgumentError("minutes", f"is given with {self.epochs} epochs; a run has only one of the two")
        elif not _LEAST_MINUTES <= self.minutes <= _LARGEST:
            limits = f"{_LEAST_MINUTES} and {_LARGEST}"
            raise ArgumentError("minutes", f"is {self.minutes}; it must lie between {limits}")
        if self.augment not in get_args(Augment):
            choices = ", ".join(get_args(Augment))
            raise ArgumentError("augment", f"is {shown(self.augment)}; it must be one of {choices}")
        if not isinstance(self.data, dict | None):
            raise ArgumentError("data", f"is {shown(self.data)}; it must be an object in recipe.json")
        if not 0 <= self.rate_start < 1:
            raise ArgumentError("rate_start", f"is {self.rate_start}; it must be at least 0 and below 1")
        if not 0 <= self.refine <= 1:
            raise ArgumentError("refine", f"is {self.refine}; it must be from 0 to 1")
        if self.refine and self.rate_distortion is None:
            raise ArgumentError(
                "refine", f"is {self.refine}, but needs a loss with a rate: give --rate-distortion"
            )
        if self.start is not None:
            _require_sha256("start", self.start)
        _require_integer("batch_size", self.batch_size, 1, _LARGEST)
        _require_integer("seed", self.seed, 0, 2**63 - 1)
        for name in ("lr", "warm_up", "initial_lr", "patience"):
            _require_share(name, getattr(self, name))
        if self.rate_distortion is not None and not (1e-6 <= self.rate_distortion <= 1):
            raise ArgumentError("rate_distortion", f"is {self.rate_distortion}; it must lie between 1e-6 and 1")
        for name, only in (("units", UNITS), ("quality_steps", QUALITY_STEPS)):
            if getattr(self, name) != only:
                raise ArgumentError(name, f"is {shown(getattr(self, name))}; this version supports only {only}")

    def learning_rate(self, progress: float) -> float:
        """Return the learning rate after `progress` (0 to 1) of all steps."""
        if progress < self.warm_up:
            rise = 0.5 - 0.5 * math.cos(math.pi * progress / self.warm_up)
            return self.lr * (self.initial_lr + (1 - self.initial_lr) * rise)
        return self.lr * (0.5 + 0.5 * math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up)))


_Part = TypeVar("_Part", PriorFit, ImageSet)


def _from_json(name: str, value: object, kind: type[_Part]) -> _Part:
    if isinstance(value, dict):
        return kind(**value)
    if not isinstance(value, kind):
        raise ArgumentError(name, f"is {shown(value)}; it must be an object in recipe.json")
    return value


def _require_integer(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int:
        raise ArgumentError(name, f"is {shown(value)}; it must be an integer")
    if not least <= value <= most:
        raise ArgumentError(name, f"is {value}; it must lie between {least} and {most}")


def _require_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ArgumentError(name, f"is {value}; it must lie between 0 and 1")


def _require_sha256(name: str, value: object) -> None:
    if type(value) is not str or not re.fullmatch("[0-9a-f]{64}", value):
        raise ArgumentError(name, f"is {shown(value)}; it must be 64 hexadecimal digits")
