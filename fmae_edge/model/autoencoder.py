"""The convolutional autoencoder: an encoder and a decoder, which are exported separately."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from fmae_edge.model.config import ModelConfig


class Encoder(nn.Module):
    """Map pixels (N, channels, size, size) in [0, 1] to latents (N, latent_size)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = (config.image_channels, *config.widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, padding="same") for before, after in pairwise(widths)
        )
        self.pool = nn.MaxPool2d(2)
        self.dense = nn.Linear(config.features, config.latent_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents of `images`."""
        x = images
        for conv in self.convs[:-1]:
            x = self.pool(torch.relu(conv(x)))
        x = torch.relu(self.convs[-1](x))
        return self.dense(x.flatten(1))


class Decoder(nn.Module):
    """Map latents (N, latent_size) to pixels (N, channels, size, size) in [0, 1]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = (*reversed(config.widths), config.image_channels)
        self.grid = (config.widths[-1], config.grid_size, config.grid_size)
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
        return torch.sigmoid(self.transposed[-1](x))


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
