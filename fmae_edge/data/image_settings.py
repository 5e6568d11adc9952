"""The settings that images are read with, and the format in which a training run stores them."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from fmae_edge.data.image_conversion import Channels, Fit
from fmae_edge.runtime.arguments import require_choice
from fmae_edge.runtime.errors import ArgumentError, shown

SMALLEST_SIDE, LARGEST_SIDE = 8, 256  # pixels
SizeFit = Literal["exact", "resize", "crop", "pad"]


@dataclass(frozen=True)
class ImageSettings:
    """The size, the colours and the held-out share of images. Raises ArgumentError for invalid values.

    `size` is (height, width), None for the commonest size found. `channels` is 1 for gray, 3 for RGB, None for RGB
    if any image has colours. `fit` leaves out images of other sizes ("exact"), stretches them ("resize"), scales
    them to cover the size and cuts out the centre ("crop"), or scales them to fit inside and adds black ("pad");
    with None, images of several sizes are an error. `holdout` is the share of the images to hold out, None if they
    come from paths of their own.
    """

    size: tuple[int, int] | None = None
    channels: Channels | None = None
    fit: SizeFit | None = None
    holdout: float | None = 0.1

    def __post_init__(self) -> None:
        if self.size is not None and not is_supported_size(self.size):
            raise ArgumentError(
                "size",
                f"is {shown('x'.join(map(str, self.size)))}; height and width must be {SMALLEST_SIDE} to "
                f"{LARGEST_SIDE} pixels",
            )
        if self.channels not in (None, 1, 3):
            raise ArgumentError("channels", f"is {shown(self.channels)}; expected 1 for gray or 3 for RGB")
        if self.fit is not None:
            require_choice("fit", self.fit, get_args(SizeFit))
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise ArgumentError("holdout", f"is {self.holdout}; expected a share between 0 and 1, such as 0.1")


def is_supported_size(size: Any) -> bool:
    """Return whether `size` is a (height, width) that a model can have."""
    return len(size) == 2 and all(type(side) is int and SMALLEST_SIDE <= side <= LARGEST_SIDE for side in size)


@dataclass(frozen=True)
class ImageFormat:
    """The `size` (height, width) and the channels of images to store, and what happens to those of other sizes.

    If `gray_is_assumed`, images with colours are not stored but counted.
    """

    size: tuple[int, int]
    channels: Channels
    fit: Fit | None = None
    gray_is_assumed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image: (height, width) or (height, width, 3)."""
        return self.size if self.channels == 1 else (*self.size, self.channels)
