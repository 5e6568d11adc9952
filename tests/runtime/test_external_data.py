"""The walk through the protobuf finds external tensors wherever ONNX can put one, and survives any bytes."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fmae_edge import BundleError
from fmae_edge.runtime.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.external_data import refuses_external_data


def external_tensor():
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "weights")
    onnx.external_data_helper.set_external_data(tensor, "elsewhere.bin")
    tensor.ClearField("raw_data")
    return tensor


def model(nodes=(), initializers=(), functions=()):
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    graph = helper.make_graph(list(nodes), "g", [], [output], list(initializers))
    return helper.make_model(graph, functions=list(functions))


def inside_subgraph():
    constant = helper.make_node("Constant", [], ["y"], value=external_tensor())
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    branch = helper.make_graph([constant], "branch", [], [output])
    return helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)


def sparse():
    result = model()
    result.graph.sparse_initializer.add().values.CopyFrom(external_tensor())
    return result


def in_function():
    constant = helper.make_node("Constant", [], ["y"], value=external_tensor())
    return helper.make_function("own", "f", [], ["y"], [constant], [helper.make_opsetid("", 18)])


@pytest.mark.parametrize(
    "external",
    [
        model(initializers=[external_tensor()]),
        model(nodes=[helper.make_node("Constant", [], ["y"], value=external_tensor())]),
        model(nodes=[inside_subgraph()]),
        model(functions=[in_function()]),
        sparse(),
    ],
    ids=["initializer", "attribute", "subgraph", "function", "sparse"],
)
def test_external_tensors_are_refused(external):
    with pytest.raises(BundleError, match="another file"):
        refuses_external_data(external.SerializeToString(), "it")


@pytest.mark.parametrize("path", sorted(DEFAULT_BUNDLE.glob("*.onnx")), ids=lambda path: path.name)
def test_the_shipped_graphs_pass_and_their_parts_do_not_crash(path):
    content = path.read_bytes()
    refuses_external_data(content, "it")
    with pytest.raises(BundleError, match="not an ONNX graph"):
        refuses_external_data(content[:-1], "it")


@given(st.binary(max_size=200))
def test_any_bytes_are_walked_or_refused(content):
    try:
        refuses_external_data(content, "it")
    except BundleError as error:
        assert str(error).startswith("it ")
