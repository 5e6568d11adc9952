"""Sizes of the architecture."""

from dataclasses import dataclass

from fmae_edge.runtime.bundle.manifest import MAX_CODED_LATENT

_LARGEST = 65535


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the autoencoder; the defaults are the seed architecture. Raises ValueError for invalid sizes.

    Images are `image_channels` x `image_size` x `image_size`. The encoder has one 3x3 convolution per entry of
    `widths`. After each but the last, a 2x2 max-pool halves the sides. The decoder mirrors it.
    """

    image_size: int = 28
    image_channels: int = 1
    latent_size: int = 64
    widths: tuple[int, ...] = (32, 64, 128)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # a list in JSON
        numbers = (self.image_size, self.image_channels, self.latent_size, *self.widths)
        if not self.widths or any(type(number) is not int or not 1 <= number <= _LARGEST for number in numbers):
            raise ValueError(f"every size must be an integer from 1 to {_LARGEST}; got {self}")
        if self.latent_size > MAX_CODED_LATENT:
            raise ValueError(
                f"latent_size is {self.latent_size}; it must be at most {MAX_CODED_LATENT}, because the payload "
                "of a .fmae file cannot hold more latents"
            )
        if self.image_size % self.downsampling:
            raise ValueError(
                f"image_size {self.image_size} cannot be halved {len(self.widths) - 1} times: "
                f"it must be a multiple of {self.downsampling}"
            )

    @property
    def downsampling(self) -> int:
        """Ratio of the image side to the side of the last feature maps."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def grid_size(self) -> int:
        """Side of the feature maps before the latent."""
        return self.image_size // self.downsampling

    @property
    def features(self) -> int:
        """Number of inputs of the dense layer that computes the latent."""
        return self.widths[-1] * self.grid_size**2
