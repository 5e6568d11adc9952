"""A call with any number of images takes little memory in addition to its arguments and its result."""

import os
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from fmae_edge.model.config import default_config
from fmae_edge.runtime.bundle.built_in import built_in_names
from fmae_edge.runtime.bundle.manifest import FileEntry
from fmae_edge.runtime.engine.graphs import PRECISIONS
from tests.manifest_changes import rewrite

# Measures Linux's peak of resident memory, which is reset before each call
_MEASURE = """
import ctypes, sys
from collections import deque
from pathlib import Path
import numpy as np
from fmae_edge import Codec

trim = getattr(ctypes.CDLL(None), "malloc_trim", int)  # else memory that was freed before is reused unnoticed

def kilobytes(name):
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0])

def extra(call):
    trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    result = call()
    in_addition = kilobytes("VmHWM") - before
    return result, in_addition / 1024

def report(name, call, result_bytes):
    result, in_addition = extra(call)
    print(name, in_addition - result_bytes(result) / 2**20)
    return result

def array_bytes(array):
    return array.nbytes

codec = Codec(sys.argv[1], precision=sys.argv[2], threads=1)
count = int(sys.argv[3])
shape = codec.manifest.image_shape
different = min(count, 500)
images = np.random.default_rng(0).integers(0, 256, (different, *shape), dtype=np.uint8)
images = images.repeat(count // different, axis=0)
codec.decompress(codec.compress_batch(images[:500]))  # loads the graphs, the prior and numpy's own
codec.decode(codec.encode(images[:500], "int8"))
codec.compress(images[0], effort=1)
"""
# Shows what the codec keeps per image
_MANY = """
latents = report("encode", lambda: codec.encode(images, "int8"), array_bytes)
decoded = report("decode", lambda: codec.decode(latents), array_bytes)
several = list(images)
report("encode-list", lambda: codec.encode(several, "int8"), array_bytes)
report("encode-deque", lambda: codec.encode(deque(several), "int8"), array_bytes)
del decoded, several
several = list(latents)
report("decode-list", lambda: codec.decode(several), array_bytes)
del several, latents
reals = codec.encode(images)
report("decode-float32", lambda: codec.decode(reals), array_bytes)
del reals
content = report("compress_batch", lambda: codec.compress_batch(images, 2), len)
report("max_bytes", lambda: codec.compress_batch(images, max_bytes=len(content)), len)
report("decompress", lambda: codec.decompress(content), array_bytes)
symbols = report("symbols", lambda: codec.symbols(content), array_bytes)
report("decode-symbols", lambda: codec.decode(symbols, 2), array_bytes)
del symbols
content = codec.compress_batch(images, 1, names=[f"{number:07}" for number in range(count)])
report("decompress-index", lambda: codec.decompress(content, 0), array_bytes)
"""
# Shows what the graphs and the parts of a call take
_LARGE = """
reals = images / 255
few = list(reals[: 50 if images[0].size < 1000 else 1])
content = codec.compress_batch(images, 2)
for name, some in (("uint8", images), ("list", list(images)), ("float64-list", list(reals))):
    report(f"encode-{name}", lambda: codec.encode(some), array_bytes)
    report(f"compress_batch-{name}", lambda: codec.compress_batch(some), len)
if sys.argv[2] == "int8":  # the search is slow, and its memory does not depend on the graphs
    report("max_bytes", lambda: codec.compress_batch(some, max_bytes=len(content)), len)
    report("effort", lambda: codec.compress_batch(few, effort=1), len)
    if images[0].size < 1000:
        report("packets", lambda: codec.packets.compress(images, 1024, max_bytes=1000), lambda packets: 0)
latents = codec.encode(images)
report("decode", lambda: codec.decode(latents), array_bytes)
report("decompress", lambda: codec.decompress(content), array_bytes)
symbols = report("symbols", lambda: codec.symbols(content), array_bytes)
report("decode-symbols", lambda: codec.decode(symbols, 2), array_bytes)
"""
# glibc keeps up to 64 MB that was freed, more or less of it in each process. With a fixed threshold it keeps
# little, so that what the codec needs can be measured
_KEEP_LITTLE = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def graph(nodes, takes, gives, constants):
    made = helper.make_model(
        helper.make_graph(nodes, "g", [takes], [gives], constants), opset_imports=[helper.make_opsetid("", 18)]
    )
    made.ir_version = 9
    return made.SerializeToString()


def fast_graphs():
    """An encoder and a decoder that take no time: one matrix each."""
    weights = np.random.default_rng(0).normal(0, 1e-4, (784, 64)).astype(np.float32)
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 1, 28, 28])
    latent = helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["n", 64])
    encoder = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["real", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["latent"]),
    ]
    decoder = [
        helper.make_node("Gemm", ["latent", "weights", "bias"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], ["gray"]),
        helper.make_node("Cast", ["gray"], ["level"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["level", "shape"], ["image"]),
    ]
    return {
        "encoder.onnx": graph(
            encoder,
            image,
            latent,
            [
                constant("shape", np.array([-1, 784])),
                constant("weights", weights),
                constant("bias", np.zeros(64, np.float32)),
            ],
        ),
        "decoder.onnx": graph(
            decoder,
            latent,
            image,
            [
                constant("shape", np.array([-1, 1, 28, 28])),
                constant("weights", weights.T),
                constant("bias", np.zeros(784, np.float32)),
            ],
        ),
    }


def megabytes_beside(calls, bundle, precision, count, **environment):
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE + calls, bundle, precision, str(count)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {call: float(megabytes) for call, megabytes in map(str.split, done.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's count of memory")
def test_memory_apart_from_input_and_result_does_not_grow_with_the_number_of_images(bundle):
    graphs = fast_graphs()
    for name, content in graphs.items():
        (bundle / name).write_bytes(content)
    entries = {name: FileEntry.of(content) for name, content in graphs.items()}
    rewrite(bundle, lambda content: content["files"].update({n: entry._asdict() for n, entry in entries.items()}))
    measured = megabytes_beside(_MANY, bundle, "int8", 40_000)
    assert len(measured) == 12
    for call, megabytes in measured.items():
        assert -2 < megabytes < 18, (call, megabytes)  # 40,000 latents would be 10 more, their symbols 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's count of memory")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bundle", built_in_names())
def test_the_shipped_graphs_take_less_than_32_megabytes(bundle, precision):
    measured = megabytes_beside(_LARGE, bundle, precision, 500, **_KEEP_LITTLE)
    assert len(measured) == (13 if precision == "int8" else 10)
    for call, megabytes in measured.items():
        assert -2 < megabytes < 32, (call, megabytes)


@pytest.fixture(scope="module")
def large_bundle(tmp_path_factory):
    """A bundle of the default model for the largest images that there are."""
    pytest.importorskip("torch")
    from tests.random_bundle import make_large_bundle

    folder = tmp_path_factory.mktemp("large")
    make_large_bundle(folder, default_config(256, 256, 3))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's count of memory")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_for_256x256_rgb_take_less_than_32_megabytes(large_bundle, precision):
    """16 images are 3 MB, and the widest activations of all at once would be 134 MB."""
    measured = megabytes_beside(_LARGE, large_bundle, precision, 16, **_KEEP_LITTLE)
    assert len(measured) == (12 if precision == "int8" else 10)
    for call, megabytes in measured.items():
        assert -2 < megabytes < 32, (call, megabytes)
