"""Decoders that an attacker would put into a bundle: each needs more memory or time than its images do.

All have the ports of a decoder of the default bundle. Hashes do not stop them, because the maker of a bundle
writes its hashes too. Needs the `onnx` package.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from fuzz.onnx_chains import (
    OPSETS,
    OWN_OPSET,
    POOL,
    RELU,
    SIDE,
    Call,
    chain,
    conv,
    decoder_constants,
    decoder_nodes,
    gemm,
    harmless_decoder,
    model,
    reshape,
    resize,
    tensor,
)


def hostile_decoders() -> dict[str, Callable[[], bytes]]:
    """Return functions by name that make serialised graphs, "latent" (n, 64) -> "image" (n, 1, 28, 28)."""
    return {
        # Operators that our graphs do not use
        "constant of shape": _gigabytes("ConstantOfShape", ([1 << 30], np.int64)),
        "range": _gigabytes("Range", (0, np.int64), (1 << 30, np.int64), (1, np.int64)),
        "expand": _gigabytes("Expand", ([0], np.float32), ([1 << 30], np.int64)),
        "tile": _gigabytes("Tile", ([0], np.float32), ([1 << 30], np.int64)),
        "pad": _gigabytes("Pad", ([0], np.float32), ([0, 1 << 30], np.int64)),
        "one hot": _gigabytes("OneHot", ([0], np.int64), (1 << 30, np.int64), ([0, 1], np.float32)),
        "eye": _gigabytes("EyeLike", (np.zeros((1, 1 << 20)), np.int8)),
        "random": lambda: model(
            [helper.make_node("RandomNormal", [], ["n0"], shape=[1 << 30]), *_ending("n0")], decoder_constants()
        ),
        "einsum": lambda: chain(("Einsum", [], {"equation": "ab,cd->acbd"})),
        "concat that doubles": lambda: model(
            [*_doublings("Concat", axis=1), *_ending("n29")], decoder_constants()
        ),
        "sum of all": lambda: model([*_doublings("Sum"), *_ending("n29")], decoder_constants()),
        "unknown": lambda: chain(("NoSuchOperator", [], {})),
        "of another domain": lambda: chain(("FusedGemm", [(np.zeros((64, 784)), np.float32)], {"domain": "own"})),
        "microsoft's": lambda: chain(("BifurcationDetector", [], {"domain": "com.microsoft"})),
        # Nested graphs
        "loop without end": lambda: model([_loop(), *_ending("n0")], decoder_constants()),
        "if": lambda: model([_if(), *_ending("n0")], decoder_constants()),
        "local function": _local_function,
        "functions that double": _functions_that_double,
        "training": _training,
        # Tensors
        "initialisers": lambda: model(
            decoder_nodes(), [*decoder_constants(), *(tensor(f"i{k}", 0, np.float32) for k in range(100_000))]
        ),
        "sparse": _sparse,
        "external": _external,
        "dimensions without data": lambda: _with_tensor(dims=[1 << 20, 1 << 20]),
        "dimensions that overflow": lambda: _with_tensor(dims=[1 << 62, 1 << 62, 4]),
        "negative dimensions": lambda: _with_tensor(dims=[-64, -784]),
        "no dimensions": lambda: _with_tensor(dims=[0, 784]),
        "strings": lambda: _with_tensor(data_type=TensorProto.STRING),
        "numbers twice": lambda: _with_tensor(float_data=[1.0] * 50_000),
        # Neither operators nor tensors
        "shapes of results": lambda: _changed(
            lambda model: model.graph.value_info.append(
                helper.make_tensor_value_info("flat", TensorProto.FLOAT, [None] * 10_000)
            )
        ),
        "a long name": lambda: _changed(lambda model: setattr(model.graph.node[0], "name", "n" * 100_000)),
        "a long text": lambda: _changed(lambda model: setattr(model, "doc_string", "n" * 100_000)),
        "a constant for the input": lambda: model(
            decoder_nodes(), [*decoder_constants(), tensor("latent", np.zeros((1, 64)), np.float32)]
        ),
        "operators without a version": lambda: _changed(lambda model: model.opset_import.pop(0)),
        # Many nodes
        "10,000 nodes": lambda: chain(*[RELU] * 10_000),
        "two readers": lambda: model([*_nodes(*[RELU] * 8), *_nodes(*[RELU] * 8, prefix="m"), *_ending("n7")]),
        # Our operators, with other parameters
        "resize": lambda: chain(reshape(1, 8, 8), resize(1000)),
        "resize by less than nothing": lambda: chain(reshape(1, 8, 8), resize(-2)),
        "resize by not a number": lambda: chain(reshape(1, 8, 8), resize(np.nan)),
        "resize of the batch": lambda: chain(
            reshape(1, 8, 8), ("Resize", [None, ([1e6, 1, 1, 1], np.float32)], {"mode": "nearest"})
        ),
        "pads": lambda: chain(reshape(1, 8, 8), conv(1, 1, 3, pads=[10_000] * 4)),
        "dilations": lambda: chain(reshape(1, 8, 8), conv(1, 1, 3, pads=[9999] * 4, dilations=[9999] * 2)),
        "strides of a transposed one": lambda: chain(
            reshape(1, 8, 8), conv(1, 1, 3, "ConvTranspose", strides=[10_000] * 2)
        ),
        "output shape": lambda: chain(
            reshape(1, 8, 8), conv(1, 1, 3, "ConvTranspose", output_shape=[30_000] * 2, strides=[9999] * 2)
        ),
        "output padding": lambda: chain(
            reshape(1, 8, 8), conv(1, 1, 3, "ConvTranspose", output_padding=[30_000] * 2, strides=[9] * 2)
        ),
        "automatic pads": lambda: chain(reshape(1, 8, 8), conv(1, 1, 3, auto_pad="SAME_UPPER")),
        "groups": lambda: chain(reshape(64, 1, 1), conv(1, 64, 1, group=64)),
        "a giant kernel": lambda: chain(reshape(1, 8, 8), conv(1, 1, 2048, pads=[2047] * 4)),
        "kernels of another size": lambda: chain(reshape(1, 8, 8), conv(1, 1, 3, kernel_shape=[2000] * 2)),
        "products of the batch with itself": lambda: chain(
            ("Gemm", [(np.zeros((1, 1)), np.float32)], {"transA": 1})
        ),
        "a sum that broadcasts": lambda: chain(
            reshape(64, 1, 1), ("Sub", [(np.zeros((1, 1, 4096, 1)), np.float32)], {})
        ),
        "a product that broadcasts": lambda: chain(
            reshape(64, 1, 1), ("Mul", [(np.zeros((4096, 1, 1, 1, 1, 1)), np.float32)], {})
        ),
        "the batch as channels": lambda: chain(("Reshape", [([1, -1, 8, 8], np.int64)], {})),
        "a transposed batch": lambda: chain(("Transpose", [], {"perm": [1, 0]})),
        "flattened to one": lambda: chain(("Flatten", [], {"axis": 0})),
        "a pool with a giant window": lambda: chain(
            reshape(1, 8, 8), ("MaxPool", [], {"kernel_shape": [8000] * 2, "pads": [7999] * 4})
        ),
        "a block without end": lambda: chain(reshape(64, 1, 1), ("DepthToSpace", [], {"blocksize": 1 << 40})),
        "a block of none": lambda: chain(reshape(64, 1, 1), ("DepthToSpace", [], {"blocksize": 0})),
        "a slice of more": lambda: chain(
            reshape(1, 8, 8),
            ("Slice", [([-(1 << 62)], np.int64), ([1 << 62], np.int64), ([0], np.int64), ([1], np.int64)], {}),
        ),
        "a cast to strings": lambda: chain(("Cast", [], {"to": TensorProto.STRING})),
        "a cast to complex numbers": lambda: chain(("Cast", [], {"to": TensorProto.COMPLEX128})),
        # Images of the right size whose needs are just over a limit
        "values": lambda: chain(gemm(64, 49), reshape(1, 7, 7), *[resize(2)] * 7, *[POOL] * 5),
        "many values": lambda: chain(gemm(64, 49), reshape(1, 7, 7), *[resize(2)] * 5, *[RELU] * 99, *[POOL] * 3),
        "multiply-adds": lambda: chain(
            gemm(64, 49),
            reshape(1, 7, 7),
            *[conv(1, 256, 1), resize(2), resize(2)],
            *[conv(256, 256, 3, pads=[1] * 4), conv(256, 1, 1)],
        ),
        "weights": lambda: chain(gemm(64, 2048), gemm(2048, 2048), gemm(2048, 784), reshape(1, SIDE, SIDE)),
        "operators": lambda: chain(*[RELU] * 300, gemm(64, 784), reshape(1, SIDE, SIDE)),
    }


def _nodes(*calls: Call, prefix: str = "n") -> list[NodeProto]:
    """Return a chain of nodes that starts from "latent". Node k returns "n<k>" and has no constants."""
    names = ["latent", *(f"{prefix}{k}" for k in range(len(calls)))]
    return [
        helper.make_node(op, [before], [after], **attributes)
        for (op, _, attributes), (before, after) in zip(calls, pairwise(names), strict=True)
    ]


def _ending(name: str) -> list[NodeProto]:
    """Return nodes that add the largest of some numbers to an image of the right shape."""
    return [
        *decoder_nodes("real"),
        helper.make_node("ReduceMax", [name], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["real", "cast"], ["image"]),
    ]


def heavy_decoders() -> dict[str, Callable[[], bytes]]:
    """Return functions by name that make accepted graphs whose needs are just under a limit."""
    wide = (gemm(64, 49), reshape(1, 7, 7), conv(1, 112, 1), resize(2), resize(2))
    convolutions = [conv(112, 112, 3, pads=[1] * 4), conv(112, 64, 3, pads=[1] * 4), conv(64, 1, 1)]
    transposed = [conv(112, 112, 3, "ConvTranspose", pads=[1] * 4), conv(112, 64, 3, pads=[1] * 4), conv(64, 1, 1)]
    return {
        "multiply-adds": lambda: chain(*wide, *convolutions),
        "transposed": lambda: chain(*wide, *transposed),
        "values": lambda: chain(*wide, *[("Floor", [], {})] * 4, conv(112, 1, 1)),
        "weights": lambda: chain(gemm(64, 2040), gemm(2040, 1500), gemm(1500, 784), reshape(1, SIDE, SIDE)),
        "operators": lambda: chain(*[RELU] * 250, gemm(64, 784), reshape(1, SIDE, SIDE)),
    }


def _gigabytes(op: str, *constants: tuple[ArrayLike, DTypeLike]) -> Callable[[], bytes]:
    """Return a function that makes a graph in which `op` turns its constants into a billion numbers."""
    names = [f"c{k}" for k in range(len(constants))]

    def make() -> bytes:
        tensors = [tensor(name, *constant) for name, constant in zip(names, constants, strict=True)]
        return model([helper.make_node(op, names, ["n0"]), *_ending("n0")], [*tensors, *decoder_constants()])

    return make


def _doublings(op: str, **attributes: Any) -> list[NodeProto]:
    names = ["latent", *(f"n{k}" for k in range(30))]
    return [helper.make_node(op, [before, before], [after], **attributes) for before, after in pairwise(names)]


def _scalar(name: str, kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [])


def _loop() -> NodeProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [_scalar("i", TensorProto.INT64), _scalar("go", TensorProto.BOOL), _scalar("x", TensorProto.FLOAT)],
        [_scalar("on", TensorProto.BOOL), _scalar("y", TensorProto.FLOAT)],
    )
    return helper.make_node("Loop", ["", "", "latent"], ["n0"], body=body)


def _if() -> NodeProto:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["latent"], ["y"])], "branch", [], [_scalar("y", TensorProto.FLOAT)]
    )
    return helper.make_node("If", ["latent"], ["n0"], then_branch=branch, else_branch=branch)


def _function(name: str, *nodes: NodeProto) -> onnx.FunctionProto:
    return helper.make_function("own", name, ["x"], ["y"], list(nodes), [*OPSETS, OWN_OPSET])


def _local_function() -> bytes:
    function = _function("f", helper.make_node("Relu", ["x"], ["y"]))
    return model(
        [helper.make_node("f", ["latent"], ["n0"], domain="own"), *_ending("n0")], decoder_constants(), [function]
    )


def _functions_that_double() -> bytes:
    """Return thirty functions that each call the previous one twice: a billion nodes when they are inlined."""
    functions = [_function("f0", helper.make_node("Relu", ["x"], ["y"]))]
    for k in range(30):
        calls = (helper.make_node(f"f{k}", [a], [b], domain="own") for a, b in (("x", "z"), ("z", "y")))
        functions.append(_function(f"f{k + 1}", *calls))
    return model(
        [helper.make_node("f30", ["latent"], ["n0"], domain="own"), *_ending("n0")],
        decoder_constants(),
        functions,
    )


def _changed(change: Callable[[ModelProto], object]) -> bytes:
    model = onnx.load_from_string(harmless_decoder())
    change(model)
    return model.SerializeToString()


def _training() -> bytes:
    graph: GraphProto = onnx.load_from_string(harmless_decoder()).graph
    return _changed(lambda model: model.training_info.add().algorithm.CopyFrom(graph))


def _sparse() -> bytes:
    values, indices = tensor("w", [1.0], np.float32), tensor("i", [1 << 29], np.int64)
    sparse = helper.make_sparse_tensor(values, indices, [1 << 30])
    return _changed(lambda model: model.graph.sparse_initializer.append(sparse))


def _external() -> bytes:
    def move(model: ModelProto) -> None:
        tensor = model.graph.initializer[0]
        onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
        tensor.ClearField("raw_data")

    return _changed(move)


def _with_tensor(**fields: Any) -> bytes:
    """Return the harmless decoder with other values in some fields of its weights."""

    def change(model: ModelProto) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            if isinstance(value, list):
                tensor.ClearField(name)
                getattr(tensor, name).extend(value)
            else:
                setattr(tensor, name, value)

    return _changed(change)
