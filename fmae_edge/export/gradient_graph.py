"""Write the vector-Jacobian product of a float decoder, by which an encoder searches for better latents.

The graph continues that of the decoder: after the decoded pixels, the operators of the decoder follow in reverse
order, each as the product with its transposed Jacobian. The file has no weights of its own. They are inputs, with
the names that they have as constants of `decoder.fp32.onnx`, and the runtime puts those constants in their place.
So a bundle stores them once, and both graphs compute the same pixels.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import TensorProto, helper, numpy_helper, shape_inference

from fmae_edge.export.graph_builder import checked_model

_LATENT, _IMAGE, _PIXELS, _GRADIENT = "latent", "image", "pixels", "gradient"


def gradient_graph(decoder: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph of pixels and gradients of `decoder`, which `float_graph` wrote.

    It takes "latent" (batch, latent_size), "image" (batch, channels, height, width) of levels 0 to 255, and the
    float32 constants of the decoder. It gives "pixels", float32 in [0, 1], as the decoder does, and "gradient"
    (batch, latent_size), the gradient of sum((pixels - image / 255)^2) of each image with respect to its latent.
    """
    backward = _Backward(decoder)
    backward.error()
    for node in reversed(decoder.graph.node):
        backward.through(node)
    return backward.finish()


class _Backward:
    """Nodes and constants of the graph so far; `value` names the newest gradient."""

    def __init__(self, decoder: onnx.ModelProto) -> None:
        self._graph = shape_inference.infer_shapes(decoder).graph
        results = (*self._graph.input, *self._graph.value_info, *self._graph.output)
        self._shapes = {result.name: _dimensions(result)[1:] for result in results}
        self._nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self._graph.node]
        self._nodes[-1].output[0] = _PIXELS
        self._constants: dict[str, onnx.TensorProto] = {}
        self._masked: str | None = None
        self.value = _PIXELS

    def error(self) -> None:
        """Add half of the gradient of the squared error with respect to the pixels."""
        scale = self._constant("level", 1 / 255, np.float32)
        target = self._node("DequantizeLinear", "target", _IMAGE, scale, self._constant("black", 0, np.uint8))
        self.value = self._node("Sub", "error", _PIXELS, target)

    def through(self, node: onnx.NodeProto) -> None:
        """Multiply the newest gradient by the transposed Jacobian of one operator of the decoder."""
        name = f"{_GRADIENT}.{node.name}"
        before, *weights = node.input
        match node.op_type:
            case "Sigmoid":
                # s' = s (1 - s); here it is s (s - 1), which is as exact near 1, and `Gemm` changes the sign
                minus = self._node("Sub", f"{name}.minus", _PIXELS, self._constant("one", 1, np.float32))
                slope = self._node("Mul", f"{name}.slope", _PIXELS, minus)
                self.value = self._node("Mul", name, self.value, slope)
            case "Slice":
                self._pad(name, node)
            case "DepthToSpace":
                self.value = self._node("SpaceToDepth", name, self.value, blocksize=_attributes(node)["blocksize"])
            case "Mul":
                # The mask of `upsample_twice` follows a ReLU: its result is positive where both have the slope 1
                self._masked = node.output[0]
            case "Relu":
                positive = self._node(
                    "Greater",
                    f"{name}.positive",
                    self._masked or node.output[0],
                    self._constant("zero", 0, np.float32),
                )
                slope = self._node("Cast", f"{name}.slope", positive, to=TensorProto.FLOAT)
                self.value = self._node("Mul", name, self.value, slope)
                self._masked = None
            case "Conv":
                self._transposed_conv(name, weights[0], _attributes(node))
            case "Reshape":
                self.value = self._node("Flatten", name, self.value)
            case "Gemm":
                # -2: of the square, with the sign of the sigmoid's slope
                self.value = self._node("Gemm", _GRADIENT, self.value, weights[0], transB=1, alpha=-2.0)
            case _:
                raise ValueError(f"{before}: the gradient of {node.op_type} is not known")

    def finish(self) -> onnx.ModelProto:
        """Return the checked model."""
        latent, pixels = (self._shapes[port.name] for port in (self._graph.input[0], self._graph.output[0]))
        weights = [tensor for tensor in self._graph.initializer if tensor.data_type == TensorProto.FLOAT]
        shapes = [tensor for tensor in self._graph.initializer if tensor.data_type != TensorProto.FLOAT]
        return checked_model(
            self._nodes,
            [(_LATENT, np.float32, latent), (_IMAGE, np.uint8, pixels)],
            [(_PIXELS, np.float32, pixels), (_GRADIENT, np.float32, latent)],
            [*shapes, *self._constants.values()],
            weights,
        )

    def _transposed_conv(self, name: str, kernel: str, attributes: dict[str, Any]) -> None:
        """Convolve with the transposed and flipped kernel, which onnxruntime computes when it loads the graph.

        ConvTranspose with the kernel of the decoder is the same function, and slower.
        """
        taps, pad = attributes["kernel_shape"], attributes["pads"][0]
        swapped = self._node("Transpose", f"{name}.swapped", kernel, perm=[1, 0, 2, 3])
        bounds = {"starts": [-1, -1], "ends": [-1 - tap for tap in taps], "axes": [2, 3], "steps": [-1, -1]}
        flipped = self._node(
            "Slice",
            f"{name}.flipped",
            swapped,
            *(self._constant(f"flip.{taps[0]}.{part}", at, np.int64) for part, at in bounds.items()),
        )
        pads = [taps[0] - 1 - pad] * 4
        self.value = self._node("Conv", name, self.value, flipped, kernel_shape=taps, pads=pads)

    def _pad(self, name: str, cut: onnx.NodeProto) -> None:
        """Add zeros where a Slice of rows and columns removed pixels."""
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self._graph.initializer}
        starts, ends, axes = (constants[part].tolist() for part in cut.input[1:4])
        shape = self._shapes[cut.input[0]]
        pads = np.zeros((2, len(shape) + 1), np.int64)
        for start, end, axis in zip(starts, ends, axes, strict=True):
            kept = range(shape[axis - 1])[start:end]
            pads[:, axis] = kept.start, shape[axis - 1] - kept.stop
        where = self._constant(f"{name}.pads", pads.flatten(), np.int64)
        self.value = self._node("Pad", name, self.value, where, mode="constant")

    def _node(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, name: str, value: ArrayLike, dtype: DTypeLike) -> str:
        name = f"{_GRADIENT}.{name}"
        self._constants[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _dimensions(result: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dimension.dim_value for dimension in result.type.tensor_type.shape.dim)
