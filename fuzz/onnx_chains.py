"""Make ONNX graphs that are chains of operators, with the ports of the default decoder. Needs `onnx`."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import NodeProto, TensorProto, helper, numpy_helper

LATENTS, SIDE = 64, 28
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
OWN_OPSET = helper.make_opsetid("own", 1)

Call = tuple[str, Sequence[tuple[ArrayLike, DTypeLike] | None], dict[str, Any]]  # operator, constants, attributes

RELU: Call = ("Relu", [], {})
POOL: Call = ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]})


def tensor(name: str, value: ArrayLike, dtype: DTypeLike) -> TensorProto:
    """Return a constant."""
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def model(
    nodes: Iterable[NodeProto], constants: Iterable[TensorProto] = (), functions: Iterable[onnx.FunctionProto] = ()
) -> bytes:
    """Return a serialised graph, "latent" (n, 64) -> "image" (n, 1, 28, 28), without checking it."""
    latent = helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["n", LATENTS])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])
    graph = helper.make_graph(list(nodes), "g", [latent], [image], list(constants))
    own = any(node.domain == "own" for node in graph.node)
    opsets = [*OPSETS, OWN_OPSET] if own else OPSETS
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)
    return model.SerializeToString()


def chain(*calls: Call) -> bytes:
    """Return a graph with a chain of operators. Each takes the previous result and its own constants."""
    nodes, constants, value = [], [], "latent"
    for k, (op, given, attributes) in enumerate(calls):
        names = [value]
        for number, constant in enumerate(given):
            names.append("" if constant is None else f"n{k}.{number}")
            if constant is not None:
                constants.append(tensor(names[-1], *constant))
        value = "image" if k == len(calls) - 1 else f"n{k}"
        nodes.append(helper.make_node(op, names, [value], name=f"n{k}", **attributes))
    return model(nodes, constants)


def reshape(*shape: int) -> Call:
    """Give each image a shape."""
    return "Reshape", [([-1, *shape], np.int64)], {}


def resize(scale: float) -> Call:
    """Repeat pixels."""
    modes = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    return "Resize", [None, ([1, 1, scale, scale], np.float32)], modes


def gemm(before: int, after: int) -> Call:
    """Multiply by a matrix of zeros."""
    return "Gemm", [(np.zeros((before, after)), np.float32), (np.zeros(after), np.float32)], {}


def conv(before: int, after: int, side: int, op: str = "Conv", **attributes: Any) -> Call:
    """Convolve `before` channels with zeros to `after`."""
    first, second = (after, before) if op == "Conv" else (before, after)
    kernel = (np.zeros((first, second, side, side)), np.float32)
    return op, [kernel, (np.zeros(after), np.float32)], {"kernel_shape": [side, side], **attributes}


def decoder_nodes(name: str = "image") -> list[NodeProto]:
    """Return a decoder of one layer."""
    return [
        helper.make_node("Gemm", ["latent", "weight", "bias"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], [name]),
    ]


def decoder_constants() -> list[TensorProto]:
    """Return the constants of that decoder."""
    weight, bias = np.zeros((LATENTS, SIDE**2)), np.zeros(SIDE**2)
    shape = tensor("shape", [-1, 1, SIDE, SIDE], np.int64)
    return [tensor("weight", weight, np.float32), tensor("bias", bias, np.float32), shape]


def harmless_decoder() -> bytes:
    """Return a valid decoder of one layer."""
    return model(decoder_nodes(), decoder_constants())
