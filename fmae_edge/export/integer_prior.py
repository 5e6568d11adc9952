"""Make the prior of a bundle: the trained network in integers, or one table per latent without a network.

Its tables are integer distributions, counted on training images and smoothed by a formula.
"""

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmae_edge.export.errors import ExportError
from fmae_edge.model.learned_prior import FIRST_LOG2_WIDTH, INPUT_SCALE, MEAN_SCALE, GroupPrior, Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS
from fmae_edge.runtime.bundle.manifest import Qualities
from fmae_edge.runtime.entropy.prior import (
    ESCAPE,
    EXACT,
    FRACTIONS,
    MAX_HIDDEN,
    MAX_INPUT,
    MAX_SYMBOL,
    RADIUS,
    Integers,
    read_prior,
)
from fmae_edge.runtime.entropy.range_coder import TOTAL
from fmae_edge.runtime.entropy.symbol_coder import clip_symbols, columns_of

_INT8, _INT16 = 127, 32767
_UNITS_PER_DEVIATION = 48
_COUNTED_IMAGES = 20000  # bounds the time that an export takes
_RANGE_IMAGES = 2000  # to find the largest hidden values
_IMAGES_AT_ONCE = 1000

COLUMNS = ESCAPE + 1
# Widths of the logistic distributions: from 1/16 of a symbol, in steps of a quarter of an octave
_NARROWEST_LOG2 = -4
WIDTHS_PER_OCTAVE = 4
_WIDTHS = 32
_FORMULA_COUNTS = 500  # weight of the formula, in counts

Array = NDArray[np.float64]
Tensors = dict[str, NDArray[np.integer]]


def build_prior(prior: Prior | None, latents: NDArray[np.float32]) -> tuple[bytes, Qualities]:
    """Return the prior file of a model with these training latents (N, latent_size), and its quantiser steps.

    A model that was trained without a rate has no `prior`, and its latents have no fixed scale. The finest step is
    then an eighth of the standard deviation of its latents.
    """
    unit = 1 / UNITS if prior else float(latents.std(axis=0).mean()) / _UNITS_PER_DEVIATION
    in_units = latents[:_COUNTED_IMAGES] / np.float32(unit)
    content = network_prior(prior, in_units) if prior else table_prior(in_units)
    return content, Qualities(unit, QUALITY_STEPS, (0.0,) * len(QUALITY_STEPS))


def network_prior(prior: Prior, latents: NDArray[np.float32]) -> bytes:
    """Return the file of `prior` in integers, with tables counted on latents (N, latent_size) in units.

    Raises ExportError if outputs of a network do not fit 24 bits.
    """
    tensors: Tensors = {"narrower": np.array([widths_below(step) for step in QUALITY_STEPS], np.int32)}
    sample = latents[:_RANGE_IMAGES]
    in_steps = np.concatenate([_symbols(sample, step) * step for step in QUALITY_STEPS])
    known = torch.from_numpy(in_steps).float().clamp(-MAX_INPUT, MAX_INPUT)
    quality = torch.arange(len(QUALITY_STEPS)).repeat_interleave(len(sample))
    for index, group in enumerate(prior.groups):
        assert isinstance(group, GroupPrior)
        tensors |= _integer_group(group, known, quality, f"groups.{index}")
    formula = logistic_masses()
    tensors["tables"] = to_starts(np.zeros(formula.shape, np.int64), formula)
    tensors["tables"] = to_starts(_count(tensors, latents), formula)
    return safetensors.numpy.save(tensors)


def table_prior(latents: NDArray[np.float32]) -> bytes:
    """Return the file of a prior with one distribution per quality and latent, counted on latents in units."""
    size = latents.shape[1]
    rows = np.broadcast_to(np.arange(size), latents.shape)
    narrow = logistic_masses()[FRACTIONS // 2 :: FRACTIONS]
    centres, starts = [], []
    for step in QUALITY_STEPS:
        symbols = _symbols(latents, step)
        centre = np.clip(np.median(symbols, axis=0).astype(np.int64), RADIUS - MAX_SYMBOL, MAX_SYMBOL - RADIUS)
        # The standard deviation of a logistic distribution is pi / sqrt(3) times its width
        log2_widths = np.log2(np.maximum(symbols.std(axis=0), 1e-3) * 3**0.5 / np.pi)
        width = np.clip(np.rint(WIDTHS_PER_OCTAVE * log2_widths) - widths_below(1), 0, len(narrow) - 1)
        counts = count_columns(symbols, np.broadcast_to(centre, symbols.shape), rows, size)
        centres.append(centre)
        starts.append(to_starts(counts, narrow[width.astype(np.int64)]))
    return safetensors.numpy.save(
        {"centres": np.stack(centres).astype(np.int32), "tables": np.concatenate(starts)}
    )


def _symbols(latents: NDArray[np.float32], step: int) -> Integers:
    return clip_symbols(np.rint(latents / step))


def _count(tensors: Tensors, latents: NDArray[np.float32]) -> Integers:
    """Count how often the integer networks in `tensors` choose each row and see each column."""
    prior = read_prior(safetensors.numpy.save(tensors), latents.shape[1], QUALITY_STEPS, "the new prior")
    counts = np.zeros(tensors["tables"].shape, np.int64)
    for quality, step in enumerate(QUALITY_STEPS):
        for at in range(0, len(latents), _IMAGES_AT_ONCE):
            symbols = _symbols(latents[at : at + _IMAGES_AT_ONCE], step)
            centres, rows = prior.predict_all(prior.known(symbols, quality), quality)
            counts += count_columns(symbols, centres, rows, len(counts))
    return counts


def _integer_group(group: GroupPrior, latents: Tensor, quality: Tensor, name: str) -> Tensors:
    """Return the three layers of a group in integers; `latents` in units determine the largest hidden values."""
    x = latents[:, : group.before]
    with torch.inference_mode():
        hidden = group.hidden(x, quality)
    first = group.first.weight.detach().double().numpy().T * INPUT_SCALE if group.first else None
    bias = group.quality.detach().double().numpy()
    if first is None:
        first = np.zeros((0, bias.shape[1]))
    tensors: Tensors = {}
    scale = np.ones(group.before)
    layers = ((first, bias), _weights(group.second))
    for number, ((weights, bias), values, largest) in enumerate(
        zip(layers, hidden, (MAX_INPUT, MAX_HIDDEN), strict=True)
    ):
        weights = weights / scale[:, None]
        gain = _largest_gain(weights, bias, largest, _INT8)
        reach = np.maximum(values.amax(dim=0).double().numpy(), 1e-9) * gain
        shift = np.maximum(np.ceil(np.log2(reach / MAX_HIDDEN)), 0)
        tensors |= _integer_layer(weights, bias, gain, shift, np.int8, f"{name}.{number}")
        scale = gain / np.exp2(shift)
    weights, bias = _weights(group.last)
    size = weights.shape[1] // 2
    target = np.repeat([MEAN_SCALE * FRACTIONS, WIDTHS_PER_OCTAVE], size)
    # Plus half a width, because the shift rounds down
    offset = np.repeat([0, FIRST_LOG2_WIDTH + 0.5 / WIDTHS_PER_OCTAVE], size)
    weights, bias = weights / scale[:, None] * target, (bias + offset) * target
    shift = np.floor(np.log2(_largest_gain(weights, bias, MAX_HIDDEN, _INT16)))
    if (shift < 0).any():
        raise ExportError(
            f"the outputs of {name} in the prior need more than 24 bits, so it cannot be exported in integers; "
            "train again with a lower --lr"
        )
    return tensors | _integer_layer(weights, bias, np.exp2(shift), shift, np.int16, f"{name}.2")


def _weights(linear: nn.Linear) -> tuple[Array, Array]:
    return linear.weight.detach().double().numpy().T, linear.bias.detach().double().numpy()[None]


def _largest_gain(weights: Array, bias: Array, largest_input: int, largest_weight: int) -> Array:
    """Return the factor of each output that keeps its weights and all its sums in range."""
    rounding = weights.shape[0] * largest_input / 2 + 1
    reach = abs(weights).sum(axis=0) * largest_input + abs(bias).max(axis=0)
    peak = abs(weights).max(axis=0, initial=0)
    gain: Array = np.minimum(largest_weight / np.maximum(peak, 1e-9), (EXACT - 1 - rounding) / reach)
    return np.minimum(gain, EXACT / 4)


def _integer_layer(
    weights: Array, bias: Array, gain: Array, shift: Array, dtype: type[np.signedinteger], name: str
) -> Tensors:
    return {
        f"{name}.weights": np.rint(weights * gain).astype(dtype, order="C"),  # safetensors writes the buffer
        f"{name}.bias": np.rint(bias * gain).astype(np.int32),
        f"{name}.shift": shift.astype(np.uint8),
    }


def logistic_masses() -> Array:
    """Return all logistic distributions that a prior can choose: (widths x fractions, columns)."""
    log2_widths = _NARROWEST_LOG2 + np.arange(_WIDTHS) / WIDTHS_PER_OCTAVE
    means = (np.arange(FRACTIONS) + 0.5) / FRACTIONS - 0.5
    edges = np.arange(-RADIUS, RADIUS + 2) - 0.5
    z = (edges - means[:, None]) / np.exp2(log2_widths)[:, None, None]
    below = 0.5 + 0.5 * np.tanh(z / 2)
    inside = np.diff(below, axis=-1)
    outside = 1 - below[..., -1:] + below[..., :1]
    masses = np.concatenate([inside, outside], axis=-1)
    return masses.reshape(-1, COLUMNS)


def widths_below(step: int) -> int:
    """Return the number of widths by which a distribution is narrower in steps of `step` units than in units."""
    return round(WIDTHS_PER_OCTAVE * (float(np.log2(step)) + _NARROWEST_LOG2))


def count_columns(symbols: Integers, centres: Integers, rows: Integers, table_rows: int) -> Integers:
    """Count each column of each row, (table_rows, columns); the three arrays have one shape."""
    counts = np.bincount((rows * COLUMNS + columns_of(symbols, centres)).ravel(), minlength=table_rows * COLUMNS)
    return counts.reshape(table_rows, COLUMNS)


def to_starts(counts: Integers, formula: Array) -> NDArray[np.uint16]:
    """Return the starts of the columns' intervals in [0, 65536), (rows, columns); no interval is empty.

    Rows with many `counts` follow the counts; rows with few follow the masses of the `formula`.
    """
    masses = counts + _FORMULA_COUNTS * formula
    masses /= masses.sum(axis=1, keepdims=True)
    sizes = 1 + np.floor(masses * (TOTAL - COLUMNS)).astype(np.int64)
    sizes[np.arange(len(sizes)), sizes.argmax(axis=1)] += TOTAL - sizes.sum(axis=1)
    return (np.cumsum(sizes, axis=1) - sizes).astype(np.uint16)
