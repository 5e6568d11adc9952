"""The graph of a gradient reaches onnxruntime only if all of its operators, shapes and needs are known."""

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fmae_edge import BundleError, Codec
from fmae_edge.export.gradient_graph import gradient_graph
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.gradient_check import check_gradient, most_of_gradient, with_weights
from fmae_edge.runtime.bundle.graph_check import most_needs
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME
from fmae_edge.runtime.bundle.onnx_file import read_graph
from tests.gradient_bundle import add_gradient

DECODER = read_bundle(DEFAULT_BUNDLE, only=(DECODER_NAME,)).files[DECODER_NAME]
MODEL = gradient_graph(onnx.load_from_string(DECODER))
NEEDS = most_needs(784, 64)
MOST = most_of_gradient(NEEDS)


def check(change=lambda graph: None, most=MOST):
    model = onnx.ModelProto.FromString(MODEL.SerializeToString())
    change(model.graph)
    bound = with_weights(model.SerializeToString(), DECODER, "gradient")
    check_gradient(bound, "gradient", (64,), (1, 28, 28), most)


def test_the_weights_are_those_of_the_decoder():
    weights, bound = (
        read_graph(DECODER).constants,
        read_graph(with_weights(MODEL.SerializeToString(), DECODER, "")),
    )
    assert [port.name for port in bound.inputs] == ["latent", "image"]
    for name in ("dense.weight", "dense.bias", "conv2.weight", "conv3.bias", "mask3.keep"):
        assert name not in read_graph(MODEL.SerializeToString()).constants
        assert bound.constants[name] == weights[name]


def test_the_graph_of_the_default_decoder_needs_a_third_of_the_limits():
    check()
    check(most=MOST._replace(**{name: most // 3 for name, most in MOST._asdict().items()}))


@pytest.mark.parametrize("need", MOST._fields)
def test_every_limit_is_enforced(need):
    with pytest.raises(BundleError, match=f"gradient (needs|has) .*{need.replace('_', ' ')}"):
        check(most=MOST._replace(**{need: 10}))


def node(graph, op, number=0):
    return [each for each in graph.node if each.op_type == op][number]


def add(*nodes):
    def change(graph):
        for op, *inputs in nodes:
            graph.node.append(helper.make_node(op, inputs, [f"more{len(graph.node)}"]))

    return change


def constant(name, value, dtype):
    def change(graph):
        for tensor in graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(np.asarray(value, dtype), name))

    return change


def renamed(ports, number, name):
    def change(graph):
        getattr(graph, ports)[number].name = name

    return change


def attribute(op, name, value, number=0):
    def change(graph):
        changed = node(graph, op, number)
        kept = [each for each in changed.attribute if each.name != name]
        del changed.attribute[:]
        changed.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def takes(op, place, name, number=0):
    return lambda graph: node(graph, op, number).input.__setitem__(place, name)


def float_image(graph):
    graph.input[1].type.tensor_type.elem_type = TensorProto.FLOAT


def doubling(graph):
    """Add 300 operators on the largest result."""
    for count in range(300):
        graph.node.append(helper.make_node("Relu", [f"more{count - 1}" if count else "conv2"], [f"more{count}"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("input", 0, "other"), "where the manifest needs"),
        (renamed("output", 1, "other"), "where the manifest needs"),
        (
            renamed("input", 2, "other"),
            "where the manifest needs",
        ),  # not a constant of the decoder: an input stays
        (float_image, "where the manifest needs"),
        (lambda graph: graph.input.append(graph.input[2]), "two constants with the same name"),
        (
            lambda graph: graph.initializer.append(numpy_helper.from_array(np.zeros((1, 64), "f"), "latent")),
            "input",
        ),
        (lambda graph: graph.input.pop(), "is missing"),
        (lambda graph: graph.node.pop(), "no operator uses|its gradient are"),
        (lambda graph: graph.node.reverse(), "is missing"),
        (lambda graph: graph.node[1].input.__setitem__(0, graph.node[1].output[0]), "is missing"),  # a circle
        (lambda graph: graph.node[3].output.__setitem__(0, "dense"), "its output name is already used"),
        (lambda graph: graph.node[3].output.__setitem__(0, "dense.bias"), "its output name is already used"),
        (lambda graph: graph.node[3].output.append("more"), "one output"),
        (add(("Relu", "image")), "cannot take an input"),
        (add(("Relu", "dense")), "no operator uses"),
        (add(("Tanh", "dense")), "may not use this operator"),
        (add(("Mul", "dense", "conv2")), "different types or shapes"),
        (add(("Mul", "dense", "dense", "dense")), "different types or shapes"),
        (add(("Conv", "conv2", "mask3")), "it takes a second result"),
        (add(("Relu", "conv2.weight")), "it does not take a result"),
        (add(("Slice", "conv2.weight", "conv2")), "a constant first, and then results"),
        (add(("Cast", "gradient.dense.relu.positive")), "does not convert to float32"),
        (doubling, "operators"),
        (attribute("Cast", "to", TensorProto.INT64), "does not convert to float32"),
        (attribute("Gemm", "alpha", -3.0, 1), "alpha"),
        (attribute("SpaceToDepth", "blocksize", 3), "blocks"),
        (attribute("SpaceToDepth", "blocksize", 2), "cannot|constants"),
        (attribute("Transpose", "perm", [1, 0, 3, 2]), "swap the channels"),
        (attribute("Conv", "pads", [0, 0, 0, 1], 3), "pads"),
        (attribute("Conv", "group", 64, 3), "group"),
        (attribute("Greater", "more", 1), "attributes"),
        (constant("gradient.flip.2.starts", [-1, 0], np.int64), "reverse the rows and columns"),
        (constant("gradient.flip.2.steps", [-1] * 1_000_000, np.int64), "short vector"),
        (constant("gradient.zero", [0] * 9, np.float32), "its constants"),
        (constant("gradient.black", 0, np.int8), "its constants"),
        (takes("Conv", 1, "conv2.weight", 2), "its constants"),  # that of the forward pass
        (takes("Gemm", 1, "dense.bias", 1), "2 dimensions"),
        (takes("Sub", 1, "image"), "different types or shapes"),
    ],
)
def test_a_graph_with_one_error_is_refused_immediately(change, message):
    started = time.process_time()
    with pytest.raises(BundleError, match=f"gradient.*({message})"):
        check(change)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08" * 999, MODEL.SerializeToString()[:-9]])
def test_a_file_that_is_no_graph_is_refused(content):
    with pytest.raises(BundleError, match="gradient is not an ONNX graph"):
        with_weights(content, DECODER, "gradient")


def test_a_megabyte_of_small_fields_is_refused_immediately():
    started = time.process_time()
    with pytest.raises(BundleError, match="more than 20000 fields"):
        with_weights(b"\x08\x08" * (1 << 19), DECODER, "gradient")
    assert time.process_time() - started < 0.5


def test_a_codec_and_a_reader_of_all_files_refuse_it(tmp_path, images):
    add_gradient(DEFAULT_BUNDLE, tmp_path, lambda model: attribute("Gemm", "alpha", -3.0, 1)(model.graph))
    with pytest.raises(BundleError, match=rf"{GRADIENT_NAME}: operator .* is refused: its attribute 'alpha'"):
        read_bundle(tmp_path)
    codec = Codec(tmp_path)
    codec.compress(images[0])
    with pytest.raises(BundleError, match=rf"{GRADIENT_NAME}: operator .* is refused"):
        codec._graphs.error_gradient(codec.encode(images[:1]), images[:1])
