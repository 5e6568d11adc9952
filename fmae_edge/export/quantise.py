"""Static quantisation: layers in float32 and calibration inputs -> layers in int8."""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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

CalibrationMethod = Literal["min-max", "percentile", "entropy"]
CALIBRATION_METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)
DEFAULT_METHOD: CalibrationMethod = "min-max"

_PERCENTILE = 99.99
_BINS = 4096
_LEVELS = 255  # steps between the smallest and the largest of 256 levels
_SMALLEST_BOUND = 1e-6  # a channel that is always 0 still needs a range

# sigmoid(-x) is half a gray level here, so beyond it a pixel rounds to 0 or 255. The extreme logits of the black
# background are several times as large; covering them would leave too few levels for the grays.
LOGIT_LIMIT = math.log(2 * 255 - 1)
_MAX_BIAS = float(1 << 29)
_PATCH_NUMBERS_AT_ONCE = 1 << 25  # bounds memory: the patches of a convolution are 9 times its inputs
_SMALLEST_SCALE = 1e-20  # times the scale of the inputs, still a normal float32


def quantise(
    layers: list[Layer],
    inputs: Tensor,
    source: Quantiser,
    target: Int8Target,
    method: CalibrationMethod,
    stay_float: Collection[str] = (),
) -> list[Int8Step]:
    """Return `layers` in int8, except those named in `stay_float`.

    `inputs` are real calibration inputs of the first layer, and `source` is their quantiser. Each layer is fitted
    to the outputs of the quantised layers before it: its weights are rounded so that its outputs change the least,
    and its bias is corrected so that they keep their mean.
    """
    real, integers = inputs, source.quantise(inputs)
    steps: list[Int8Step] = []
    for at, layer in enumerate(layers):
        step: Int8Step = layer
        if isinstance(layer, Dense | Conv):
            outputs = linear(layer, real)
            result = _target(layer, layers[at + 1 :], outputs, target, method)
            if layer.name in stay_float:
                step = FloatLayer(layer, source, result)
            else:
                step = _int8_layer(layer, integers, outputs, source, result, target)
            source = result or source
            real = torch.relu(outputs) if layer.relu else outputs
        else:
            if isinstance(layer, Sigmoid):
                low, high = target.levels
                step = Int8Sigmoid(source, Quantiser(1 / 255, low, low, high))
            real = apply(layer, real)
        steps.append(step)
        integers = torch.cat([apply_int8(step, part) for part in _parts(layer, integers)])
    return steps


def _target(
    layer: Weighted, later: list[Layer], outputs: Tensor, target: Int8Target, method: CalibrationMethod
) -> Quantiser | None:
    """Return the quantiser of the `outputs` of `layer`, or None if they stay real. `later` are the next layers."""
    low, high = target.levels
    if layer.relu:
        bound = upper_bound(torch.relu(outputs).numpy().ravel(), method)
        return Quantiser(float(np.float32(bound / (high - low))), low, low, high)
    if any(isinstance(other, Sigmoid) for other in later):
        return Quantiser(float(np.float32(2 * LOGIT_LIMIT / (high - low))), (low + high + 1) // 2, low, high)
    return None


def _int8_layer(
    layer: Weighted,
    integers: Tensor,
    outputs: Tensor,
    source: Quantiser,
    result: Quantiser | None,
    target: Int8Target,
) -> Int8Layer:
    weights = matrix(layer)
    # Coarse enough that bias and sums together fit int32: where weights are 0, only the bias sets the scale
    smallest = torch.clamp(layer.bias.abs() / source.scale / _MAX_BIAS, min=_SMALLEST_SCALE)
    scales = torch.maximum(weight_scales(weights, target), smallest.to(weights.dtype))
    parts = _parts(layer, integers)
    rounded = round_weights(weights, scales, (patches(layer, part.float()) for part in parts), target)
    plain = Int8Layer(layer, rounded, scales, torch.zeros_like(scales).double(), source, result)
    # Bias correction: each output keeps its mean in float32
    axes = tuple(range(outputs.dim() - 1))
    unit = plain.sum_scales.double()
    shares = torch.tensor([len(part) / len(integers) for part in parts], dtype=torch.float64)
    means = torch.stack([sums(plain, part).mean(axes) for part in parts])
    bias = torch.round(outputs.double().mean(axes) / unit - (means * shares[:, None]).sum(dim=0))
    return replace(plain, bias=bias)


def _parts(layer: Layer, inputs: Tensor) -> tuple[Tensor, ...]:
    """Split the `inputs` of a layer into parts whose patches fit into memory."""
    if not isinstance(layer, Conv):
        return (inputs,)
    taps = layer.kernel[0, :, :, 0].numel()
    return inputs.split(max(1, _PATCH_NUMBERS_AT_ONCE // (taps * inputs[0].numel())))


def upper_bound(values: NDArray[np.float32], method: CalibrationMethod) -> float:
    """Return the value of the largest of 256 levels; the smallest is 0.

    `values` are activations after a ReLU. "min-max" takes their maximum, "percentile" their 99.99th percentile.
    "entropy" takes the bound whose 256 levels lose the least information: the Kullback-Leibler
    divergence between the histogram of the values and its quantised form (Migacz, "8-bit inference with TensorRT",
    GTC 2017).
    """
    largest = float(values.max(initial=0))
    if method == "percentile":
        largest = float(np.percentile(values, _PERCENTILE))
    elif method == "entropy" and largest > 0:
        largest = _entropy_bound(values[values > 0], largest)  # 0 is exact for every bound
    return max(largest, _SMALLEST_BOUND)


def _entropy_bound(values: NDArray[np.float32], largest: float) -> float:
    counts, edges = np.histogram(values, bins=_BINS, range=(0, largest))
    candidates = range(2 * _LEVELS, _BINS + 1, 32)
    return float(edges[min(candidates, key=lambda bins: _divergence(counts, bins))])


def _divergence(counts: NDArray[np.int64], bins: int) -> float:
    """Return the KL divergence between `counts`, clipped to the first `bins`, and their form in 256 levels."""
    inside = counts[:bins].astype(np.float64)
    clipped = inside.copy()
    clipped[-1] += counts[bins:].sum()
    level = np.arange(bins) * _LEVELS // bins
    occupied = inside > 0
    total = np.bincount(level, weights=inside, minlength=_LEVELS)
    shared = np.bincount(level, weights=occupied, minlength=_LEVELS)
    spread = np.where(occupied, total[level] / np.maximum(shared[level], 1), 0)
    p, q = clipped / clipped.sum(), spread / spread.sum()
    both = (p > 0) & (q > 0)
    missing = p[(p > 0) & (q == 0)].sum()  # a level without values
    return float((p[both] * np.log(p[both] / q[both])).sum() + missing * np.log(1 / np.finfo(np.float64).eps))
