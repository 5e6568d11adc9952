"""Compress with linear transform coding, the baseline for any autoencoder: PCA, scalar quantisers, a range coder.

Each coefficient has its own entropy-constrained scalar quantiser (Chou, Lookabaugh and Gray, "Entropy-constrained
vector quantization", IEEE TASSP 1989). It starts as a uniform quantiser. Each round chooses levels by squared
error plus weighted bits, moves each level to the mean of its values and counts the values again, which forms a
dead zone. Coefficients with one level left are not coded, so the step also decides how many are coded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.entropy.range_coder import TOTAL, TOTAL_BITS, Decoder, encode

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

# 19 to 30 dB on Fashion-MNIST
PCA_STEPS = (170.0, 140.0, 115.0, 95.0, 75.0, 55.0, 40.0)
_ROUNDS = 6


@dataclass(frozen=True)
class Quantiser:
    """The L ascending levels of one coefficient (L,), the L - 1 decision values between them, and their intervals.

    Level k has the positions [starts[k], starts[k] + sizes[k]) of the range coder's 65536.
    """

    levels: Floats
    decisions: Floats
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class PcaCodec:
    """PCA at one quantiser step, in pixel levels of 0 to 255; `fit_pca_codecs` returns it."""

    image_shape: tuple[int, ...]
    step: float
    mean: Floats
    components: Floats
    quantisers: list[Quantiser]

    def quantise(self, images: Pixels) -> NDArray[np.int64]:
        """Return the symbols (N, C) of (N, height, width) images: the level index of each coefficient."""
        coefficients = (images.reshape(len(images), -1) - self.mean) @ self.components
        symbols = np.empty(coefficients.shape, np.int64)
        for column, quantiser in enumerate(self.quantisers):
            symbols[:, column] = np.searchsorted(quantiser.decisions, coefficients[:, column])
        return symbols

    def reconstruct(self, symbols: NDArray[np.int64]) -> Pixels:
        """Return the (N, height, width) uint8 images of symbols (N, C)."""
        coefficients = np.empty(symbols.shape)
        for column, quantiser in enumerate(self.quantisers):
            coefficients[:, column] = quantiser.levels[symbols[:, column]]
        pixels = np.rint(coefficients @ self.components.T + self.mean)
        return pixels.clip(0, 255).astype(np.uint8).reshape(-1, *self.image_shape)

    def encode(self, images: Pixels) -> list[bytes]:
        """Return one payload per image of (N, height, width) uint8 images."""
        symbols = self.quantise(images)
        starts, sizes = np.empty_like(symbols), np.empty_like(symbols)
        for column, quantiser in enumerate(self.quantisers):
            starts[:, column] = quantiser.starts[symbols[:, column]]
            sizes[:, column] = quantiser.sizes[symbols[:, column]]
        return encode(starts, sizes)

    def decode(self, payloads: list[bytes]) -> Pixels:
        """Return the (N, height, width) uint8 images of N payloads."""
        decoder = Decoder(payloads)
        symbols = np.empty((len(payloads), len(self.quantisers)), np.int64)
        for column, quantiser in enumerate(self.quantisers):
            symbol = np.searchsorted(quantiser.starts, decoder.position(), side="right") - 1
            decoder.advance(quantiser.starts[symbol], quantiser.sizes[symbol])
            symbols[:, column] = symbol
        return self.reconstruct(symbols)


def fit_pca_codecs(images: Pixels, steps: Sequence[float] = PCA_STEPS) -> list[PcaCodec]:
    """Fit PCA and, for each step, the quantisers and their tables to (N, height, width) uint8 training images."""
    pixels = images.reshape(len(images), -1).astype(np.float64)
    mean = pixels.mean(axis=0)
    _, components = np.linalg.eigh(np.cov(pixels, rowvar=False))
    components = components[:, ::-1]  # sorted by falling variance
    ordered = np.sort(components.T @ (pixels - mean).T, axis=1)
    codecs = []
    for step in steps:
        fitted = [_fit_quantiser(values, step) for values in ordered]
        coded = [column for column, quantiser in enumerate(fitted) if len(quantiser.levels) > 1]
        quantisers = [fitted[column] for column in coded]
        codecs.append(PcaCodec(images.shape[1:], step, mean, components[:, coded], quantisers))
    return codecs


def _fit_quantiser(ordered: Floats, step: float) -> Quantiser:
    """Fit the quantiser of one coefficient to its values in ascending order."""
    # At high resolution D = step^2 / 12, and dD/dR = -2 ln(2) D is the squared error that one bit saves
    slope = np.log(2) / 6 * step**2
    sums = np.concatenate([[0.0], np.cumsum(ordered)])

    def moved(levels: Floats, decisions: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """Return the levels, each moved to the mean of its values, and the number of values of each."""
        bounds = np.concatenate([[0], np.searchsorted(ordered, decisions, side="right"), [len(ordered)]])
        counts = np.diff(bounds)
        return np.where(counts > 0, np.diff(sums[bounds]) / np.maximum(counts, 1), levels), counts

    numbers = np.arange(np.rint(ordered[0] / step), np.rint(ordered[-1] / step) + 1)
    levels, decisions = numbers * step, (numbers[:-1] + 0.5) * step
    for _ in range(_ROUNDS):
        levels, counts = moved(levels, decisions)
        levels, counts = levels[counts > 0], counts[counts > 0]
        chosen, decisions = cheapest_levels(levels, slope * (TOTAL_BITS - np.log2(_sizes(counts))))
        levels = levels[chosen]
    levels, counts = moved(levels, decisions)
    sizes = _sizes(counts)
    return Quantiser(levels, decisions, np.cumsum(sizes) - sizes, sizes)


def cheapest_levels(levels: Floats, costs: Floats) -> tuple[list[int], Floats]:
    """Return the indices of the ascending levels (L,) that are cheapest for some value, and the decision values.

    A level costs its squared distance to the value plus its entry in `costs` (L,). (value - level)^2 + cost is
    value^2 plus a line in value, so the cheapest levels are the lower envelope of these lines.
    """
    heights = levels**2 + costs
    chosen, decisions = [0], [-np.inf]
    for level in range(1, len(levels)):
        while True:
            last = chosen[-1]
            crossing = (heights[level] - heights[last]) / (2 * (levels[level] - levels[last]))
            if crossing > decisions[-1]:
                break
            chosen.pop()
            decisions.pop()
        chosen.append(level)
        decisions.append(crossing)
    return chosen, np.array(decisions[1:])


def _sizes(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divide the 65536 positions in proportion to `counts`, at least one each; the largest gets the remainder."""
    sizes: NDArray[np.int64] = 1 + counts * (TOTAL - len(counts)) // counts.sum()
    sizes[np.argmax(sizes)] += TOTAL - sizes.sum()
    return sizes
