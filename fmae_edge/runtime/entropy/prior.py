"""The prior: the probabilities of an image's next symbols, computed with integers only.

Sender and receiver must agree on every probability to the last bit, on any CPU and with any number of threads
(Balle et al., "Integer networks for data compression with latent-variable models", ICLR 2019). So a distribution
is a row of a table of integers, and a network of integers chooses the row. The integers are multiplied as float32,
which is fast in BLAS: every sum stays under 2^24, so it is exact in any order. `read_prior` verifies that bound
from the weights.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.bundle.safetensors_file import read_tensors
from fmae_edge.runtime.entropy.range_coder import TOTAL
from fmae_edge.runtime.errors import BundleError

# The columns of a table are the symbols from RADIUS below a centre to RADIUS above it, and the escape.
RADIUS = 31
ESCAPE = 2 * RADIUS + 1
MAX_SYMBOL = 32767
_FRACTION_BITS = 4
FRACTIONS = 1 << _FRACTION_BITS  # places of a distribution's mean between two symbols
MAX_INPUT = 2047  # largest latent, in units, that the first layer gets
MAX_HIDDEN = 1023
_TENSORS_PER_GROUP = 9  # weights, bias and shift of three layers
EXACT = 1 << 24  # float32 holds every integer up to here

Integers = NDArray[np.int64]


class Layer(NamedTuple):
    """x -> floor((x weights + bias) / 2^shift): integers in float32.

    `weights` and `bias` are divided by 2^shift already, which is exact in float32. `bias` has one row per quality,
    or one row for all.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __call__(self, x: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
        """Apply the layer to (N, inputs) or (inputs,); `quality` counts from 0."""
        y = multiply(x, self.weights)
        y += self.bias[quality % len(self.bias)]
        return np.floor(y, out=y)


class Group(NamedTuple):
    """The network of one group of latents, those in `place`; its input is all latents before them."""

    place: slice
    layers: tuple[Layer, Layer, Layer]

    def __call__(self, latents: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
        """Return means in sixteenths of a unit, followed by widths in table rows: (N, 2 size) or (2 size,).

        `latents` is (N, any) or (any,), in units; only those before `place` are used.
        """
        first, second, last = self.layers
        hidden = _clip(first(latents[..., : self.place.start], quality), 0, MAX_HIDDEN)
        return last(_clip(second(hidden, quality), 0, MAX_HIDDEN), quality)


def _halves(answers: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    half = answers.shape[1] // 2
    return answers[:, :half], answers[:, half:]


def _clip(values: NDArray[np.float32], least: int, most: int) -> NDArray[np.float32]:
    """Clip in place; for a single image, np.clip takes longer than the product of a layer."""
    np.maximum(values, least, out=values)
    return np.minimum(values, most, out=values)


class NetworkPrior(NamedTuple):
    """Distributions predicted by the networks of the groups: a row of a table, moved to the predicted mean.

    A row stands for a width and a fraction. `steps` are the quantiser steps of each quality, in units. `starts`
    (rows, 2 RADIUS + 3) has the start of each column's interval, and 65536 after the last. `narrower` is the
    number of widths to subtract at each quality, for the size of its step.
    """

    groups: tuple[Group, ...]
    steps: tuple[int, ...]
    narrower: tuple[int, ...]
    starts: NDArray[np.int32]

    @property
    def places(self) -> tuple[slice, ...]:
        """The latents that are coded together, in order."""
        return tuple(group.place for group in self.groups)

    def known(self, symbols: Integers, quality: int) -> NDArray[np.float32]:
        """Return the networks' input for symbols (..., any): latents in units, clipped."""
        known = (symbols * self.steps[quality]).astype(np.float32)
        return _clip(known, -MAX_INPUT, MAX_INPUT)

    def known_one(self, symbols: list[int], quality: int) -> list[int]:
        """Do as `known` for a few symbols of one image, in Python integers, which are faster then."""
        step = self.steps[quality]
        return [min(max(symbol * step, -MAX_INPUT), MAX_INPUT) for symbol in symbols]

    def predict(self, index: int, known: NDArray[np.float32], quality: int) -> tuple[Integers, Integers]:
        """Return the centre and the table row (N, size) of each latent of group `index`.

        `known` (N, latent_size) is the input of the networks; only the latents before this group are used.
        """
        return self._locate(*_halves(self.groups[index](known, quality)), quality)

    def predict_all(self, known: NDArray[np.float32], quality: int) -> tuple[Integers, Integers]:
        """Do as `predict` for all groups, (N, latent_size), because an encoder knows all symbols."""
        answers = zip(*(_halves(group(known, quality)) for group in self.groups), strict=True)
        means, widths = (np.concatenate(parts, axis=1) for parts in answers)
        return self._locate(means, widths, quality)

    def predict_one(self, index: int, known: NDArray[np.float32], quality: int) -> list[tuple[int, int]]:
        """Do as `predict` for one image, (latent_size,), in Python integers, which are faster then."""
        answers = self.groups[index](known, quality).astype(np.int64).tolist()
        step, narrower = self.steps[quality], self.narrower[quality]
        widest = self._widest + narrower
        half = len(answers) // 2
        located = []
        for mean, width in zip(answers[:half], answers[half:], strict=True):
            place = mean // step + FRACTIONS // 2
            row = 0 if width < narrower else width - narrower if width < widest else widest - narrower
            located.append((place >> _FRACTION_BITS, row * FRACTIONS + (place & (FRACTIONS - 1))))
        return located

    @property
    def _widest(self) -> int:
        return len(self.starts) // FRACTIONS - 1

    def _locate(
        self, means: NDArray[np.float32], widths: NDArray[np.float32], quality: int
    ) -> tuple[Integers, Integers]:
        # A mean is under 2^24 sixteenths, so a centre and the symbols near it do not overflow int64
        place = means.astype(np.int64) // self.steps[quality] + FRACTIONS // 2
        width = np.clip(widths.astype(np.int64) - self.narrower[quality], 0, self._widest)
        return place >> _FRACTION_BITS, width * FRACTIONS + (place & (FRACTIONS - 1))


class TablePrior(NamedTuple):
    """One distribution per quality and latent, whose centre is in `centres` (qualities, latent_size)."""

    centres: Integers
    starts: NDArray[np.int32]

    @property
    def places(self) -> tuple[slice, ...]:
        """The latents that are coded together: all."""
        return (slice(0, self.centres.shape[1]),)

    def known(self, symbols: Integers, quality: int) -> NDArray[np.float32]:  # noqa: ARG002
        """Return zeros, because symbols do not affect each other here."""
        return np.zeros(symbols.shape, np.float32)

    def known_one(self, symbols: list[int], quality: int) -> list[int]:  # noqa: ARG002
        """Do as `known` for one image."""
        return [0] * len(symbols)

    def predict(self, index: int, known: NDArray[np.float32], quality: int) -> tuple[Integers, Integers]:  # noqa: ARG002
        """Return the centre and the table row (N, size) of each latent."""
        shape = (len(known), self.centres.shape[1])
        rows = quality * shape[1] + np.arange(shape[1])
        return np.broadcast_to(self.centres[quality], shape), np.broadcast_to(rows, shape)

    def predict_all(self, known: NDArray[np.float32], quality: int) -> tuple[Integers, Integers]:
        """Do as `predict`, because there is one group."""
        return self.predict(0, known, quality)

    def predict_one(self, index: int, known: NDArray[np.float32], quality: int) -> list[tuple[int, int]]:
        """Do as `predict` for one image, (latent_size,), and return pairs."""
        centres, rows = self.predict(index, known[None], quality)
        return list(zip(centres[0].tolist(), rows[0].tolist(), strict=True))


Prior = NetworkPrior | TablePrior


def read_prior(content: bytes, latent_size: int, steps: tuple[int, ...], where: str) -> Prior:
    """Return the prior in the bytes of a bundle's file; `where` names the file in messages.

    Raises BundleError if the tables or networks do not fit `latent_size` and the qualities' `steps`, or if sums
    could leave the range in which float32 is exact.
    """
    tensors = read_tensors(content, where)
    try:
        tables = tensors.pop("tables")
        _require(tables.dtype == np.uint16 and tables.ndim == 2 and tables.shape[1] == ESCAPE + 1, "tables")
        starts = tables.astype(np.int32)
        _require(len(starts) >= FRACTIONS and bool((starts[:, 0] == 0).all()), "tables")
        starts = np.hstack([starts, np.full((len(starts), 1), TOTAL, np.int32)])
        _require(bool((np.diff(starts) > 0).all()), "tables")
        if "centres" in tensors:
            centres = tensors.pop("centres").astype(np.int64)
            _require(centres.shape == (len(steps), latent_size) and centres.size == len(starts), "centres")
            _require(int(abs(centres).max()) <= MAX_SYMBOL - RADIUS, "centres")
            _require(not tensors, f"no {', '.join(tensors)}")
            return TablePrior(centres, starts)
        narrower = tensors.pop("narrower")
        _require(narrower.shape == (len(steps),), "narrower")
        _require(len(starts) % FRACTIONS == 0, "tables")
        groups = _read_groups(tensors, latent_size, len(steps))
        _require(len(tensors) == len(groups) * _TENSORS_PER_GROUP, "no other tensors")
        return NetworkPrior(groups, steps, tuple(narrower.tolist()), starts)
    except (KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{where}: not the prior of this bundle (it needs {error})") from None


def _read_groups(tensors: Mapping[str, NDArray[Any]], latent_size: int, qualities: int) -> tuple[Group, ...]:
    groups: list[Group] = []
    before = 0
    while before < latent_size:
        at = f"groups.{len(groups)}"
        hidden, outputs = tensors[f"{at}.2.weights"].shape
        size = outputs // 2
        _require(outputs % 2 == 0 and 1 <= size <= latent_size - before, f"{at}.2.weights")
        first = _layer(tensors, f"{at}.0", (before, hidden), qualities, MAX_INPUT)
        second = _layer(tensors, f"{at}.1", (hidden, hidden), 1, MAX_HIDDEN)
        last = _layer(tensors, f"{at}.2", (hidden, outputs), 1, MAX_HIDDEN)
        groups.append(Group(slice(before, before + size), (first, second, last)))
        before += size
    return tuple(groups)


def _layer(
    tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, int], biases: int, largest: int
) -> Layer:
    weights, bias, shift = (tensors[f"{name}.{part}"].astype(np.int64) for part in ("weights", "bias", "shift"))
    _require(weights.shape == shape, f"{name}.weights")
    _require(bias.shape == (biases, shape[1]), f"{name}.bias")
    _require(shift.shape == (shape[1],) and bool((shift >= 0).all() and (shift < 24).all()), f"{name}.shift")
    reach = abs(weights).sum(axis=0) * largest + abs(bias).max(axis=0)
    _require(bool((reach < EXACT).all()), f"sums under 2^24 in {name}")
    scale = np.exp2(-shift)  # a power of two, so every product and sum stays exact
    return Layer((weights * scale).astype(np.float32), (bias * scale).astype(np.float32))


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


# OpenBLAS wakes no thread up to SMP_THRESHOLD_MIN x GEMM_MULTITHREAD_THRESHOLD (interface/gemm.c)
_PRODUCTS_IN_ONE_THREAD = 65536 * 4


def multiply(x: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the product of `x` and `weights`, computed in the calling thread, a few rows at a time if large.

    OpenBLAS wakes its own threads for a large product. On busy CPUs, waiting for them took a hundred times as long
    as the product, and in a forked process it may never end.
    """
    rows = max(1, _PRODUCTS_IN_ONE_THREAD // max(1, weights.size))
    if x.ndim == 1 or len(x) <= rows:
        product: NDArray[np.float32] = x.dot(weights)  # takes half the time of @ for one image
        return product
    return np.concatenate([x[part].dot(weights) for part in slices(len(x), rows)])
