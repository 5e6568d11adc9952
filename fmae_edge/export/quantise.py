"""Static quantisation: layers in float32 and calibration inputs -> layers in int8."""

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fmae_edge.export.calibration import CalibrationMethod, upper_bound
from fmae_edge.export.int8_layers import (
    FloatLayer,
    Int8Layer,
    Int8Sigmoid,
    Int8Step,
    Quantiser,
    apply_int8,
    sums,
)
from fmae_edge.export.int8_target import Int8Target
from fmae_edge.export.layers import Conv, Dense, Layer, Sigmoid, Weighted, apply, linear, matrix, patches
from fmae_edge.export.rounding import round_weights, weight_scales

# sigmoid(-x) is half a grey level here: beyond it, a pixel rounds to 0 or 255 whatever its logit is. The
# extremes are several times as far, because of the black background, and would leave too few levels for the greys.
LOGIT_LIMIT = math.log(2 * 255 - 1)
_MAX_BIAS = float(1 << 29)
_SMALLEST_SCALE = 1e-20  # times that of the inputs, it is still a normal float32


def quantise(
    layers: list[Layer],
    inputs: Tensor,
    source: Quantiser,
    target: Int8Target,
    method: CalibrationMethod,
    stay_float: Collection[str] = (),
) -> list[Int8Step]:
    """Return `layers` in int8, except those named in `stay_float`.

    `inputs` are calibration inputs of the first layer, in real numbers, and `source` their
    quantiser. Each layer is fitted to the outputs of the quantised layers before it: its weights are rounded and
    its bias corrected so that its outputs keep their mean and change the least.
    """
    real, integers = inputs, source.quantise(inputs)
    steps: list[Int8Step] = []
    for at, layer in enumerate(layers):
        step: Int8Step = layer
        if isinstance(layer, Dense | Conv):
            outputs = linear(layer, real)
            leaves = _target(layer, layers[at + 1 :], outputs, target, method)
            if layer.name in stay_float:
                step = FloatLayer(layer, source, leaves)
            else:
                step = _int8_layer(layer, integers, outputs, source, leaves, target)
            source = leaves or source
            real = torch.relu(outputs) if layer.relu else outputs
        else:
            if isinstance(layer, Sigmoid):
                low, high = target.levels
                step = Int8Sigmoid(source, Quantiser(1 / 255, low, low, high))
            real = apply(layer, real)
        steps.append(step)
        integers = apply_int8(step, integers)
    return steps


def _target(
    layer: Weighted, rest: list[Layer], outputs: Tensor, target: Int8Target, method: CalibrationMethod
) -> Quantiser | None:
    """Return the quantiser of the `outputs` of `layer`, given the layers after it; None if they stay real."""
    low, high = target.levels
    if layer.relu:
        bound = upper_bound(torch.relu(outputs).numpy().ravel(), method)
        return Quantiser(float(np.float32(bound / (high - low))), low, low, high)
    if any(isinstance(behind, Sigmoid) for behind in rest):
        return Quantiser(float(np.float32(2 * LOGIT_LIMIT / (high - low))), (low + high + 1) // 2, low, high)
    return None


def _int8_layer(
    layer: Weighted,
    integers: Tensor,
    outputs: Tensor,
    source: Quantiser,
    leaves: Quantiser | None,
    target: Int8Target,
) -> Int8Layer:
    weights = matrix(layer)
    # Never so fine that bias and sums together leave int32: where weights are 0, the bias alone sets the scale
    smallest = torch.clamp(layer.bias.abs() / source.scale / _MAX_BIAS, min=_SMALLEST_SCALE)
    scales = torch.maximum(weight_scales(weights, target), smallest.to(weights.dtype))
    rounded = round_weights(weights, scales, patches(layer, integers.float()), target)
    plain = Int8Layer(layer, rounded, scales, torch.zeros_like(scales).double(), source, leaves)
    # Bias correction: the mean of each output is that in float32
    axes = tuple(range(outputs.dim() - 1))
    unit = plain.sum_scales.double()
    bias = torch.round(outputs.double().mean(axes) / unit - sums(plain, integers).mean(axes))
    return replace(plain, bias=bias)
