"""Every identity holds within 1e-6 for several sizes, and its gradients agree too."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate

from fmae_edge.model.algebra import conv_of_transposed, dense_then_conv, merge_upsampling, upsample_then_conv
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.fast_pass import PackedDecoder, fast_autoencode, fast_decode, fast_encode
from tests.conftest import CHECKPOINT

CONFIGS = [
    ModelConfig(),
    ModelConfig(16, 16, 3, 10, (8, 12)),
    ModelConfig(32, 24, 1, 20, (8, 8, 16, 4)),
    ModelConfig(9, 10, 1, 4, (6,)),
]
SIZES = [(128, 64, 7, 7), (64, 32, 14, 14), (32, 1, 28, 28), (3, 5, 1, 1), (2, 2, 4, 9)]


def close(actual, expected):
    """Compare to the precision of the numbers: 1e-6 in float32, far less in float64."""
    atol = 1e-6 if actual.dtype == torch.float32 else 1e-12
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(("ins", "outs", "height", "width"), SIZES)
def test_transposed_convolution_is_convolution(ins, outs, height, width):
    x, weight = random(3, ins, height, width), random(ins, outs, 3, 3) / ins
    close(conv2d(x, conv_of_transposed(weight), padding=1), conv_transpose2d(x, weight, padding=1))


@pytest.mark.parametrize(("ins", "outs", "height", "width"), SIZES)
def test_upsampling_and_convolution_in_phases(ins, outs, height, width):
    x, kernel, bias = random(3, ins, height, width), random(outs, ins, 3, 3) / ins, random(outs)
    expected = conv2d(interpolate(x, scale_factor=2), kernel, bias, padding=1)
    close(upsample_then_conv(x, merge_upsampling(kernel), bias), expected)


def test_dense_and_convolution_fold():
    dense, conv = nn.Linear(10, 6 * 4 * 5).double(), nn.Conv2d(6, 7, 3, padding=1, bias=False).double()
    z = random(3, 10)
    rows = dense_then_conv(dense.weight, dense.bias, (6, 4, 5), conv.weight).flatten(1)
    close((z @ rows[:-1] + rows[-1]).view(3, 7, 4, 5), conv(dense(z).view(3, 6, 4, 5)))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_training_pass_is_the_model(config, memory_format):
    torch.manual_seed(0)
    model = Autoencoder(config).to(memory_format=memory_format)
    images = torch.rand(5, config.image_channels, config.height, config.width)
    latents = model.encoder(images)
    close(fast_encode(model.encoder, images), latents)
    close(fast_decode(model.decoder, latents), model.decoder(latents))
    gradients = []
    for function in (model, lambda x: fast_autoencode(model, x)):
        model.zero_grad()
        (function(images) - images).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for expected, actual in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("config", CONFIGS)
def test_a_packed_decoder_decodes_each_batch_exactly_as_one_that_is_merged_for_it(config):
    torch.manual_seed(0)
    decoder = Autoencoder(config).to(memory_format=torch.channels_last).decoder
    with torch.no_grad():
        packed = PackedDecoder.of(decoder)
    for count in (1, 7):
        gradients = []
        for decode in (packed.decode, lambda latents: fast_decode(decoder, latents)):
            latents = torch.linspace(-1, 1, count * config.latent_size).view(count, -1).requires_grad_()
            decoded = decode(latents)
            gradients.append((decoded.detach(), *torch.autograd.grad(decoded.square().sum(), latents)))
        assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_the_training_pass_is_the_trained_model(images):
    model = load_checkpoint(CHECKPOINT).model
    batch = torch.from_numpy(images.copy()).unsqueeze(1) / 255
    with torch.inference_mode():
        torch.testing.assert_close(fast_autoencode(model, batch), model(batch), rtol=0, atol=2e-6)
