"""The zero points of weights follow the CPU, and results stay the same."""

import numpy as np
import onnx
import pytest

from fmae_edge.runtime.bundle.built_in import as_bundle_folder
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.bundle.onnx_file import MICROSOFT, read_graph
from fmae_edge.runtime.engine.cpu_model import suitability
from fmae_edge.runtime.engine.sessions import open_session
from fmae_edge.runtime.engine.weight_zero_points import with_fast_zero_points

PARTS = {"encoder.onnx": True, "decoder.onnx": False}
VNNI, AMX = ["avx512_vnni"], ["avx512_vnni", "amx_int8"]


def graph_of(name, bundle=None):
    return read_bundle(as_bundle_folder(bundle)).files[name]


def zero_points(model):
    """Return the zero points of the weights of each int8 convolution, by its name."""
    graph = read_graph(model)
    return {
        node.outputs[0]: set(np.frombuffer(graph.constants[node.inputs[5]].data, np.int8).tolist())
        for node in graph.nodes
        if node.operator == f"{MICROSOFT}.QLinearConv"
    }


@pytest.mark.parametrize("dot_products", [(), ("asimddp", "i8mm")])
def test_cpus_without_32_bit_sums_of_x86_keep_the_zero_points(dot_products):
    for name, is_encoder in PARTS.items():
        assert with_fast_zero_points(graph_of(name), is_encoder, dot_products) == graph_of(name)


def test_dense_layers_change_with_vnni_and_all_of_an_encoder_with_amx():
    encoder, decoder = (graph_of(name) for name in PARTS)
    assert with_fast_zero_points(encoder, True, VNNI) == encoder
    assert zero_points(with_fast_zero_points(encoder, True, AMX)) == {"conv2": {-1}, "conv3": {-1}}
    expected = {"dense": {-1}, "conv2": {0}, "conv3": {0}}
    assert zero_points(with_fast_zero_points(decoder, False, VNNI)) == expected
    assert zero_points(with_fast_zero_points(decoder, False, AMX)) == expected


@pytest.mark.skipif(
    "may saturate" in suitability("vnni"),
    reason="sums of this CPU have 16 bits",
)
@pytest.mark.parametrize("bundle", ["default", "detail"])
@pytest.mark.parametrize("name", PARTS)
def test_results_stay_the_same(bundle, name):
    model = graph_of(name, bundle)
    before, after = (
        open_session(content, name, threads=1)
        for content in (model, with_fast_zero_points(model, PARTS[name], AMX))
    )
    (port,) = before.get_inputs()
    random = np.random.default_rng(0)
    for count in (1, 3, 32):
        shape = (count, *port.shape[1:])
        if name == "encoder.onnx":
            feed = {port.name: random.integers(0, 256, shape, np.uint8)}
        else:
            feed = {port.name: random.normal(0, 20, shape).astype(np.float32)}
        np.testing.assert_array_equal(*(session.run(None, feed)[0] for session in (before, after)))


def test_weights_that_cannot_be_lower_stay():
    model = bytearray(graph_of("decoder.onnx"))
    graph = read_graph(model)
    (dense,) = (node for node in graph.nodes if node.outputs == ("dense",))
    np.frombuffer(graph.constants[dense.inputs[3]].data, np.int8)[7] = -128
    assert with_fast_zero_points(bytes(model), False, VNNI) == model


def test_weights_that_another_layer_reads_stay():
    model = onnx.load_from_string(graph_of("decoder.onnx"))
    dense, conv2, *_ = (node for node in model.graph.node if node.op_type == "QLinearConv")
    conv2.input[5] = dense.input[5]
    assert with_fast_zero_points(model.SerializeToString(), False, VNNI) == model.SerializeToString()
