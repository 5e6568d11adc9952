"""int8 graphs compute the results of integer arithmetic, run in int8, and cannot saturate."""

from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from fmae_edge.export.bundle_graphs import optimised_graph, require_int8
from fmae_edge.export.errors import ExportError
from fmae_edge.export.int8_graph import PIXELS
from fmae_edge.export.int8_layers import FloatLayer, Int8Layer
from fmae_edge.export.int8_target import TARGETS
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.graph_check import check_graph, most_needs
from tests.export.conftest import CONFIGS, make_model
from tests.export.int8_halves import Int8Halves


@pytest.fixture(scope="module", params=[name for name in CONFIGS if name != "seed sizes"])
def model(request):
    """Leave out random weights in the sizes of the seed: they are slow and show no more than the trained ones."""
    return make_model(request.param)


@pytest.fixture(scope="module")
def halves_for(model, random_images):
    """Make the model in int8 for a target, which takes a second."""
    return cache(lambda target: Int8Halves(model, random_images, target))


@pytest.fixture(scope="module", params=["avx2", "arm"])
def halves(halves_for, request):
    return halves_for(request.param)


@pytest.mark.parametrize("optimise", [False, True])
def test_the_graphs_compute_the_results_of_integer_arithmetic(halves, optimise):
    """Black, white and noise drive every product to its extremes, where 16 bits would saturate."""
    noise = torch.randint(0, 2, halves.images.shape, dtype=torch.uint8) * 255
    extremes = torch.stack([torch.zeros_like(noise[0]), torch.full_like(noise[0], 255)])
    for images in (halves.images, extremes, noise):
        found, expected = halves.encode(images, optimise=optimise), halves.encode_exactly(images)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))
    for latents in (halves.latents, 10 * halves.latents, -halves.latents):
        difference = halves.decode(latents, optimise=optimise) - halves.decode_exactly(latents)
        assert np.abs(difference).max() <= 1  # the sigmoid of onnxruntime is an approximation


def test_int8_results_are_close_to_the_float_model(halves, model):
    latents = model.encoder(halves.images.permute(0, 3, 1, 2).double() / 255)
    spread = float(latents.max() - latents.min())
    assert np.abs(halves.encode(halves.images) - latents.numpy()).max() < 0.06 * spread
    pixels = model.decoder(halves.latents.double()).permute(0, 2, 3, 1).numpy()
    assert np.abs(halves.decode(halves.latents) / 255 - pixels).max() < 0.06


def test_int8_graphs_without_rewriting(model, random_images):
    halves = Int8Halves(model, random_images, "avx2", rewrite=False)
    np.testing.assert_allclose(
        halves.encode(halves.images), halves.encode_exactly(halves.images), rtol=0, atol=1e-4
    )
    assert np.abs(halves.decode(halves.latents) - halves.decode_exactly(halves.latents)).max() <= 1


def weighted(steps):
    return [step.layer.name for step in steps if isinstance(step, Int8Layer | FloatLayer)]


def test_every_layer_runs_in_int8(halves):
    for graph, steps in ((halves.encoder_graph, halves.encoder), (halves.decoder_graph, halves.decoder)):
        require_int8(graph.SerializeToString(), weighted(steps))


@pytest.mark.parametrize("target", ["avx2", "arm"])
@pytest.mark.parametrize("name", ["conv1", "conv2", "dense"])
def test_a_float_layer_stays_float_and_require_int8_detects_it(model, random_images, name, target):
    """onnxruntime would turn a float convolution between DequantizeLinear and QuantizeLinear into int8."""
    halves = Int8Halves(model, random_images, target, stay_float=(name,))
    for graph, steps in ((halves.encoder_graph, halves.encoder), (halves.decoder_graph, halves.decoder)):
        if name in weighted(steps):
            with pytest.raises(ExportError, match=f"should run in int8 but do not: {name}$"):
                require_int8(graph.SerializeToString(), weighted(steps))
    found, expected = halves.encode(halves.images), halves.encode_exactly(halves.images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-2 * np.abs(expected).max())
    difference = halves.decode(halves.latents) - halves.decode_exactly(halves.latents)
    assert np.abs(difference).max() <= 4  # a logit that rounds the other way moves a pixel by up to three levels


FLOAT_LAYERS = {
    "two in a row": ("conv1", "conv2"),
    "the last two of each half": ("conv2", "conv3", "dense"),
    "all": ("conv1", "conv2", "conv3", "conv4", "dense"),
}


@pytest.mark.parametrize("rewrite", [True, False])
@pytest.mark.parametrize("names", FLOAT_LAYERS.values(), ids=FLOAT_LAYERS)
def test_float_layers_in_a_row_pass_real_numbers_on(model, random_images, names, rewrite):
    halves = Int8Halves(model, random_images, "avx2", stay_float=names, rewrite=rewrite)
    for optimise in (False, True):
        found, expected = halves.encode(halves.images, optimise=optimise), halves.encode_exactly(halves.images)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-2 * np.abs(expected).max())
        decoded = halves.decode(halves.latents, optimise=optimise)
        assert np.abs(decoded - halves.decode_exactly(halves.latents)).max() <= 4
    if names == FLOAT_LAYERS["all"]:  # then only the result is rounded
        pixels = halves.images.permute(0, 3, 1, 2).double() / 255
        np.testing.assert_allclose(found, model.encoder(pixels), rtol=0, atol=1e-5)
        levels = 255 * model.decoder(halves.latents.double()).permute(0, 2, 3, 1).numpy()
        assert np.abs(decoded - levels).max() <= 0.5 + 1e-2
        for graph, half in ((halves.encoder_graph, "encoder"), (halves.decoder_graph, "decoder")):
            config = model.config
            image = ("image", (config.image_channels, config.height, config.width))
            latent = ("latent", (config.latent_size,))
            takes, gives = (image, latent) if half == "encoder" else (latent, image)
            most = most_needs(config.image_channels * config.height * config.width, config.latent_size)
            check_graph(graph.SerializeToString(), half, takes, gives, most)  # the runtime accepts it


def test_a_missing_layer_is_reported():
    graph = read_bundle(DEFAULT_BUNDLE).files["encoder.onnx"]
    with pytest.raises(ExportError, match="conv9"):
        require_int8(graph, ["conv1", "conv9"])


@pytest.mark.parametrize("target", TARGETS)
def test_the_sums_of_the_default_target_fit_16_bits(halves_for, target):
    """With weights for VNNI, the simulation does saturate."""
    halves = halves_for(target)
    layers = [step for step in (*halves.encoder, *halves.decoder) if isinstance(step, Int8Layer)]
    exact = [
        torch.equal(in_16_bits(layer, rows), rows @ layer.weights) for layer in layers for rows in worst(layer)
    ]
    if target != "arm":  # which has its own instructions for int8 by int8
        assert all(exact) == (target == "avx2")


def in_16_bits(layer, rows):
    """Compute stored bytes (M, K) as x86 without VNNI does: it adds products in pairs and saturates."""
    products = torch.nn.functional.pad(rows, (0, rows.shape[1] % 2))[:, :, None] * torch.nn.functional.pad(
        layer.weights, (0, 0, 0, len(layer.weights) % 2)
    )
    pairs = products.view(len(rows), -1, 2, products.shape[2]).sum(dim=2)
    return pairs.clamp(-(1 << 15), (1 << 15) - 1).sum(dim=1)


def worst(layer):
    """Return the bytes that make the pairs of the heaviest column largest, and those that make them smallest."""
    for sign in (1, -1):
        column = (sign * layer.weights).clamp(min=0).sum(dim=0).argmax()
        yield 255.0 * (sign * layer.weights[:, column] > 0).double()[None]


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx"])
def test_the_shipped_graphs_run_in_int8_as_recorded_and_hold_the_pair_rule(name):
    bundle = read_bundle(DEFAULT_BUNDLE)
    part = name.partition(".")[0]
    precisions = {
        layer["name"].partition(".")[2]: layer["precision"]
        for layer in bundle.manifest.record["quantisation"]["layers"]
        if layer["name"].startswith(part)
    }
    layers = [layer for layer, precision in precisions.items() if precision == "int8"]
    assert (
        precisions
        == {
            "encoder": {"conv1": "fp32", "conv2": "int8", "conv3": "int8", "dense": "int8"},
            "decoder": {"dense": "int8", "conv2": "int8", "conv3": "int8"},
        }[part]
    )
    require_int8(bundle.files[name], layers)
    floats = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "DequantizeLinear"}
    found = [node.op_type for node in optimised_graph(bundle.files[name]).node if node.op_type in floats]
    assert found == {"encoder": ["Conv"], "decoder": []}[part]
    graph = onnx.load_from_string(bundle.files[name]).graph
    constants = {constant.name: numpy_helper.to_array(constant).astype(int) for constant in graph.initializer}
    for layer in layers:
        weight = constants[f"{layer}.weight"]
        # Filters are (out, in, kernel height, kernel width); the kernels read them channels last
        columns = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1) if weight.ndim == 4 else weight.T
        padded = np.pad(columns, ((0, 0), (0, columns.shape[1] % 2)))
        pairs = padded.reshape(len(columns), -1, 2)
        assert np.clip(pairs, 0, None).sum(axis=2).max() <= 128
        assert np.clip(pairs, None, 0).sum(axis=2).min() >= -128
        assert np.abs(weight).max() > 100  # they still use 8 bits


def test_the_shipped_graphs_do_not_convert_their_images():
    for name, port in (("encoder.onnx", "input"), ("decoder.onnx", "output")):
        graph = onnx.load_from_string(read_bundle(DEFAULT_BUNDLE).files[name]).graph
        (value,) = getattr(graph, port)
        assert value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert PIXELS.zero_point == 0


def test_the_int8_graphs_are_small():
    files = read_bundle(DEFAULT_BUNDLE).files
    assert len(files["encoder.onnx"]) + len(files["decoder.onnx"]) < 800_000
