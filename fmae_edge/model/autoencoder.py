"""The convolutional autoencoder: an encoder and a decoder, which are exported separately.

Arrays of images are (N, height, width), or (N, height, width, 3) for RGB. The model takes and returns pixels
(N, channels, height, width) in [0, 1]; `to_pixels` and `to_images` convert.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from fmae_edge.model.config import ModelConfig


def channels_first(images: Tensor) -> Tensor:
    """Return images (N, height, width) or (N, height, width, 3) as (N, channels, height, width)."""
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)


def to_pixels(images: Tensor) -> Tensor:
    """Return uint8 images as pixels."""
    return channels_first(images).float() / 255


def to_images(pixels: Tensor) -> Tensor:
    """Return pixels of one channel as (N, height, width), and of several as (N, height, width, channels)."""
    return pixels.squeeze(1) if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)


class Encoder(nn.Module):
    """Map pixels (N, channels, height, width) in [0, 1] to latents (N, latent_size).

    Images whose sides cannot be halved often enough are padded with copies of their last row and column.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.grid = (config.widths[-1], *config.grid)
        self.padding = config.padding
        widths = (config.image_channels, *config.widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, padding="same") for before, after in pairwise(widths)
        )
        self.pool = nn.MaxPool2d(2)
        self.dense = nn.Linear(config.features, config.latent_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents of `images`."""
        x = self.padded(images)
        for conv in self.convs[:-1]:
            x = self.pool(torch.relu(conv(x)))
        x = torch.relu(self.convs[-1](x))
        return self.dense(x.flatten(1))

    def padded(self, images: Tensor) -> Tensor:
        """Return `images` with sides that can be halved."""
        rows, columns = self.padding
        return pad(images, (0, columns, 0, rows), mode="replicate") if rows or columns else images


class Decoder(nn.Module):
    """Map latents (N, latent_size) to pixels (N, channels, height, width) in [0, 1]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = (*reversed(config.widths), config.image_channels)
        self.grid = (config.widths[-1], *config.grid)
        self.padding = config.padding
        self.size = (config.height, config.width)
        # A projection, so no activation follows it
        self.dense = nn.Linear(config.latent_size, config.features)
        self.transposed = nn.ModuleList(
            nn.ConvTranspose2d(before, after, kernel_size=3, stride=1, padding=1)
            for before, after in pairwise(widths)
        )
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, latents: Tensor) -> Tensor:
        """Return the images of `latents`."""
        x = self.dense(latents).unflatten(1, self.grid)
        for transposed in self.transposed[:-1]:
            x = self.upsample(torch.relu(transposed(x)))
        return torch.sigmoid(self.cropped(self.transposed[-1](x)))

    def cropped(self, x: Tensor) -> Tensor:
        """Return feature maps without what the encoder padded."""
        height, width = self.size
        return x[:, :, :height, :width] if any(self.padding) else x


class Autoencoder(nn.Module):
    """The encoder and the decoder of one config."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstruction of `images`, same shape, in [0, 1]."""
        return self.decoder(self.encoder(images))
