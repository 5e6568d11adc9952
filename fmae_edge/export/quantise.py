"""Static quantisation: layers in float32 and calibration inputs -> layers in int8."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
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
    RealSigmoid,
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


@dataclass(frozen=True, eq=False)
class Stage:
    """One quantised layer and what it passes on: `choice` is all that decides it after the same layers."""

    choice: tuple[Quantiser | None, bool, bool]
    step: Int8Step
    real: Tensor
    given: Tensor
    source: Quantiser | None


def quantise(
    layers: list[Layer],
    inputs: Tensor,
    source: Quantiser | None,
    target: Int8Target,
    method: CalibrationMethod,
    stay_float: Collection[str] = (),
    last: list[Stage] | None = None,
) -> list[Int8Step]:
    """Return `layers` in int8, except those named in `stay_float`.

    `inputs` are real calibration inputs of the first layer, and `source` is their quantiser, or None if they stay
    real numbers, which a float layer takes. Each layer is fitted to the outputs of the quantised layers before it:
    its weights are rounded so that its outputs change the least, and its bias is corrected so that they keep their
    mean. Between two float layers, and after the last layer if it is one, numbers stay real.

    `last` are the stages of the last call, which is for the same arguments but for `source` and `stay_float`: they
    become those of this call. The layers up to the first that changes are not quantised again.
    """
    last = [] if last is None else last
    real = inputs
    given = inputs if source is None else _small(source.quantise(inputs))
    for at, layer in enumerate(layers):
        later = layers[at + 1 :]
        is_float, stays_real = _stays(layer, later, stay_float)
        choice = source, is_float, stays_real
        if at < len(last) and last[at].choice == choice:
            real, given, source = last[at].real, last[at].given, last[at].source
            continue
        del last[at:]
        step: Int8Step = layer
        before = source
        if isinstance(layer, Dense | Conv):
            outputs = linear(layer, real)
            means = None if is_float else _means(_parts(layer, outputs))
            real = torch.relu_(outputs) if layer.relu else outputs
            source = None if stays_real else _target(layer, later, real, target, method)
            if means is None:
                step = FloatLayer(layer, before, source)
            else:
                assert before is not None
                step = _int8_layer(layer, given, means, before, source, target)
        else:
            if isinstance(layer, Sigmoid):
                low, high = target.levels
                pixels = Quantiser(1 / 255, low, low, high)
                step = RealSigmoid(pixels) if before is None else Int8Sigmoid(before, pixels)
                source = pixels
            real = apply(layer, real)
        results = (apply_int8(step, part if before is None else part.double()) for part in _parts(layer, given))
        given = torch.cat([part if source is None else _small(part) for part in results])
        last.append(Stage(choice, step, real, given, source))
    return [stage.step for stage in last]


def _stays(layer: Layer, later: list[Layer], stay_float: Collection[str]) -> tuple[bool, bool]:
    """Return whether `layer` stays in float, and whether its outputs stay real numbers; `later` are the next."""
    if not isinstance(layer, Dense | Conv) or layer.name not in stay_float:
        return False, False
    following = next((other.name for other in later if isinstance(other, Dense | Conv)), layer.name)
    return True, following in stay_float


def _small(integers: Tensor) -> Tensor:
    """Return integers minus their zero point in 16 bits, which bounds memory: they are -255 to 255."""
    return integers.to(torch.int16)


def _target(
    layer: Weighted, later: list[Layer], outputs: Tensor, target: Int8Target, method: CalibrationMethod
) -> Quantiser | None:
    """Return the quantiser of the `outputs` of `layer`, ReLU included, or None if they are latents.

    `later` are the next layers.
    """
    low, high = target.levels
    if layer.relu:
        bound = upper_bound(outputs.numpy(), method)
        return Quantiser(float(np.float32(bound / (high - low))), low, low, high)
    if any(isinstance(other, Sigmoid) for other in later):
        return Quantiser(float(np.float32(2 * LOGIT_LIMIT / (high - low))), (low + high + 1) // 2, low, high)
    return None


def _int8_layer(
    layer: Weighted,
    integers: Tensor,
    means: Tensor,
    source: Quantiser,
    result: Quantiser | None,
    target: Int8Target,
) -> Int8Layer:
    """Return `layer` in int8 for the outputs of the layers before it; `means` (out,) are those of its outputs."""
    weights = matrix(layer)
    # Coarse enough that bias and sums together fit int32: where weights are 0, only the bias sets the scale
    smallest = torch.clamp(layer.bias.abs() / source.scale / _MAX_BIAS, min=_SMALLEST_SCALE)
    scales = torch.maximum(weight_scales(weights, target), smallest.to(weights.dtype))
    parts = _parts(layer, integers)
    rounded = round_weights(weights, scales, (patches(layer, part.float()) for part in parts), target)
    plain = Int8Layer(layer, rounded, scales, torch.zeros_like(scales).double(), source, result)
    # Bias correction: each output keeps its mean in float32
    found = _means(sums(plain, part.double()) for part in parts)
    return replace(plain, bias=torch.round(means / plain.sum_scales.double() - found))


def _means(parts: Iterable[Tensor]) -> Tensor:
    """Return the mean of each of the outputs of a layer, float64 (out,), from parts (N, ..., out) of them."""
    total, count = torch.zeros(1, dtype=torch.float64), 0
    for part in parts:
        total = total + len(part) * part.double().mean(tuple(range(part.dim() - 1)))
        count += len(part)
    return total / count


def _parts(layer: Layer, inputs: Tensor) -> tuple[Tensor, ...]:
    """Split the inputs or outputs of a layer into parts whose patches fit into memory."""
    taps = layer.kernel[0, :, :, 0].numel() if isinstance(layer, Conv) else 1
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
