"""Write ONNX graphs node by node, in a form that onnxruntime 1.20 and later can read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import helper, numpy_helper

OPSET = 18
# IR version of ONNX 1.16. onnxruntime 1.20, the oldest supported version, can read it.
IR_VERSION = 10
MICROSOFT = "com.microsoft"  # the domain of onnxruntime's own operators

Port = tuple[str, DTypeLike, tuple[int, ...]]  # name, dtype, shape of one image


class GraphBuilder:
    """A graph with one input, whose first dimension is the batch of any size; `value` names the newest result."""

    def __init__(self, takes: Port) -> None:
        self._takes = takes
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self.value = takes[0]

    def constant(self, name: str, value: ArrayLike, dtype: DTypeLike) -> str:
        """Add a constant `name` unless it exists, and return the name."""
        self._constants[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name

    def node(self, op: str, name: str, *inputs: str, domain: str = "", **attributes: Any) -> None:
        """Add an operator on the newest result and `inputs`; its output `name` becomes the newest result."""
        self._nodes.append(
            helper.make_node(op, [self.value, *inputs], [name], name=name, domain=domain, **attributes)
        )
        self.value = name

    def reshape(self, name: str, shape: tuple[int, ...]) -> None:
        """Reshape each image to `shape`."""
        self.node("Reshape", name, self.constant(f"{name}.shape", [-1, *shape], np.int64))

    def slice(self, name: str, starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...]) -> None:
        """Keep the part from `starts` to before `ends` of these axes; axis 0 is the batch."""
        bounds = {"starts": starts, "ends": ends, "axes": axes}
        self.node("Slice", name, *(self.constant(f"{name}.{part}", at, np.int64) for part, at in bounds.items()))

    def finish(self, gives: Port) -> onnx.ModelProto:
        """Return the checked model; its output is the newest result, with the name, dtype and shape of `gives`."""
        self._nodes[-1].output[0] = gives[0]
        return checked_model(self._nodes, [self._takes], [gives], list(self._constants.values()))


def checked_model(
    nodes: Sequence[onnx.NodeProto],
    takes: Sequence[Port],
    gives: Sequence[Port],
    constants: Sequence[onnx.TensorProto],
    weights: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """Return the model of a graph with these inputs and outputs, after ONNX's own check.

    `weights` are tensors that the graph takes as further inputs, without a batch.
    """
    inputs, outputs = ([_port(*port) for port in ports] for ports in (takes, gives))
    inputs += [helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims) for weight in weights]
    graph = helper.make_graph(nodes, "fmae", inputs, outputs, constants)
    domains = sorted({node.domain for node in nodes} - {""})
    opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fmae-edge")
    onnx.checker.check_model(model, full_check=True)
    return model


def _port(name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["batch", *shape])
