"""The seed architecture, written out as the numbers that the code derives."""

import pytest
import torch
from torch import nn

from fmae_edge.model.autoencoder import Autoencoder, to_images, to_pixels
from fmae_edge.model.config import ModelConfig, default_config

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
    [
        ModelConfig(16, 16, 3, 10, (8, 12)),
        ModelConfig(32, 24, 1, 20, (8, 8, 16, 4)),
        ModelConfig(9, 10, 1, 4, (6,)),
        ModelConfig(9, 30, 3, 5, (4, 6, 8)),
    ],
)
def test_other_sizes_follow_the_config(config):
    model = Autoencoder(config)
    images = torch.rand(2, config.image_channels, config.height, config.width)
    assert model.encoder(images).shape == (2, config.latent_size)
    assert model(images).shape == images.shape


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 7},
        {"width": 257},
        {"latent_size": 0},
        {"widths": ()},
        {"widths": (32, 0)},
        {"image_channels": 1.5},
        {"image_channels": 2},
        {"widths": (1,) * 6},
    ],
)
def test_an_impossible_config_is_refused(wrong):
    with pytest.raises(ValueError, match="size|height|width|image_channels"):
        ModelConfig(**wrong)


def test_the_default_sizes_of_28x28_gray_are_the_seed():
    assert default_config(28, 28) == ModelConfig() == ModelConfig(28, 28, 1, 64, (32, 64, 128))


@pytest.mark.parametrize(
    ("size", "latents", "levels"),
    [
        ((8, 8, 1), 16, 1),
        ((9, 8, 1), 16, 2),
        ((32, 32, 1), 64, 3),
        ((32, 32, 3), 128, 3),
        ((64, 48, 3), 256, 4),
        ((8, 256, 1), 128, 6),
        ((256, 256, 3), 256, 6),
    ],
)
def test_default_sizes_follow_the_image(size, latents, levels):
    config = default_config(*size)
    assert (config.latent_size, len(config.widths)) == (latents, levels)
    assert max(config.grid) <= 8
    assert config.widths[:3] == (32, 64, 128)[:levels]
    assert set(config.widths[3:]) <= {128}


@pytest.mark.parametrize("size", [(7, 28), (28, 257), (28, 28, 2), (0, 9)])
def test_default_sizes_of_impossible_images_are_refused(size):
    with pytest.raises(ValueError, match="must be"):
        default_config(*size)


def test_padding_copies_the_edges_and_is_removed_again():
    """The pixels of a padded image are those of the same image with its last row and column repeated."""
    model = Autoencoder(ModelConfig(9, 10, 1, 6, (4, 5, 6)))
    assert model.config.grid == (3, 3)
    large = Autoencoder(ModelConfig(12, 12, 1, 6, (4, 5, 6)))
    large.load_state_dict(model.state_dict())
    images = torch.rand(3, 1, 9, 10)
    repeated = images[:, :, [*range(9), 8, 8, 8]][..., [*range(10), 9, 9]]
    torch.testing.assert_close(model(images), large(repeated)[:, :, :9, :10])


def test_images_and_pixels_have_their_channels_in_the_order_of_each_side():
    images = torch.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3).to(torch.uint8)
    pixels = to_pixels(images)
    assert pixels.shape == (2, 3, 4, 5)
    assert pixels[1, 2, 3, 0] == images[1, 3, 0, 2] / 255
    torch.testing.assert_close(to_images(pixels), images / 255)
    torch.testing.assert_close(to_images(to_pixels(images[..., 0])), images[..., 0] / 255)
