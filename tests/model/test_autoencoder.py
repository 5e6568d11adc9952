"""The seed architecture, written out as the numbers that the code derives."""

import pytest
import torch
from torch import nn

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.config import ModelConfig

ENCODER = [
    ("Conv2d", (3, 3), 1, 32, "same", (32, 28, 28)),
    ("MaxPool2d", 2, None, None, 0, (32, 14, 14)),
    ("Conv2d", (3, 3), 32, 64, "same", (64, 14, 14)),
    ("MaxPool2d", 2, None, None, 0, (64, 7, 7)),
    ("Conv2d", (3, 3), 64, 128, "same", (128, 7, 7)),
    ("Linear", None, 6272, 64, None, (64,)),
]
DECODER = [
    ("Linear", None, 64, 6272, None, (6272,)),
    ("ConvTranspose2d", (3, 3), 128, 64, (1, 1), (64, 7, 7)),
    ("Upsample", 2.0, None, None, None, (64, 14, 14)),
    ("ConvTranspose2d", (3, 3), 64, 32, (1, 1), (32, 14, 14)),
    ("Upsample", 2.0, None, None, None, (32, 28, 28)),
    ("ConvTranspose2d", (3, 3), 32, 1, (1, 1), (1, 28, 28)),
]
PARAMETERS = (
    (1 * 9 + 1) * 32
    + (32 * 9 + 1) * 64
    + (64 * 9 + 1) * 128
    + (6272 + 1) * 64
    + (64 + 1) * 6272
    + 128 * 9 * 64 + 64
    + 64 * 9 * 32 + 32
    + 32 * 9 + 1
)  # fmt: skip


def trace(module, value):
    """Run `module` and list its layers in the order of use."""
    calls = []

    def note(layer, _, output):
        kernel = getattr(layer, "kernel_size", getattr(layer, "scale_factor", None))
        ins = getattr(layer, "in_channels", getattr(layer, "in_features", None))
        outs = getattr(layer, "out_channels", getattr(layer, "out_features", None))
        shape = tuple(output.shape[1:])
        calls.append((type(layer).__name__, kernel, ins, outs, getattr(layer, "padding", None), shape))

    leaves = [
        layer for layer in module.modules() if not list(layer.children()) and not isinstance(layer, nn.ModuleList)
    ]
    hooks = [layer.register_forward_hook(note) for layer in leaves]
    output = module(value)
    for hook in hooks:
        hook.remove()
    return calls, output


def test_encoder_layers():
    calls, latents = trace(Autoencoder(ModelConfig()).encoder, torch.rand(2, 1, 28, 28))
    assert calls == ENCODER
    assert latents.shape == (2, 64)
    assert (latents < 0).any()  # no activation after the dense layer


def test_decoder_layers():
    decoder = Autoencoder(ModelConfig()).decoder
    calls, images = trace(decoder, torch.randn(2, 64))
    assert calls == DECODER
    assert images.shape == (2, 1, 28, 28)
    assert decoder.upsample.mode == "nearest"
    for layer in decoder.transposed:
        assert (layer.stride, layer.output_padding, layer.dilation, layer.groups) == (
            (1, 1),
            (0, 0),
            (1, 1),
            1,
        )


def test_activations():
    """A ReLU follows every convolution but the last one of the decoder, which a sigmoid follows."""
    model = Autoencoder(ModelConfig())
    layers = {"encoder": [*model.encoder.convs], "decoder": [*model.decoder.transposed[:-1]]}
    for name, convs in layers.items():
        for conv in convs:
            nn.init.zeros_(conv.weight)
            nn.init.constant_(conv.bias, -1.0)
        half = getattr(model, name)
        value = torch.rand(2, 1, 28, 28) if name == "encoder" else torch.randn(2, 64)
        last = half.dense.bias if name == "encoder" else torch.sigmoid(half.transposed[-1].bias)
        torch.testing.assert_close(half(value), last.expand_as(half(value).flatten(1)).view_as(half(value)))


def test_the_projection_is_linear():
    decoder = Autoencoder(ModelConfig()).decoder
    grids = []
    decoder.transposed[0].register_forward_pre_hook(lambda _, inputs: grids.append(inputs[0]))
    latents = -torch.ones(1, 64)
    decoder(latents)
    assert (grids[0] < 0).any()
    torch.testing.assert_close(grids[0].flatten(1), decoder.dense(latents))


def test_parameter_count():
    assert PARAMETERS == 994_369
    assert sum(parameter.numel() for parameter in Autoencoder(ModelConfig()).parameters()) == PARAMETERS


@pytest.mark.parametrize(
    "config",
    [ModelConfig(16, 3, 10, (8, 12)), ModelConfig(32, 2, 20, (8, 8, 16, 4)), ModelConfig(9, 1, 4, (6,))],
)
def test_other_sizes_follow_the_config(config):
    model = Autoencoder(config)
    images = torch.rand(2, config.image_channels, config.image_size, config.image_size)
    assert model.encoder(images).shape == (2, config.latent_size)
    assert model(images).shape == images.shape


@pytest.mark.parametrize(
    "wrong",
    [{"image_size": 30}, {"latent_size": 0}, {"widths": ()}, {"widths": (32, 0)}, {"image_channels": 1.5}],
)
def test_an_impossible_config_is_refused(wrong):
    with pytest.raises(ValueError, match="image_size|size"):
        ModelConfig(**wrong)
