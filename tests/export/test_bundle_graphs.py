"""The graphs of a bundle together: the use of calibration images, and models that are hard to quantise."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from fmae_edge.export import int8_network
from fmae_edge.export.bundle_graphs import ExportOptions, build_graphs
from fmae_edge.export.bundle_writer import latent_steps
from fmae_edge.export.errors import ExportError
from fmae_edge.export.parity import measure_parity
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.runtime.bundle.manifest import GRADIENT_NAME, GRAPH_NAMES
from fmae_edge.runtime.engine.sessions import open_session

STEPS = torch.full((6,), 0.02)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Autoencoder(ModelConfig(8, 8, 1, 6, (4, 6, 8))).eval()


@pytest.fixture
def train_images():
    return torch.randint(0, 256, (60, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def encode(graph, images):
    return open_session(graph, "encoder", threads=1).run(None, {"image": images.unsqueeze(1).numpy()})[0]


def test_layers_are_chosen_on_images_that_do_not_calibrate(model, train_images, monkeypatch):
    used = {}

    class Noting(int8_network.Int8Network):
        def __init__(self, network, calibration, *rest):
            used["calibration"] = calibration
            super().__init__(network, calibration, *rest)

        def measure_on(self, images):
            used["held out"] = images
            return super().measure_on(images)

    monkeypatch.setattr("fmae_edge.export.bundle_graphs.Int8Network", Noting)
    built = build_graphs(model, train_images, STEPS, ExportOptions(calibration_images=4000))
    rows = {name: {image.numpy().tobytes() for image in images} for name, images in used.items()}
    assert not rows["calibration"] & rows["held out"]
    assert len(rows["calibration"]) + len(rows["held out"]) == 60
    assert built.record["calibration_images"] == len(rows["calibration"]) == 30  # not the requested 4,000


def test_only_a_rewritten_decoder_gets_the_graph_of_its_gradient(model, train_images, monkeypatch):
    assert GRADIENT_NAME in build_graphs(model, train_images, STEPS, ExportOptions()).graphs
    for half in ("encoder", "decoder"):  # PyTorch takes seconds to write them
        monkeypatch.setattr(f"fmae_edge.export.bundle_graphs.plain_{half}_graph", lambda _: onnx.ModelProto())
    plain = build_graphs(model, train_images, STEPS, ExportOptions(rewrite=False)).graphs
    assert sorted(plain) == sorted(GRAPH_NAMES)


def test_large_images_are_fewer_with_as_many_pixels(model, train_images, monkeypatch):
    monkeypatch.setattr("fmae_edge.export.bundle_graphs._FULL_PIXELS", 16)  # a quarter of an image
    built = build_graphs(model, train_images, STEPS, ExportOptions(calibration_images=40))
    assert built.record["calibration_images"] == 10
    built = build_graphs(model, train_images, STEPS, ExportOptions(calibration_images=1))
    assert built.record["calibration_images"] == 1


@pytest.mark.parametrize("number", [0, -1, 4097])
def test_an_invalid_number_of_calibration_images_is_refused(number):
    with pytest.raises(ExportError, match="expected 1 to 4096"):
        ExportOptions(calibration_images=number)


@pytest.mark.parametrize("loss", [-0.01, float("nan")])
def test_an_invalid_loss_is_refused(loss):
    with pytest.raises(ExportError, match="expected dB of PSNR, 0 or more"):
        ExportOptions(int8_loss=loss)


def test_a_layer_that_does_not_run_in_int8_fails_the_export(model, train_images, monkeypatch):
    """Simulate an onnxruntime that turns a promised int8 layer into a float layer."""
    original = int8_network.quantise

    def sabotaged(layers, inputs, source, target, method, stay_float, last):
        return original(layers, inputs, source, target, method, {*stay_float, "conv2"}, last)

    monkeypatch.setattr(int8_network, "quantise", sabotaged)
    with pytest.raises(ExportError, match="should run in int8 but do not: conv2"):
        build_graphs(model, train_images, STEPS, ExportOptions())


def test_channels_are_equalised_before_they_are_quantised(model, train_images, monkeypatch):
    with torch.no_grad():
        model.encoder.convs[0].weight[0] *= 1e-2  # one channel a hundredth of the others
        model.encoder.convs[0].bias[0] *= 1e-2
        model.encoder.convs[1].weight[:, 0] *= 1e2
    with torch.inference_mode():
        expected = model.encoder(train_images.unsqueeze(1) / 255).numpy()

    def error():
        graph = build_graphs(model, train_images, STEPS, ExportOptions()).graphs["encoder.onnx"]
        return np.square(encode(graph, train_images) - expected).mean()

    equalised = error()
    monkeypatch.setattr(int8_network, "equalise", lambda layers, inputs: layers)
    assert equalised < error() / 2


@pytest.fixture
def with_a_bad_layer(small_run):
    """A trained model whose third convolution has huge weights for a channel that is always 0.

    They change nothing in float32. In int8 they set the scale, so that all other weights of the layer round to 0.
    """
    model = load_checkpoint(small_run).model
    _, second, third = model.encoder.convs
    with torch.no_grad():
        second.weight[3] = 0
        second.bias[3] = -1
        third.weight[:, 3] = 1000
    return model


def test_a_layer_that_quantises_badly_stays_in_float(with_a_bad_layer, images, monkeypatch):
    train, held_out = torch.from_numpy(images[:200].copy()), torch.from_numpy(images[200:].copy())
    steps = torch.tensor(latent_steps(encode_all(with_a_bad_layer, train).numpy()))

    def export(**options):
        built = build_graphs(with_a_bad_layer, train, steps, ExportOptions(**options))
        parity = measure_parity(with_a_bad_layer, built.graphs, held_out)
        return built.record, max(each.loss_db for each in parity.comparisons), parity.failures()

    record, lost, failures = export()
    kept = {layer["name"]: layer["reason"] for layer in record["layers"] if layer["precision"] == "fp32"}
    assert kept["encoder.conv1"] == "faster in float32"
    assert kept["encoder.conv3"] == "too much quality lost in int8"
    assert len(kept) < len(record["layers"]) - 2  # and not all of them
    assert record["int8_loss"]["db"] <= record["int8_loss"]["limit_db"] == 0.04
    assert record["int8_loss"]["training_images"] == 100
    assert lost <= 0.05
    assert failures == []
    record, lost, failures = export(int8_loss=99)  # without the choice
    assert record["int8_loss"]["db"] > 0.2
    assert record["int8_loss"]["limit_db"] == 99
    assert all(layer["reason"] in (None, "faster in float32") for layer in record["layers"])
    assert lost > 0.2
    assert failures


AWKWARD = {
    "no weights, a bias": lambda dense, conv: (dense.weight[3].zero_(), dense.bias[3].fill_(1.0)),
    "no weights, a large bias": lambda dense, conv: (dense.weight[3].zero_(), dense.bias[3].fill_(-300.0)),
    "neither": lambda dense, conv: (dense.weight[3].zero_(), dense.bias[3].zero_()),
    "tiny weights": lambda dense, conv: (dense.weight[3].mul_(1e-12), dense.bias[3].fill_(1.0)),
    "a dead layer": lambda dense, conv: (conv.weight.zero_(), conv.bias.fill_(-1.0)),
    "a constant channel": lambda dense, conv: (conv.weight[1].zero_(), conv.bias[1].fill_(0.7)),
    "all zero": lambda dense, conv: (
        dense.weight.zero_(),
        dense.bias.zero_(),
        conv.weight.zero_(),
        conv.bias.zero_(),
    ),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_biases_fit_32_bits(model, train_images, name):
    with torch.no_grad():
        AWKWARD[name](model.encoder.dense, model.encoder.convs[2])
    with torch.inference_mode():
        expected = model.encoder(train_images.unsqueeze(1) / 255).numpy()
    graph = build_graphs(model, train_images, STEPS, ExportOptions()).graphs["encoder.onnx"]
    np.testing.assert_allclose(encode(graph, train_images), expected, rtol=1e-5, atol=0.03)
    constants = {c.name: numpy_helper.to_array(c) for c in onnx.load_from_string(graph).graph.initializer}
    for layer in ("conv2", "conv3", "dense"):
        assert np.abs(constants[f"{layer}.bias"].astype(np.int64)).max() < 1 << 30
        assert constants[f"{layer}.weight_scale"].min() > 0


def test_a_model_with_nan_is_refused(model, train_images):
    with torch.no_grad():
        model.decoder.dense.weight[0, 0] = float("nan")
    with pytest.raises(ExportError, match="NaN or infinite"):
        build_graphs(model, train_images, STEPS, ExportOptions())
