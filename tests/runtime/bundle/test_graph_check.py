"""Graphs that need more memory or time than images of their size justify never reach onnxruntime."""

import shutil
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fmae_edge import BundleError
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.graph_check import check_graph, most_needs
from fmae_edge.runtime.bundle.manifest import GRAPH_NAMES, FileEntry
from fuzz.hostile_graphs import heavy_decoders, hostile_decoders
from fuzz.onnx_chains import LATENTS, SIDE, chain, harmless_decoder, reshape, resize

IMAGE, LATENT = ("image", (1, SIDE, SIDE)), ("latent", (LATENTS,))
MOST = most_needs(SIDE * SIDE, LATENTS)


def check(decoder, most=MOST):
    check_graph(decoder, "decoder.onnx", LATENT, IMAGE, most)


@pytest.mark.parametrize("name", hostile_decoders())
def test_hostile_graphs_are_refused_immediately(name):
    graph = hostile_decoders()[name]()
    started = time.process_time()
    with pytest.raises(BundleError, match=r"decoder\.onnx"):
        check(graph)
    assert time.process_time() - started < 0.5


def test_a_correct_graph_is_accepted():
    """So the graphs above are refused for their errors."""
    check(harmless_decoder())


@pytest.mark.parametrize("name", GRAPH_NAMES)
def test_the_shipped_graphs_need_at_most_a_quarter_of_the_limits(name):
    most = MOST._replace(**{name: most // 4 for name, most in MOST._asdict().items()})
    takes, gives = (IMAGE, LATENT) if name.startswith("encoder") else (LATENT, IMAGE)
    check_graph((DEFAULT_BUNDLE / name).read_bytes(), name, takes, gives, most)


@pytest.mark.parametrize("need", MOST._fields)
def test_every_limit_is_enforced(need):
    exactly = {
        "values_at_once": 16 * 784,
        "values": 17 * 784,
        "multiply_adds": 50176,
        "weights": 50964,
        "operators": 2,
    }
    check(harmless_decoder(), MOST._replace(**exactly))
    with pytest.raises(BundleError, match=f"decoder.onnx (needs|has) .*{need.replace('_', ' ')}"):
        check(harmless_decoder(), MOST._replace(**{need: exactly[need] - 1}))


@pytest.mark.parametrize("name", heavy_decoders())
def test_graphs_just_below_the_limits_are_accepted(name):
    check(heavy_decoders()[name]())


_DECODE = """
import sys, time
import numpy as np
from fmae_edge import Codec

codec = Codec(sys.argv[1], precision="fp32", threads=1)
started = time.process_time()
codec.decode(np.ones((128, 64), np.float32))
print((time.process_time() - started) / 128)
with open("/proc/self/status") as status:
    print(*(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads how much memory a process had at most")
@pytest.mark.parametrize("name", ["multiply-adds", "transposed", "values", "weights"])
def test_the_cost_of_an_accepted_graph_is_bounded(tmp_path, name):
    """The figures in docs/embedding.md: under 256 MB, and far under a second per image."""
    folder = tmp_path / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, folder)
    graph = heavy_decoders()[name]()
    (folder / "decoder.fp32.onnx").write_bytes(graph)
    manifest = read_bundle(DEFAULT_BUNDLE, only=()).manifest
    files = {**manifest.files, "decoder.fp32.onnx": FileEntry.of(graph)}
    (folder / "manifest.json").write_text(replace(manifest, files=files).to_json())
    done = subprocess.run([sys.executable, "-c", _DECODE, folder], capture_output=True, text=True, check=True)
    seconds, kilobytes = map(float, done.stdout.split())
    assert seconds < 0.1
    assert kilobytes < 256 * 1024


@pytest.mark.parametrize(
    "call",
    [
        ("Reshape", [([1] * 1_000_000, np.int64)], {}),
        ("Slice", [([0] * 1_000_000, np.int64)] * 4, {}),
        ("Resize", [None, ([1] * 1_000_000, np.float32)], resize(2)[2]),
    ],
    ids=lambda call: call[0],
)
def test_parameters_of_megabytes_are_refused_before_they_are_copied(call):
    graph = chain(reshape(1, 8, 8), call)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=call[0]):
            check(graph)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def changed(change):
    model = onnx.load_from_string(harmless_decoder())
    change(model.graph)
    return model.SerializeToString()


def second_input(graph):
    graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, ["n", 1]))


def other_constant(name, shape, dtype="float32"):
    def change(graph):
        (tensor,) = (one for one in graph.initializer if one.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.zeros(shape, dtype), name))

    return change


def unread_constant(graph):
    graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "more"))


def constant_input(graph):
    graph.initializer.append(numpy_helper.from_array(np.zeros((1, 64), np.float32), "latent"))


def set_width(graph):
    graph.input[0].type.tensor_type.shape.dim[1].dim_value = 65


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (second_input, "where the manifest needs"),
        (set_width, "where the manifest"),
        (
            constant_input,
            "a constant with the name of its input, 'latent'",
        ),  # else onnxruntime has no such operator
        (lambda graph: graph.node[0].input.__setitem__(2, "weight"), "its constants"),
        (lambda graph: graph.node[0].input.__setitem__(2, "nowhere"), "'nowhere' is missing"),
        (lambda graph: graph.node[0].output.append("more"), "and have one output"),
        (lambda graph: graph.node[1].output.__setitem__(0, "flat"), "its output name is already used"),
        (lambda graph: graph.node[1].output.__setitem__(0, "other"), "expected 'image'"),
        (lambda graph: graph.node.pop(), "no operator uses"),
        (lambda graph: graph.node.reverse(), "must take the result of the operator before it"),
        (other_constant("bias", (1,)), "its constants"),  # onnxruntime would read beyond its end
        (other_constant("bias", (784,), "int32"), "its constants"),
        (other_constant("weight", (64, 783)), "its constants"),
        (other_constant("shape", (4,), "int64"), "does not keep the batch"),
        (unread_constant, "no operator uses"),
        (lambda graph: graph.node[0].attribute.append(helper.make_attribute("alpha", 2.0)), "'alpha' is 2.0"),
    ],
)
def test_graphs_with_one_error_are_refused(change, message):
    with pytest.raises(BundleError, match=message):
        check(changed(change))
