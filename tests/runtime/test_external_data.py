"""The walk through the protobuf finds external tensors wherever ONNX can put one, and survives any bytes."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fmae_edge import BundleError
from fmae_edge.runtime.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.external_data import _PATHS, refuses_external_data
from fmae_edge.runtime.sessions import open_session


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


def default_of_a_function():
    default = helper.make_attribute("value", external_tensor())
    return helper.make_function(
        "own", "f", [], ["y"], [], [helper.make_opsetid("", 18)], attribute_protos=[default]
    )


def in_training():
    result = model()
    result.training_info.add().algorithm.CopyFrom(model(initializers=[external_tensor()]).graph)
    return result


@pytest.mark.parametrize(
    "external",
    [
        model(initializers=[external_tensor()]),
        model(nodes=[helper.make_node("Constant", [], ["y"], value=external_tensor())]),
        model(nodes=[inside_subgraph()]),
        model(functions=[in_function()]),
        model(functions=[default_of_a_function()]),
        sparse(),
        in_training(),
    ],
    ids=["initializer", "attribute", "subgraph", "function", "default", "sparse", "training"],
)
def test_external_tensors_are_refused(external):
    with pytest.raises(BundleError, match="another file"):
        refuses_external_data(external.SerializeToString(), "it")


def test_every_path_of_onnx_to_a_tensor_is_walked():
    """The paths are those of the onnx package, which is newer when ONNX has new ones."""
    messages = {}

    def collect(message):
        if message.name not in messages:
            messages[message.name] = [(one.number, one.message_type) for one in message.fields if one.message_type]
            for _, inner in messages[message.name]:
                collect(inner)

    collect(onnx.ModelProto.DESCRIPTOR)
    leading = {"TensorProto"}
    while (
        more := {name for name, inner in messages.items() if leading & {kind.name for _, kind in inner}} - leading
    ):
        leading |= more
    paths = {
        name.removesuffix("Proto"): {
            number: kind.name.removesuffix("Proto") for number, kind in messages[name] if kind.name in leading
        }
        for name in leading - {"TensorProto"}
    }
    assert paths == _PATHS


def varint(number):
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def part(field, content, lift=0):
    """A message's field of bytes, its tag written as a number that is larger by `lift`."""
    return varint((field << 3 | 2) + lift) + varint(len(content)) + content


EXTERNAL = part(13, onnx.StringStringEntryProto(key="location", value="elsewhere.bin").SerializeToString())
DISGUISED = part(13, EXTERNAL[2:], 1 << 32) + varint((14 << 3) + (1 << 32)) + b"\1"
IN_GRAPH = {"initializer": (5,), "attribute": (1, 5, 5), "tensors": (1, 5, 10), "subgraph": (1, 5, 6, 5)}


def nested(fields, content, lifted=None):
    for depth, field in reversed(list(enumerate(fields))):
        content = part(field, content, (1 << 32) if depth == lifted else 0)
    return content


@pytest.mark.parametrize("path", IN_GRAPH.values(), ids=IN_GRAPH)
def test_tags_that_onnxruntime_would_cut_to_32_bits_are_refused(path):
    fields = (7, *path)
    with pytest.raises(BundleError, match="another file"):
        refuses_external_data(nested(fields, EXTERNAL), "it")
    for content in (nested(fields, DISGUISED), *(nested(fields, EXTERNAL, at) for at in range(len(fields)))):
        with pytest.raises(BundleError, match="not an ONNX graph"):
            refuses_external_data(content, "it")


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x88\x00\x09",  # a tag with a needless byte
        b"\x0a\x81\x00x",  # a length with one
        b"\x08\x89\x00",  # a value with one
        b"\x0a\x80\x80\x80\x80\x10",  # a length of 2^32, which could be cut to 0
        b"\x88\x80\x80\x80\x80\x00\x09",  # a tag of six bytes
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",  # a value of 65 bits
        b"\x00\x00",  # field 0, which ends a message
        b"\x02\x00",
        b"\x0b\x0c",  # a group
        b"\x0c",
    ],
    ids=lambda content: content.hex(),
)
def test_what_no_serialiser_writes_is_refused(damaged):
    refuses_external_data(b"\x08\x09", "it")
    for content in (damaged, part(7, damaged), part(7, damaged) + part(7, EXTERNAL)):
        with pytest.raises(BundleError, match="not an ONNX graph"):
            refuses_external_data(content, "it")


def test_negative_numbers_pass():
    node = helper.make_node("Softmax", ["x"], ["y"], axis=-1)
    refuses_external_data(model(nodes=[node]).SerializeToString(), "it")


def test_a_graph_that_comes_in_two_pieces_is_looked_at_as_a_whole():
    whole = model().SerializeToString()
    with pytest.raises(BundleError, match="another file"):
        refuses_external_data(whole + nested((7, 5), external_tensor().SerializeToString()), "it")


def test_onnxruntime_s_own_format_is_not_loaded(tmp_path):
    """It holds tensors too, and nothing here looks at them."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "graph.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession((DEFAULT_BUNDLE / "decoder.onnx").read_bytes(), options)
    with pytest.raises(BundleError, match="cannot be loaded by onnxruntime"):
        open_session((tmp_path / "graph.ort").read_bytes(), "it", threads=1)


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
