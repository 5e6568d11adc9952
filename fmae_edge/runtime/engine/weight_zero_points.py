"""Choose the zero points of int8 weights by the CPU, so that onnxruntime takes its faster kernels.

onnxruntime has special kernels for convolutions whose weights have the zero point 0. With another one it
multiplies matrices, which is faster for the dense layers of decoders, and for encoders if the CPU has AMX.
Subtracting 1 from the weights and from their zero point changes no result if sums have 32 bits, as on CPUs with
VNNI or AMX.
`python benchmarks/weight_zero_points.py` measures both.
"""

from collections import Counter
from collections.abc import Collection

import numpy as np

from fmae_edge.runtime.bundle.onnx_file import MICROSOFT, read_graph

_AMX = {"amx_int8"}
_VNNI_OR_AMX = {"avx_vnni", "avx512_vnni"} | _AMX
_LOWEST = -128


def with_fast_zero_points(model: bytes, is_encoder: bool, dot_products: Collection[str]) -> bytes:
    """Return a checked graph with the zero points for a CPU that has these `dot_products`, named as in `cpus`."""
    if not (_AMX if is_encoder else _VNNI_OR_AMX).intersection(dot_products):
        return model
    changed = bytearray(model)
    graph = read_graph(changed)
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    for node in graph.nodes:
        if node.operator != f"{MICROSOFT}.QLinearConv":
            continue
        names = node.inputs[3], node.inputs[5]  # weights and their zero points
        if is_encoder or graph.constants[names[0]].shape[2:] == (1, 1):  # 1x1 is a dense layer
            weights, zero_points = (np.frombuffer(graph.constants[name].data, np.int8) for name in names)
            alone = all(readers[name] == 1 for name in names)  # another operator would read changed numbers
            if alone and min(weights.min(), zero_points.min()) > _LOWEST:
                weights -= 1
                zero_points -= 1
    return bytes(changed)
