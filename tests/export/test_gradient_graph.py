"""The graph of the gradient computes what automatic differentiation in PyTorch does, for every geometry."""

import numpy as np
import onnx
import pytest
import torch

from fmae_edge.export.float_graph import float_graph
from fmae_edge.export.gradient_graph import gradient_graph
from fmae_edge.export.gradient_parity import error_gradients, measure_gradient
from fmae_edge.export.network import network_of
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.config import ModelConfig
from fmae_edge.runtime.bundle.gradient_check import check_gradient, with_weights
from fmae_edge.runtime.bundle.graph_check import most_needs
from fmae_edge.runtime.engine.sessions import open_session
from tests.export.conftest import make_model
from tests.random_bundle import smooth_images

CONFIGS = [
    ModelConfig(8, 8, 1, 3, (5,)),  # no ReLU
    ModelConfig(9, 10, 3, 4, (6, 5)),
    ModelConfig(12, 16, 3, 7, (6, 5, 4)),
    ModelConfig(13, 10, 3, 7, (6, 5, 4)),
    ModelConfig(13, 29, 1, 9, (3, 8, 16, 4)),
    ModelConfig(40, 33, 1, 9, (3, 4, 5, 16, 4)),
]


@pytest.fixture(scope="module", params=[*CONFIGS, "trained"], ids=str)
def made(request):
    """A model, and its serialised float decoder and gradient."""
    if request.param == "trained":
        model = make_model("trained").float()
    else:
        torch.manual_seed(0)
        model = Autoencoder(request.param).eval().requires_grad_(False)
        model.decoder.transposed[-1].weight *= 5  # contrast, so that pixels differ in their slopes
    config, network = model.config, network_of(model)
    latent = ("latent", np.float32, (config.latent_size,))
    image = ("image", np.float32, (config.image_channels, config.height, config.width))
    decoder = float_graph(rewrite_decoder(network.decoder), latent, image)
    gradient = gradient_graph(decoder).SerializeToString()
    return model, decoder.SerializeToString(), gradient


def test_gradients_are_those_of_pytorch(made):
    model, decoder, gradient = made
    images = torch.from_numpy(
        smooth_images(6, model.config.height, model.config.width, model.config.image_channels)
    )
    latents = np.random.default_rng(0).normal(0, 2, (6, model.config.latent_size)).astype(np.float32)
    expected = error_gradients(model, latents, images)
    levels = (
        images.reshape(6, model.config.height, model.config.width, -1).permute(0, 3, 1, 2).contiguous().numpy()
    )
    session = open_session(with_weights(gradient, decoder, "gradient"), "gradient", threads=1)
    pixels, found = session.run(None, {"latent": latents, "image": levels})
    norms = np.linalg.norm(expected, axis=1)
    assert norms.min() > 1e-3
    assert (np.linalg.norm(found - expected, axis=1) / norms).max() < 1e-4
    (decoded,) = open_session(decoder, "decoder", threads=1).run(None, {"latent": latents})
    np.testing.assert_allclose(pixels, decoded, rtol=0, atol=1e-6)
    assert measure_gradient(model, with_weights(gradient, decoder, "gradient"), images).failures() == []


def test_it_is_a_valid_graph_that_the_runtime_accepts_and_it_has_no_weights(made):
    model, decoder, gradient = made
    config = model.config
    onnx.checker.check_model(onnx.load_from_string(gradient), full_check=True)
    assert len(gradient) < 10_000
    image = (config.image_channels, config.height, config.width)
    most = most_needs(config.image_channels * config.height * config.width, config.latent_size)
    check_gradient(with_weights(gradient, decoder, "gradient"), "gradient", (config.latent_size,), image, most)
