"""Sizes of the architecture, and the default sizes for images of a kind."""

import math
from dataclasses import dataclass
from typing import Literal

from fmae_edge.runtime.bundle.manifest import MAX_CODED_LATENT
from fmae_edge.runtime.errors import shown

MIN_SIDE, MAX_SIDE = 8, 256
_CHANNELS = (1, 3)
_LARGEST = 65535

# The rule of `default_config`
_LARGEST_GRID = 8
_FIRST_WIDTH, _LAST_WIDTH = 32, 128
_SEED_VALUES, _SEED_LATENTS = 28 * 28, 64
_LEAST_LATENTS, _MOST_LATENTS = 16, 256


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the autoencoder; the defaults are the seed architecture. Raises ValueError for invalid sizes.

    Images are `height` x `width` pixels of `image_channels` numbers: 1 for gray images, 3 for RGB. The encoder has
    one 3x3 convolution per entry of `widths`. After each but the last, a 2x2 max-pool halves both sides. The
    decoder mirrors it. Sides that cannot be halved so often are padded inside the model.
    """

    height: int = 28
    width: int = 28
    image_channels: int = 1
    latent_size: int = 64
    widths: tuple[int, ...] = (32, 64, 128)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # a list in JSON
        numbers = (self.height, self.width, self.image_channels, self.latent_size, *self.widths)
        wrong = [number for number in numbers if type(number) is not int or not 1 <= number <= _LARGEST]
        if wrong or not self.widths:
            got = shown(wrong[0] if wrong else self.widths)
            raise ValueError(f"every size must be an integer from 1 to {_LARGEST}; got {got}")
        for name, side in (("height", self.height), ("width", self.width)):
            if not MIN_SIDE <= side <= MAX_SIDE:
                raise ValueError(
                    f"the image {name} is {side}; it must be from {MIN_SIDE} to {MAX_SIDE} pixels, "
                    "so resize or cut the images"
                )
        if self.image_channels not in _CHANNELS:
            raise ValueError(f"image_channels is {self.image_channels}; it must be 1 for gray images or 3 for RGB")
        if self.latent_size > MAX_CODED_LATENT:
            raise ValueError(
                f"latent_size is {self.latent_size}; it must be at most {MAX_CODED_LATENT}, because the payload "
                "of a .fmae file cannot hold more latents"
            )
        if self.downsampling > max(self.height, self.width):
            raise ValueError(
                f"{len(self.widths)} widths halve an image of {self.height}x{self.width} pixels "
                f"{len(self.widths) - 1} times, which leaves less than a pixel: give fewer widths"
            )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image array: (height, width), or (height, width, 3) for RGB."""
        plane = (self.height, self.width)
        return plane if self.image_channels == 1 else (*plane, self.image_channels)

    @property
    def downsampling(self) -> int:
        """Ratio of the sides of the padded image to those of the last feature maps."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the feature maps before the latent."""
        return -(-self.height // self.downsampling), -(-self.width // self.downsampling)

    @property
    def padding(self) -> tuple[int, int]:
        """Rows below the image and columns to its right that the encoder adds and the decoder removes."""
        rows, columns = (side * self.downsampling for side in self.grid)
        return rows - self.height, columns - self.width

    @property
    def features(self) -> int:
        """Number of inputs of the dense layer that computes the latent."""
        return self.widths[-1] * math.prod(self.grid)


def default_config(height: int, width: int, image_channels: Literal[1, 3] = 1) -> ModelConfig:
    """Return the sizes for images of `height` x `width` pixels; 28x28 gray gives the seed architecture.

    Both sides are halved until the longer one is at most 8. Widths are 32, 64, 128, and 128 from there on. The
    number of latents grows with the square root of the numbers in an image, to the nearest power of two: 64 for
    28x28 gray, 128 for 32x32 RGB, at least 16, at most 256.

    Raises ValueError for sides below 8 or above 256, and for other numbers of channels than 1 and 3.
    """
    halvings = max(0, math.ceil(math.log2(max(height, width, 1) / _LARGEST_GRID)))
    widths = tuple(min(_FIRST_WIDTH << level, _LAST_WIDTH) for level in range(halvings + 1))
    latents = _SEED_LATENTS * math.sqrt(max(height * width * image_channels, 1) / _SEED_VALUES)
    latent_size = min(max(2 ** round(math.log2(latents)), _LEAST_LATENTS), _MOST_LATENTS)
    return ModelConfig(height, width, image_channels, latent_size, widths)
