"""Define int8 layers and compute them in plain integer arithmetic, as the reference for the int8 graphs.

Activations are integers minus their zero point. So 0 stands for 0, and layers that only move or compare pixels
(`layers.apply`) work on them unchanged. Integers are stored in float64, which represents them exactly.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from fmae_edge.export.layers import Conv, Dense, Layer, Sigmoid, Weighted, apply


@dataclass(frozen=True)
class Quantiser:
    """Real value = scale * (integer - zero_point), for integers from `low` to `high`."""

    scale: float
    zero_point: int
    low: int
    high: int

    def clamp(self, centred: Tensor) -> Tensor:
        """Clip integers minus the zero point to the range."""
        return centred.clamp(self.low - self.zero_point, self.high - self.zero_point)

    def quantise(self, values: Tensor) -> Tensor:
        """Return the nearest integers to real `values`, minus the zero point."""
        return self.clamp(torch.round(values.double() / self.scale))


@dataclass(frozen=True, eq=False)
class Int8Layer:
    """A dense layer or convolution in integers, with its ReLU.

    `weights` (K, out) have the order of `layers.matrix` and are in units of `weight_scales` (out,). `bias` (out,)
    is in units of source.scale * weight_scales. The sums are quantised to `target`, or stay real numbers if it is
    None.
    """

    layer: Weighted
    weights: Tensor
    weight_scales: Tensor
    bias: Tensor
    source: Quantiser
    target: Quantiser | None

    @property
    def sum_scales(self) -> Tensor:
        """The real value of one unit of the sums, float32 (out,)."""
        return self.weight_scales.float() * self.source.scale


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """A layer in float32: its inputs are dequantised, and its outputs quantised again.

    Without `source` its inputs are real numbers already, and without `target` its outputs stay real numbers.
    """

    layer: Weighted
    source: Quantiser | None
    target: Quantiser | None


@dataclass(frozen=True)
class Int8Sigmoid:
    """A table from the 256 levels of the logits to the 256 gray levels."""

    source: Quantiser
    target: Quantiser


@dataclass(frozen=True)
class RealSigmoid:
    """The sigmoid of real logits, quantised to the 256 gray levels."""

    target: Quantiser


Int8Step = Layer | Int8Layer | FloatLayer | Int8Sigmoid | RealSigmoid


def run_int8(steps: Iterable[Int8Step], x: Tensor) -> Tensor:
    """Return the result of `steps` for `x`: integers with their zero point subtracted, or real numbers."""
    for step in steps:
        x = apply_int8(step, x)
    return x


def apply_int8(step: Int8Step, x: Tensor) -> Tensor:
    """Return the result of one step for `x`, integers or real numbers.

    Raises ValueError for a Sigmoid without quantisers.
    """
    match step:
        case Int8Layer():
            return requantise(step, sums(step, x))
        case FloatLayer():
            y = apply(step.layer, x if step.source is None else x.float() * step.source.scale)
            return y if step.target is None else step.target.quantise(y)
        case Int8Sigmoid():
            return step.target.quantise(torch.sigmoid(x.float() * step.source.scale))
        case RealSigmoid():
            return step.target.quantise(torch.sigmoid(x))
        case Sigmoid():
            raise ValueError("a Sigmoid has no quantisers; use Int8Sigmoid or RealSigmoid")
        case _:
            return apply(cast(Layer, step), x)


def sums(layer: Int8Layer, x: Tensor) -> Tensor:
    """Return the exact integer sums of `layer` over integers `x`, bias included."""
    weights, bias = layer.weights.to(x.dtype), layer.bias.to(x.dtype)
    if isinstance(layer.layer, Dense):
        return apply(Dense(layer.layer.name, weights, bias), x)
    kernel = weights.t().reshape(layer.layer.kernel.shape)
    return apply(Conv(layer.layer.name, kernel, bias, layer.layer.pad), x)


def requantise(layer: Int8Layer, accumulated: Tensor) -> Tensor:
    """Scale the sums in float32, as onnxruntime does, and round half to even; the range includes a ReLU."""
    if layer.target is None:
        return accumulated.float() * layer.sum_scales
    scaled = accumulated.float() * (layer.sum_scales / layer.target.scale)
    return layer.target.clamp(torch.round(scaled).double())
