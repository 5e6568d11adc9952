"""Make the prior of a bundle: the trained network in integers, or one table per latent if there is none."""

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fmae_edge.export.errors import ExportError
from fmae_edge.export.prior_tables import (
    WIDTHS_PER_OCTAVE,
    count_columns,
    logistic_masses,
    to_starts,
    widths_below,
)
from fmae_edge.model.learned_prior import (
    FIRST_LOG2_WIDTH,
    INPUT_SCALE,
    MEAN_SCALE,
    GroupPrior,
    Prior,
)
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS
from fmae_edge.runtime.bundle.manifest import Qualities
from fmae_edge.runtime.entropy.prior import (
    EXACT,
    FRACTIONS,
    MAX_HIDDEN,
    MAX_INPUT,
    MAX_SYMBOL,
    RADIUS,
    Integers,
    read_prior,
)
from fmae_edge.runtime.entropy.symbol_coder import clip_symbols

_INT8, _INT16 = 127, 32767
_UNITS_PER_DEVIATION = 48
_COUNTED_IMAGES = 20000  # bounds the time that an export takes
_RANGE_IMAGES = 2000  # to find the largest hidden values
_IMAGES_AT_ONCE = 1000

Array = NDArray[np.float64]
Tensors = dict[str, NDArray[np.integer]]


def build_prior(prior: Prior | None, latents: NDArray[np.float32]) -> tuple[bytes, Qualities]:
    """Return the prior file for a model with these training latents (N, latent_size), and how to quantise them.

    A model that was trained without a rate has no `prior` and no scale: its finest step is an eighth of the spread
    of its latents.
    """
    unit = 1 / UNITS if prior else float(latents.std(axis=0).mean()) / _UNITS_PER_DEVIATION
    in_units = latents[:_COUNTED_IMAGES] / np.float32(unit)
    content = network_prior(prior, in_units) if prior else table_prior(in_units)
    return content, Qualities(unit, QUALITY_STEPS, (0.0,) * len(QUALITY_STEPS))


def network_prior(prior: Prior, latents: NDArray[np.float32]) -> bytes:
    """Return the file of `prior` in integers, its tables counted on latents (N, latent_size) in units."""
    tensors: Tensors = {"narrower": np.array([widths_below(step) for step in QUALITY_STEPS], np.int32)}
    shown = latents[:_RANGE_IMAGES]
    in_steps = np.concatenate([_symbols(shown, step) * step for step in QUALITY_STEPS])
    known = torch.from_numpy(in_steps).float().clamp(-MAX_INPUT, MAX_INPUT)
    quality = torch.arange(len(QUALITY_STEPS)).repeat_interleave(len(shown))
    for index, group in enumerate(prior.groups):
        assert isinstance(group, GroupPrior)
        tensors |= _integer_group(group, known, quality, f"groups.{index}")
    formula = logistic_masses()
    tensors["tables"] = to_starts(np.zeros(formula.shape, np.int64), formula)
    tensors["tables"] = to_starts(_count(tensors, latents), formula)
    return safetensors.numpy.save(tensors)


def table_prior(latents: NDArray[np.float32]) -> bytes:
    """Return the file of a prior that has one distribution per quality and latent, counted on latents in units."""
    size = latents.shape[1]
    rows = np.broadcast_to(np.arange(size), latents.shape)
    narrow = logistic_masses()[FRACTIONS // 2 :: FRACTIONS]
    centres, starts = [], []
    for step in QUALITY_STEPS:
        symbols = _symbols(latents, step)
        centre = np.clip(np.median(symbols, axis=0).astype(np.int64), RADIUS - MAX_SYMBOL, MAX_SYMBOL - RADIUS)
        # The logistic distribution's standard deviation is pi / sqrt(3) of its width
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
    """Return how often the integer networks in `tensors` chose each row and saw each column."""
    prior = read_prior(safetensors.numpy.save(tensors), latents.shape[1], QUALITY_STEPS, "the new prior")
    counts = np.zeros(tensors["tables"].shape, np.int64)
    for quality, step in enumerate(QUALITY_STEPS):
        for at in range(0, len(latents), _IMAGES_AT_ONCE):
            symbols = _symbols(latents[at : at + _IMAGES_AT_ONCE], step)
            centres, rows = prior.predict_all(prior.known(symbols, quality), quality)
            counts += count_columns(symbols, centres, rows, len(counts))
    return counts


def _integer_group(group: GroupPrior, latents: Tensor, quality: Tensor, name: str) -> Tensors:
    """Return the integers of a group's three layers; `latents` in units give the largest hidden values."""
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
    offset = np.repeat([0, FIRST_LOG2_WIDTH + 0.5 / WIDTHS_PER_OCTAVE], size)  # a half: the shift rounds down
    weights, bias = weights / scale[:, None] * target, (bias + offset) * target
    shift = np.floor(np.log2(_largest_gain(weights, bias, MAX_HIDDEN, _INT16)))
    if (shift < 0).any():
        raise ExportError(f"the prior's {name} has outputs too large for 24 bits, so it cannot be made integer")
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
