"""Rewritten layers compute the same function, for random and trained weights and several geometries."""

from itertools import pairwise

import pytest
import torch
from torch.nn.functional import conv2d, interpolate, max_pool2d

from fmae_edge.export.layers import (
    Conv,
    Crop,
    Dense,
    DepthToSpace,
    MaxPool,
    Unflatten,
    Upsample,
    apply,
    matrix,
    multiply_adds,
    patches,
    run,
    shapes,
)
from fmae_edge.export.network import network_of
from fmae_edge.export.rewrite import (
    equalise,
    fold_dense,
    rewrite_decoder,
    scale_dense_inputs,
    upsample_once,
    upsample_twice,
)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def random_conv(ins, outs, relu=False):
    return Conv("conv", random(outs, 3, 3, ins) / ins, random(outs), 1, relu)


def nhwc(images):
    return images.permute(0, 2, 3, 1)


def nchw(images):
    return images.permute(0, 3, 1, 2)


@pytest.mark.parametrize("form", ["as trained", "rewritten", "rewritten and equalised"])
def test_both_halves_are_the_model(model, random_images, random_latents, form):
    network = network_of(model)
    images = nhwc(random_images.double() / 255)
    encoder, decoder = network.encoder, network.decoder
    if "rewritten" in form:
        decoder = rewrite_decoder(decoder)
    if "equalised" in form:
        encoder, decoder = equalise(encoder, images), equalise(decoder, random_latents)
    close(run(encoder, images), model.encoder(nchw(images)))
    close(nchw(run(decoder, random_latents)), model.decoder(random_latents))


def test_the_seed_decoder_has_no_pixel_moved_before_the_end():
    """The dense layer and both upsamplings are merged with convolutions, which leaves a third of the products."""
    torch.manual_seed(0)
    from fmae_edge.model.autoencoder import Autoencoder
    from fmae_edge.model.config import ModelConfig

    network = network_of(Autoencoder(ModelConfig()).requires_grad_(False))
    rewritten = rewrite_decoder(network.decoder)
    kinds = [type(layer).__name__ for layer in rewritten]
    assert kinds == ["Dense", "Unflatten", "Conv", "Mask", "Conv", "DepthToSpace", "Sigmoid"]
    before, after = (sum(multiply_adds(layers, (64,)).values()) for layers in (network.decoder, rewritten))
    assert before == 64 * 6272 + 49 * 9 * 128 * 64 + 196 * 9 * 64 * 32 + 784 * 9 * 32
    assert after == 64 * 3136 + 64 * 4 * 64 * 128 + 49 * 4 * 128 * 16


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("ins", "outs", "height", "width"), [(64, 32, 7, 7), (3, 5, 1, 1), (2, 2, 4, 9)])
def test_upsampling_once(ins, outs, height, width, relu):
    conv, x = random_conv(ins, outs, relu), random(3, height, width, ins)
    expected = conv2d(interpolate(nchw(x), scale_factor=2), conv.kernel.permute(0, 3, 1, 2), conv.bias, padding=1)
    close(run(upsample_once(conv), x), nhwc(expected.relu() if relu else expected))


@pytest.mark.parametrize(("sizes", "height", "width"), [((64, 32, 1), 7, 7), ((3, 4, 5), 1, 1), ((2, 3, 2), 4, 9)])
def test_upsampling_twice(sizes, height, width):
    """Biases make the cells outside the image differ from 0, so a mask that keeps too many is detected."""
    inner, outer = (random_conv(ins, outs, relu=True) for ins, outs in pairwise(sizes))
    x = random(3, height, width, sizes[0])
    expected = run([Upsample(), inner, Upsample(), outer], x)
    close(run(upsample_twice(inner, outer, (height, width)), x), expected)


def test_dense_and_convolution_fold():
    dense, conv = Dense("dense", random(10, 4 * 5 * 6), random(4 * 5 * 6)), random_conv(6, 7, relu=True)
    z = random(3, 10)
    plain = [dense, Unflatten((4, 5, 6)), conv]
    folded = fold_dense(dense, Unflatten((4, 5, 6)), conv)
    assert len(folded) == 2
    close(run(folded, z), run(plain, z))


def test_layers_that_the_identities_do_not_cover_are_refused():
    relu = Dense("dense", random(4, 9), random(9), relu=True)
    with pytest.raises(ValueError, match="ReLU"):
        fold_dense(relu, Unflatten((3, 3, 1)), random_conv(1, 1))
    narrow = Conv("narrow", random(2, 2, 2, 3), random(2), 1)
    for rewrite in (upsample_once, lambda conv: upsample_twice(random_conv(3, 3), conv, (2, 2))):
        with pytest.raises(ValueError, match="narrow cannot be rewritten; expected a 3x3 convolution"):
            rewrite(narrow)


def test_layers_compute_what_the_operators_of_pytorch_compute():
    """Every other test compares with lists of layers, so the layers are compared with PyTorch."""
    x = random(2, 6, 8, 12)
    close(apply(MaxPool(), x), nhwc(max_pool2d(nchw(x), 2)))
    close(apply(Upsample(), x), nhwc(interpolate(nchw(x), scale_factor=2)))
    close(apply(Crop(1), x), x[:, 1:5, 1:7])
    shuffled = apply(DepthToSpace(2), x)
    assert shuffled.shape == (2, 12, 16, 3)
    assert shuffled[1, 2 * 4 + 1, 2 * 5, 2] == x[1, 4, 5, (1 * 2 + 0) * 3 + 2]


def test_patches_times_matrix_is_the_layer(model, random_images):
    network = network_of(model)
    x = nhwc(random_images.double() / 255)
    for layer in network.encoder:
        y = apply(layer, x)
        if isinstance(layer, Dense | Conv):
            product = patches(layer, x) @ matrix(layer) + layer.bias
            close((product.relu() if layer.relu else product).view(y.shape), y)
        x = y


def test_shapes_are_those_of_the_results(model, random_latents):
    layers = rewrite_decoder(network_of(model).decoder)
    x = random_latents
    for layer, shape in zip(layers, shapes(layers, tuple(x.shape[1:])), strict=True):
        x = apply(layer, x)
        assert tuple(x.shape[1:]) == shape


def test_equalisation_makes_the_ranges_of_channels_more_equal():
    first = Dense("first", random(6, 8).abs() * torch.logspace(-1, 1, 8).double(), random(8).abs(), relu=True)
    layers, x = [first, Dense("second", random(8, 3), random(3))], random(50, 6).abs()
    equal = equalise(layers, x)
    close(run(equal, x), run(layers, x))

    def spread(layer):
        largest = apply(layer, x).amax(dim=0)
        return float(largest.max() / largest.min())

    assert spread(equal[0]) == pytest.approx(spread(first) ** 0.5)


def test_a_dense_layer_takes_divided_inputs():
    dense, factors, x = Dense("dense", random(5, 3), random(3)), random(5).abs() + 0.1, random(4, 5)
    close(apply(scale_dense_inputs(dense, factors), x / factors), apply(dense, x))
