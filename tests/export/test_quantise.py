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


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx"])
def test_every_layer_of_the_shipped_graphs_runs_in_int8(name):
    ops = optimised_ops(read_bundle(DEFAULT_BUNDLE).files[name])
    assert (ops["QLinearConv"], ops["QGemm"]) == (3, 1)
    assert not {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "QLinearMatMul"} & ops.keys()


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx"])
def test_weights_cannot_saturate_16_bits(name):
    """Two products of uint8 and weight must fit int16, which CPUs without VNNI add them in."""
    graph = onnx.load_from_string(read_bundle(DEFAULT_BUNDLE).files[name])
    weights = [t for t in graph.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1]
    assert len(weights) == 4
    for tensor in weights:
        assert 2 * 255 * np.abs(numpy_helper.to_array(tensor).astype(int)).max() <= 32767


def test_weights_have_a_scale_per_channel():
    for name in ("encoder.onnx", "decoder.onnx"):
        graph = onnx.load_from_string(read_bundle(DEFAULT_BUNDLE).files[name])
        scales = {t.name: t for t in graph.graph.initializer if t.name.endswith("weight_scale")}
        weights = {t.name: t for t in graph.graph.initializer if t.name.endswith("weight_quantized")}
        assert len(scales) == len(weights) == 4
        for weight in weights.values():
            (scale,) = scales[weight.name.replace("weight_quantized", "weight_scale")].dims
            assert scale in weight.dims


def test_the_int8_graphs_are_small():
    files = read_bundle(DEFAULT_BUNDLE).files
    assert len(files["encoder.onnx"]) + len(files["decoder.onnx"]) < 1_300_000


def test_other_configs_quantise(model):
    encoder = quantise_encoder(encoder_graph(model), torch.rand(64, 1, 16, 16).numpy())
    decoder = quantise_decoder(decoder_graph(model), torch.randn(64, 6).numpy())
    for graph, convolutions in ((encoder, 2), (decoder, 2)):
        ops = optimised_ops(graph.SerializeToString())
        assert (ops["QLinearConv"], ops["QGemm"]) == (convolutions, 1)


def test_an_export_that_quantised_nothing_fails(model, monkeypatch):
    def does_nothing(source, target, *_, **__):
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(quantise, "quantize_static", does_nothing)
    with pytest.raises(ExportError, match="of 3 layers that should run in int8, 0 do; still in float: .*Conv"):
        quantise_encoder(encoder_graph(model), torch.rand(4, 1, 16, 16).numpy())
