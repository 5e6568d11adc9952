"""scripts/scale_latents.py makes latents smaller, and leaves the model the same function."""

import torch

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.config import ModelConfig
from scripts.scale_latents import scale_latents


def test_latents_are_divided_and_images_stay():
    torch.manual_seed(0)
    model = Autoencoder(ModelConfig(height=12, width=10, latent_size=6, widths=(4, 4, 4))).eval()
    pixels = torch.rand(3, 1, 12, 10)
    with torch.no_grad():
        latents, images = model.encoder(pixels), model(pixels)
        scale_latents(model, 1.5)
        torch.testing.assert_close(model.encoder(pixels), latents / 1.5)
        torch.testing.assert_close(model(pixels), images)
