"""Graphs are read as the onnx package reads them; malformed and unneeded parts are refused."""

from contextlib import suppress

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fmae_edge import BundleError
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.onnx_file import FIELDS, RefusedError, fields, read_graph
from fmae_edge.runtime.engine.sessions import open_session

DECODER = (DEFAULT_BUNDLE / "decoder.onnx").read_bytes()


def external_tensor():
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "weights")
    onnx.external_data_helper.set_external_data(tensor, "elsewhere.bin")
    tensor.ClearField("raw_data")
    return tensor


def model(nodes=(), initializers=(), functions=()):
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    graph = helper.make_graph(list(nodes), "g", [], [output], list(initializers))
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, functions=list(functions), opset_imports=opsets, ir_version=10)


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


def in_training():
    result = model()
    result.training_info.add().algorithm.CopyFrom(model(initializers=[external_tensor()]).graph)
    return result


@pytest.mark.parametrize(
    ("refused", "what"),
    [
        (model(initializers=[external_tensor()]), "tensors in another file"),
        (model(nodes=[helper.make_node("Constant", [], ["y"], value=external_tensor())]), "tensors as attributes"),
        (model(nodes=[inside_subgraph()]), "subgraphs"),
        (model(functions=[in_function()]), "functions"),
        (sparse(), "sparse tensors"),
        (in_training(), "training information"),
    ],
    ids=["initializer", "attribute", "subgraph", "function", "sparse", "training"],
)
def test_fields_that_bundles_do_not_need_are_refused(refused, what):
    with pytest.raises(RefusedError, match=what):
        read_graph(refused.SerializeToString())


def shape_of_a_result(graph):
    graph.value_info.add().CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3]))


def test_shapes_of_results_are_refused():
    """Nothing here compares them with the graph, and onnxruntime needs 100 bytes of memory per byte."""
    changed = model(nodes=[helper.make_node("Relu", ["x"], ["y"])])
    read_graph(changed.SerializeToString())
    shape_of_a_result(changed.graph)
    with pytest.raises(RefusedError, match="value_info"):
        read_graph(changed.SerializeToString())


TEXTS = {
    "producer": lambda model, text: setattr(model, "producer_name", text),
    "version": lambda model, text: setattr(model, "producer_version", text),
    "domain": lambda model, text: setattr(model.opset_import.add(), "domain", text),
    "model": lambda model, text: setattr(model, "doc_string", text),
    "property": lambda model, text: helper.set_model_props(model, {"key": text}),
    "graph": lambda model, text: setattr(model.graph, "name", text),
    "description": lambda model, text: setattr(model.graph, "doc_string", text),
    "node": lambda model, text: setattr(model.graph.node[0], "name", text),
    "operator": lambda model, text: setattr(model.graph.node[0], "op_type", text),
    "input": lambda model, text: model.graph.node[0].input.append(text),
    "attribute": lambda model, text: model.graph.node[0].attribute.append(helper.make_attribute("a", text)),
    "attributes": lambda model, text: model.graph.node[0].attribute.append(helper.make_attribute(text, 1)),
    "constant": lambda model, text: setattr(model.graph.initializer[0], "name", text),
    "data": lambda model, text: setattr(model.graph.initializer[0], "doc_string", text),
    "port": lambda model, text: setattr(model.graph.output[0], "doc_string", text),
    "denotation": lambda model, text: setattr(model.graph.output[0].type, "denotation", text),
    "dimension": lambda model, text: setattr(
        model.graph.output[0].type.tensor_type.shape.dim[0], "dim_param", text
    ),
}


@pytest.mark.parametrize("change", TEXTS.values(), ids=TEXTS)
def test_large_texts_are_refused_wherever_they_are(change):
    constant = numpy_helper.from_array(np.zeros(100_000, np.float32), "c")  # whose data are not text
    large = model(nodes=[helper.make_node("Relu", ["x"], ["y"])], initializers=[constant])
    read_graph(large.SerializeToString())
    change(large, "n" * 70_000)
    with pytest.raises(RefusedError, match="bytes in addition to the data|field .* of ModelProto"):
        read_graph(large.SerializeToString())


def test_only_known_versions_are_accepted():
    known = model(nodes=[helper.make_node("Relu", ["x"], ["y"])])
    for version in (-1, 0, 3, 11, 1 << 40):
        known.ir_version = version
        with pytest.raises(RefusedError, match=f"ONNX IR version {version}"):
            read_graph(known.SerializeToString())
    known.ClearField("ir_version")
    with pytest.raises(KeyError):
        read_graph(known.SerializeToString())


@pytest.mark.parametrize(("domain", "said"), [("", "ONNX"), ("com.microsoft", "'com.microsoft'")])
def test_operators_need_a_version(domain, said):
    other = "" if domain else "com.microsoft"
    graph = model(nodes=[helper.make_node("Gelu", ["x"], ["y"], domain=domain)])
    graph.opset_import[0].CopyFrom(helper.make_opsetid(other, 1 if other else 18))
    with pytest.raises(RefusedError, match=f"operators of {said} without a version"):
        read_graph(graph.SerializeToString())


def test_the_reader_knows_every_field_of_every_message_it_reads():
    """Every accepted field is a number, text, or a message that is read by the same rule."""
    messages = {}

    def collect(message):
        if message.full_name not in messages:
            messages[message.full_name] = message
            for field in message.fields:
                if field.message_type:
                    collect(field.message_type)

    collect(onnx.ModelProto.DESCRIPTOR)
    names = {
        "Model": "onnx.ModelProto",
        "OperatorSetId": "onnx.OperatorSetIdProto",
        "Graph": "onnx.GraphProto",
        "Node": "onnx.NodeProto",
        "Attribute": "onnx.AttributeProto",
        "Tensor": "onnx.TensorProto",
        "ValueInfo": "onnx.ValueInfoProto",
        "Type": "onnx.TypeProto",
        "Type.Tensor": "onnx.TypeProto.Tensor",
        "TensorShape": "onnx.TensorShapeProto",
        "TensorShape.Dimension": "onnx.TensorShapeProto.Dimension",
    }
    assert set(names) == set(FIELDS)
    for name, known_fields in FIELDS.items():
        known = messages[names[name]].fields_by_number
        for number in known_fields:
            inner = known[number].message_type
            assert inner is None or inner.full_name in names.values(), (name, number)


def varint(number):
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def part(field, content, lift=0):
    """Return a field of bytes whose tag is larger by `lift`."""
    return varint((field << 3 | 2) + lift) + varint(len(content)) + content


EXTERNAL = part(13, onnx.StringStringEntryProto(key="location", value="elsewhere.bin").SerializeToString())
DISGUISED = part(13, EXTERNAL[2:], 1 << 32) + varint((14 << 3) + (1 << 32)) + b"\1"
IN_GRAPH = {"initializer": (5,), "attribute": (1, 5, 5), "tensors": (1, 5, 10), "subgraph": (1, 5, 6, 5)}


def nested(fields, content, lifted=None):
    for depth, field in reversed(list(enumerate(fields))):
        content = part(field, content, (1 << 32) if depth == lifted else 0)
    return content


MALFORMED = (IndexError, KeyError, ValueError)
VERSION = b"\x08\x0a"  # of ONNX IR, without which every graph is refused


@pytest.mark.parametrize("path", IN_GRAPH.values(), ids=IN_GRAPH)
def test_tags_that_onnxruntime_would_cut_to_32_bits_are_refused(path):
    fields = (7, *path)
    read_graph(VERSION + part(7, b""))
    with pytest.raises(RefusedError):
        read_graph(VERSION + nested(fields, EXTERNAL))
    for content in (nested((7, 5), DISGUISED), *(nested(fields, EXTERNAL, at) for at in range(len(fields)))):
        with pytest.raises(MALFORMED):
            read_graph(VERSION + content)


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x88\x00\x09",  # a tag with an extra byte
        b"\x0a\x81\x00x",  # a length with an extra byte
        b"\x08\x89\x00",  # a value with an extra byte
        b"\x0a\x80\x80\x80\x80\x10",  # a length of 2^32, which could be cut to 0
        b"\x88\x80\x80\x80\x80\x00\x09",  # a tag of six bytes
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",  # a value of 65 bits
        b"\x00\x00",  # field 0, which ends a message
        b"\x02\x00",
        b"\x0b\x0c",  # a group
        b"\x0c",
        b"\x0a\x02x",  # shorter than its length
    ],
    ids=lambda content: content.hex(),
)
def test_encodings_that_serialisers_never_write_are_refused(damaged):
    list(fields(memoryview(b"\x08\x09\x0a\x01x")))
    with pytest.raises((IndexError, ValueError)):
        list(fields(memoryview(damaged)))
    for content in (VERSION + part(7, damaged), DECODER + part(7, damaged), DECODER + damaged):
        with pytest.raises(MALFORMED):
            read_graph(content)


def test_negative_numbers_are_read():
    node = helper.make_node("Softmax", ["x"], ["y"], axis=-1)
    (read,) = read_graph(model(nodes=[node]).SerializeToString()).nodes
    assert read.attributes == {"axis": -1}


def test_a_graph_that_comes_in_two_pieces_is_refused():
    """A parser may join them."""
    read_graph(DECODER)
    with pytest.raises(MALFORMED):
        read_graph(DECODER + nested((7, 5), external_tensor().SerializeToString()))
    with pytest.raises(MALFORMED):
        read_graph(DECODER + part(7, b""))


def test_the_file_format_of_onnxruntime_is_not_loaded(tmp_path):
    """It contains tensors too, which nothing here would check."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "graph.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(DECODER, options)
    with pytest.raises(BundleError, match="cannot be loaded by onnxruntime"):
        open_session((tmp_path / "graph.ort").read_bytes(), "it", threads=1)


@pytest.mark.parametrize("path", sorted(DEFAULT_BUNDLE.glob("*.onnx")), ids=lambda path: path.name)
def test_the_shipped_graphs_are_read_as_the_onnx_package_reads_them(path):
    content = path.read_bytes()
    graph, expected = read_graph(content), onnx.load_from_string(content).graph
    assert [node.inputs for node in graph.nodes] == [tuple(node.input) for node in expected.node]
    for node, other in zip(graph.nodes, expected.node, strict=True):
        assert node.operator.rpartition(".")[2] == other.op_type
        values = {one.name: helper.get_attribute_value(one) for one in other.attribute}
        assert node.attributes == {
            key: tuple(one) if isinstance(one, list) else one for key, one in values.items()
        }
    for tensor in expected.initializer:
        constant = graph.constants[tensor.name]
        assert (constant.dtype, constant.shape) == (tensor.data_type, tuple(tensor.dims))
        assert constant.data == tensor.raw_data
    with pytest.raises(MALFORMED):
        read_graph(content[:-1])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    with suppress(*MALFORMED):
        read_graph(content)
