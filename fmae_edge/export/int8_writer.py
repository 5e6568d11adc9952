"""Write the layers of int8 networks as operators that onnxruntime runs, channels last.

Float layers among them, and the layers between two of those, are written in float32.
"""

import math
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import DTypeLike
from onnx import helper
from torch import Tensor

from fmae_edge.export.graph_builder import MICROSOFT, GraphBuilder, Port
from fmae_edge.export.int8_layers import FloatLayer, Int8Layer, Int8Sigmoid, Int8Step, Quantiser, RealSigmoid
from fmae_edge.export.layers import (
    Conv,
    Crop,
    Dense,
    DepthToSpace,
    Flatten,
    Keep,
    Mask,
    MaxPool,
    PadEdges,
    Unflatten,
    Upsample,
)

PIXELS = Quantiser(1 / 255, 0, 0, 255)  # an 8-bit image, unchanged


class Int8Writer:
    """The graph so far. `shape` is that of one image; a Reshape is written when the next operator needs it.

    Channels are last, except between a float convolution and the next layer that is not pooling or upsampling.
    """

    def __init__(self, takes: Port, shape: tuple[int, ...]) -> None:
        self._graph = GraphBuilder(takes)
        self._written = self.shape = shape
        self._current: Quantiser | None = PIXELS  # of the newest result; None for real numbers
        self._float: str | None = None  # the float layer before, whose results are not in their final form yet
        self._count = 0

    def add(self, step: Int8Step) -> None:
        """Write one step. Raises ValueError for a layer without a form in int8."""
        upsamples_reals = isinstance(step, Upsample) and self._current is None
        if not isinstance(step, MaxPool) and not upsamples_reals:
            self._leave_float()
        self._count += 1
        name = f"{type(step).__name__.lower()}{self._count}"
        match step:
            case Int8Layer():
                self._int8_layer(step)
            case FloatLayer():
                self._float_layer(step)
            case Int8Sigmoid():
                ports = [*self._quantiser("logits", step.source), *self._quantiser("pixels", step.target)]
                self._node("QLinearSigmoid", name, *ports, domain=MICROSOFT)
                self._current = step.target
            case RealSigmoid():
                self._node("Sigmoid", name)
                self.quantise(f"{name}.levels", step.target)
            case PadEdges():
                ends = [0] * 5 + [step.rows, step.columns, 0]
                self._node("Pad", name, self._graph.constant(f"{name}.pads", ends, np.int64), mode="edge")
                height, width, channels = self.shape
                self._now(height + step.rows, width + step.columns, channels)
            case MaxPool() if self._float is not None:
                self._node("MaxPool", name, kernel_shape=[2, 2], strides=[2, 2])
                channels, height, width = self.shape
                self._now(channels, height // 2, width // 2)
            case MaxPool():
                self._node("NhwcMaxPool", name, domain=MICROSOFT, kernel_shape=[2, 2], strides=[2, 2])
                height, width, channels = self.shape
                self._now(height // 2, width // 2, channels)
            case Upsample():
                factors = (1, 2, 2) if upsamples_reals else (2, 2, 1)
                scales = self._graph.constant(f"{name}.scales", [1, *factors], np.float32)
                modes = {
                    "mode": "nearest",
                    "nearest_mode": "floor",
                    "coordinate_transformation_mode": "asymmetric",
                }
                self._node("Resize", name, "", scales, **modes)
                self._now(*(side * factor for side, factor in zip(self.shape, factors, strict=True)))
            case Flatten():
                self.shape = (math.prod(self.shape),)
            case Unflatten():
                self.shape = step.grid
            case Mask():
                self._mask(name, step)
            case DepthToSpace():
                height, width, channels = self.shape
                block = step.block
                self.shape = (height, width, block, channels // block)
                self.transpose(name, (0, 2, 1, 3))
                self.shape = (height * block, width * block, channels // block**2)
            case Crop():
                height, width, channels = self.shape
                self._reshape()
                self._graph.slice(name, (step.margin, step.margin), (-step.margin, -step.margin), (1, 2))
                self._now(height - 2 * step.margin, width - 2 * step.margin, channels)
            case Keep():
                self._reshape()
                self._graph.slice(name, (0, 0), (step.height, step.width), (1, 2))
                self._now(step.height, step.width, self.shape[-1])
            case _:
                raise ValueError(f"{step} cannot be written in int8")

    def transpose(self, name: str, order: tuple[int, ...]) -> None:
        """Permute the axes of each image."""
        self._node("Transpose", name, perm=[0, *(axis + 1 for axis in order)])
        self._now(*(self.shape[axis] for axis in order))

    def quantise(self, name: str, quantiser: Quantiser, scales: np.ndarray | None = None) -> None:
        """Quantise real numbers; with `scales`, there is one scale per entry of the first axis."""
        dtype = _dtype(quantiser)
        if scales is None:
            ports = self._quantiser(name, quantiser)
        else:
            zero_points = np.full(len(scales), quantiser.zero_point)
            ports = [
                self._graph.constant(f"{name}.scale", scales, np.float32),
                self._graph.constant(f"{name}.zero_point", zero_points, dtype),
            ]
        self._node("QuantizeLinear", name, *ports)
        self._current = quantiser

    def change_levels(self, name: str, source: Quantiser, target: Quantiser) -> None:
        """Convert integers of `source` to those of `target`, if they differ."""
        if source != target:
            self._node("DequantizeLinear", f"{name}.real", *self._quantiser(f"{name}.from", source))
            self.quantise(f"{name}.levels", target)

    def finish(self, gives: Port) -> onnx.ModelProto:
        """Return the model."""
        self._reshape()
        return self._graph.finish(gives)

    def _int8_layer(self, step: Int8Layer) -> None:
        name, layer = step.layer.name, step.layer
        source = self._quantiser(f"{name}.source", step.source)
        out = step.weights.shape[1]
        weights = step.weights if step.target is None else _filters(step)
        constants = [
            self._graph.constant(f"{name}.weight", weights.numpy(), np.int8),
            self._graph.constant(f"{name}.weight_scale", step.weight_scales.numpy(), np.float32),
            self._graph.constant(f"{name}.weight_zero_point", np.zeros(out), np.int8),
        ]
        bias = self._graph.constant(f"{name}.bias", step.bias.numpy(), np.int32)
        if step.target is None:
            self._node("QGemm", name, *source, *constants, bias, domain=MICROSOFT)
            self._now(out)
            return
        if isinstance(layer, Dense):
            # A 1x1 convolution adds the bias while it requantises; QGemm needs another pass for it
            self.shape = (1, 1, math.prod(self.shape))
        target = self._quantiser(f"{name}.target", step.target)
        height, width = (1, 1) if isinstance(layer, Dense) else layer.kernel.shape[1:3]
        pad = 0 if isinstance(layer, Dense) else layer.pad
        rows, columns, _ = self.shape
        sizes = {"kernel_shape": [height, width], "pads": [pad] * 4, "channels_last": 1}
        self._node("QLinearConv", name, *source, *constants, *target, bias, domain=MICROSOFT, **sizes)
        self._current = step.target
        self._now(rows + 2 * pad + 1 - height, columns + 2 * pad + 1 - width, out)

    def _float_layer(self, step: FloatLayer) -> None:
        """Write a float layer: its weights include the scales, and its clipping replaces the ReLU.

        DequantizeLinear and QuantizeLinear would compute the same, but onnxruntime turns a convolution between
        them into int8 with its own rounding of the weights, and moves QuantizeLinear before a pooling.
        """
        name, layer, source, target = step.layer.name, step.layer, step.source, step.target
        unit = 1.0 if target is None else target.scale
        # Plus half a unit, so that the truncation by Cast rounds
        offset = 0.0 if target is None else target.zero_point + 0.5
        bias = self._graph.constant(f"{name}.bias", (layer.bias / unit + offset).numpy(), np.float32)
        if source is not None:
            self._node("Cast", f"{name}.real", to=onnx.TensorProto.FLOAT)
            if source.zero_point:
                zero_point = self._graph.constant(f"{name}.zero_point", source.zero_point, np.float32)
                self._node("Sub", f"{name}.centred", zero_point)
        scale = (1.0 if source is None else source.scale) / unit
        if isinstance(layer, Dense):
            weight = self._graph.constant(f"{name}.weight", (layer.weight * scale).numpy(), np.float32)
            self._node("Gemm", name, weight, bias)
            self._now(layer.weight.shape[1])
        else:
            kernel = layer.kernel.permute(0, 3, 1, 2) * scale
            self._channels_first(f"{name}.channels_first")
            _, rows, columns = self.shape
            weight = self._graph.constant(f"{name}.weight", kernel.numpy(), np.float32)
            out, _, height, width = kernel.shape
            self._node("Conv", name, weight, bias, kernel_shape=[height, width], pads=[layer.pad] * 4)
            self._now(out, rows + 2 * layer.pad + 1 - height, columns + 2 * layer.pad + 1 - width)
        if target is not None:
            bounds = [
                self._graph.constant(f"{name}.{end}", getattr(target, end), np.float32) for end in ("low", "high")
            ]
            self._node("Clip", f"{name}.clipped", *bounds)
        elif layer.relu:
            self._node("Relu", f"{name}.relu")
        self._float, self._current = name, target

    def _leave_float(self) -> None:
        """Move the channels last after a float layer and its pooling, and round if the results are quantised."""
        if self._float is None:
            return
        name, self._float = self._float, None
        if len(self.shape) > 1:
            self.transpose(f"{name}.channels_last", (1, 2, 0))
        if self._current is None:
            return
        if self._current.low < 0:
            self._node("Floor", f"{name}.floor")  # Cast rounds towards 0
        levels = helper.np_dtype_to_tensor_dtype(np.dtype(_dtype(self._current)))
        self._node("Cast", f"{name}.levels", to=levels)

    def _channels_first(self, name: str) -> None:
        height, width, channels = self.shape
        if channels == 1:
            self.shape = (1, height, width)
        else:
            self.transpose(name, (2, 0, 1))

    def _mask(self, name: str, step: Mask) -> None:
        if self._current is None:
            self._node("Mul", name, self._graph.constant(f"{name}.keep", step.keep.numpy()[None], np.float32))
            return
        # A product with 0 or 1 does not change the scale
        unit = replace(self._current, scale=1.0, zero_point=0)
        keep = self._graph.constant(f"{name}.keep", step.keep.numpy()[None], _dtype(unit))
        same = self._quantiser(f"{name}.levels", self._current)
        self._node(
            "QLinearMul", name, *same, keep, *self._quantiser(f"{name}.unit", unit), *same, domain=MICROSOFT
        )

    def _quantiser(self, name: str, quantiser: Quantiser) -> list[str]:
        return [
            self._graph.constant(f"{name}.scale", quantiser.scale, np.float32),
            self._graph.constant(f"{name}.zero_point", quantiser.zero_point, _dtype(quantiser)),
        ]

    def _node(self, op: str, name: str, *inputs: str, domain: str = "", **attributes: object) -> None:
        self._reshape()
        self._graph.node(op, name, *inputs, domain=domain, **attributes)

    def _reshape(self) -> None:
        if self.shape != self._written:
            self._count += 1
            self._graph.reshape(f"reshape{self._count}", self.shape)
            self._written = self.shape

    def _now(self, *shape: int) -> None:
        self._written = self.shape = shape


def _filters(step: Int8Layer) -> Tensor:
    """Return the weights of `step` as (out, in, kernel height, kernel width)."""
    filters = step.weights.t()
    if isinstance(step.layer, Conv):
        return filters.reshape(step.layer.kernel.shape).permute(0, 3, 1, 2)
    return filters[:, :, None, None]


def _dtype(quantiser: Quantiser) -> DTypeLike:
    return np.int8 if quantiser.low < 0 else np.uint8
