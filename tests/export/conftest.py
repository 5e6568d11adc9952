"""Models of several geometries; each export of one must compute the same function."""

from functools import cache

import pytest
import torch

from fmae_edge.export.plain_graph import plain_decoder_graph, plain_encoder_graph
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint
from fmae_edge.model.config import ModelConfig
from tests.conftest import CHECKPOINT

CONFIGS = {
    "seed sizes": ModelConfig(),
    "three channels": ModelConfig(16, 16, 3, 10, (8, 12)),
    "four levels": ModelConfig(32, 24, 1, 20, (8, 8, 16, 4)),
    "one level": ModelConfig(9, 10, 1, 4, (6,)),
    "odd width": ModelConfig(18, 26, 1, 5, (6, 5)),
    "padded": ModelConfig(13, 10, 3, 7, (6, 5, 4)),
    "trained": None,
}


def make_model(name):
    """Return a model with random or trained weights, in float64 so that only a wrong identity differs."""
    config = CONFIGS[name]
    if config is None:
        return load_checkpoint(CHECKPOINT).model.double().requires_grad_(False)
    torch.manual_seed(0)
    return Autoencoder(config).double().eval().requires_grad_(False)


@cache
def plain_graphs(name):
    """Return the encoder and the decoder of a model as PyTorch exports them, which takes seconds."""
    model = make_model(name).float()
    return plain_encoder_graph(model), plain_decoder_graph(model)


@pytest.fixture(scope="module", params=CONFIGS)
def model(request):
    return make_model(request.param)


@pytest.fixture(scope="module")
def random_images(model):
    config = model.config
    generator = torch.Generator().manual_seed(1)
    shape = (5, config.image_channels, config.height, config.width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def random_latents(model, random_images):
    """Latents of the model, and the same number of random latents."""
    latents = model.encoder(random_images.double() / 255)
    generator = torch.Generator().manual_seed(2)
    return torch.cat([latents, torch.randn(latents.shape, generator=generator, dtype=latents.dtype)])
