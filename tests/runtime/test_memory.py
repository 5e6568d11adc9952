"""Any number of images in a call, and hardly more memory than they and the result take."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from fmae_edge.runtime.manifest import FileEntry
from tests.runtime.test_bundle import rewrite

# The peak of the resident memory is Linux's, set back before each call
_MEASURE = """
import ctypes, sys
from pathlib import Path
import numpy as np
from fmae_edge import Codec

trim = getattr(ctypes.CDLL(None), "malloc_trim", int)  # or memory that was freed before is used again unseen

def kilobytes(name):
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0])

def extra(call):
    trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    result = call()
    beside = kilobytes("VmHWM") - before
    return result, beside / 1024

codec = Codec(sys.argv[1], threads=1)
count = int(sys.argv[2])
images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), dtype=np.uint8).repeat(count // 1000, axis=0)
codec.decompress(codec.compress_batch(images[:2000]))
codec.decode(codec.encode(images[:2000], "int8"))
latents, beside = extra(lambda: codec.encode(images, "int8"))
print("encode", beside - latents.nbytes / 2**20)
decoded, beside = extra(lambda: codec.decode(latents))
print("decode", beside - decoded.nbytes / 2**20)
several = list(images)
latents, beside = extra(lambda: codec.encode(several, "int8"))
print("encode-list", beside - latents.nbytes / 2**20)
del decoded, several
several = list(latents)
decoded, beside = extra(lambda: codec.decode(several))
print("decode-list", beside - decoded.nbytes / 2**20)
del decoded, several, latents
reals = codec.encode(images)
decoded, beside = extra(lambda: codec.decode(reals))
print("decode-float32", beside - decoded.nbytes / 2**20)
del decoded, reals
content, beside = extra(lambda: codec.compress_batch(images, max_bytes=30 * count))
print("max_bytes", beside - len(content) / 2**20)
content, beside = extra(lambda: codec.compress_batch(images, 1))
print("compress_batch", beside - len(content) / 2**20)
decoded, beside = extra(lambda: codec.decompress(content))
print("decompress", beside - decoded.nbytes / 2**20)
del decoded
symbols, beside = extra(lambda: codec.symbols(content))
print("symbols", beside - symbols.nbytes / 2**20)
"""


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


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's count of memory")
def test_a_hundred_thousand_images_need_less_than_32_megabytes_beside_input_and_result(bundle):
    graphs = fast_graphs()
    for name, content in graphs.items():
        (bundle / name).write_bytes(content)
    entries = {name: FileEntry.of(content) for name, content in graphs.items()}
    rewrite(bundle, lambda content: content["files"].update({n: vars(entry) for n, entry in entries.items()}))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, bundle, "100000"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = [line.split() for line in done.stdout.splitlines()]
    assert len(measured) == 9
    for call, megabytes in measured:
        assert -2 < float(megabytes) < 32, (call, megabytes)
