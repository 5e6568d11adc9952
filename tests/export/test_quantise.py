"""int8 graphs run in int8, give the same without saturation, and a float layer fails the export."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from fmae_edge.export import quantise
from fmae_edge.export.errors import ExportError
from fmae_edge.export.graphs import decoder_graph, encoder_graph
from fmae_edge.export.quantise import optimised_ops, quantise_decoder, quantise_encoder
from fmae_edge.runtime.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.train.config import ModelConfig
from fmae_edge.train.model import Autoencoder

CONFIG = ModelConfig(16, 1, 6, (4, 8))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Autoencoder(CONFIG).eval()


@pytest.fixture(scope="module")
def graphs(model):
    """Each int8 graph with its number of convolutions: the shipped ones, and fresh ones of another config."""
    shipped = read_bundle(DEFAULT_BUNDLE).files
    encoder = quantise_encoder(encoder_graph(model), torch.rand(64, 1, 16, 16).numpy())
    decoder = quantise_decoder(decoder_graph(model), torch.randn(64, 6).numpy())
    return {
        "shipped encoder": (onnx.load_from_string(shipped["encoder.onnx"]), 3),
        "shipped decoder": (onnx.load_from_string(shipped["decoder.onnx"]), 3),
        "fresh encoder": (encoder, 2),
        "fresh decoder": (decoder, 2),
    }


every_graph = pytest.mark.parametrize(
    "name", ["shipped encoder", "shipped decoder", "fresh encoder", "fresh decoder"]
)


@every_graph
def test_every_layer_runs_in_int8(graphs, name):
    graph, convolutions = graphs[name]
    ops = optimised_ops(graph.SerializeToString())
    assert (ops["QLinearConv"], ops["QGemm"]) == (convolutions, 1)
    assert not {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "QLinearMatMul"} & ops.keys()


@every_graph
def test_weights_cannot_saturate_16_bits(graphs, name):
    """Two products of uint8 and weight must fit int16, which CPUs without VNNI add them in."""
    graph, convolutions = graphs[name]
    weights = [
        numpy_helper.to_array(tensor).astype(int)
        for tensor in graph.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert len(weights) == convolutions + 1
    for weight in weights:
        assert 32 < np.abs(weight).max() <= 32767 // (2 * 255)


@every_graph
def test_weights_have_a_scale_per_channel(graphs, name):
    graph, convolutions = graphs[name]
    scales = {t.name: t for t in graph.graph.initializer if t.name.endswith("weight_scale")}
    weights = {t.name: t for t in graph.graph.initializer if t.name.endswith("weight_quantized")}
    assert len(scales) == len(weights) == convolutions + 1
    for weight in weights.values():
        (scale,) = scales[weight.name.replace("weight_quantized", "weight_scale")].dims
        assert scale == weight.dims[0]


@pytest.mark.parametrize("name", ["shipped decoder", "fresh decoder"])
def test_the_decoder_gives_the_256_grey_levels(graphs, name):
    graph, _ = graphs[name]
    values = {t.name: numpy_helper.to_array(t).item() for t in graph.graph.initializer if not t.dims}
    assert values["image_scale"] == np.float32(1 / 255)
    assert values["image_zero_point"] == 0


def test_the_int8_graphs_are_small():
    files = read_bundle(DEFAULT_BUNDLE).files
    assert len(files["encoder.onnx"]) + len(files["decoder.onnx"]) < 1_300_000


def test_an_export_that_quantised_nothing_fails(model, monkeypatch):
    def does_nothing(source, target, *_, **__):
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(quantise, "quantize_static", does_nothing)
    with pytest.raises(ExportError, match="of 3 layers that should run in int8, 0 do; still in float: .*Conv"):
        quantise_encoder(encoder_graph(model), torch.rand(4, 1, 16, 16).numpy())
