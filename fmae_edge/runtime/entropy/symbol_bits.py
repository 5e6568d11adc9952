"""Count the bits that symbols take, without coding them."""

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.entropy.prior import ESCAPE, Integers, Prior
from fmae_edge.runtime.entropy.range_coder import TOTAL_BITS
from fmae_edge.runtime.entropy.symbol_coder import columns_of, images_at_once


class SymbolBits:
    """The bits of symbols (N, latent_size) at one `quality`, which counts from 0, not rounded to bytes."""

    def __init__(self, prior: Prior, quality: int) -> None:
        self._prior, self._quality = prior, quality
        self._bits = TOTAL_BITS - np.log2(np.diff(prior.starts, axis=1))  # (rows, columns)
        self._bits[:, ESCAPE] += TOTAL_BITS  # the interval of the symbol itself follows

    def count(self, symbols: Integers) -> NDArray[np.float64]:
        """Return the bits (N,) of images."""
        counts = [self._of(symbols[part], (0,))[0].sum(axis=1) for part in self._parts(symbols)]
        return np.concatenate(counts) if counts else np.empty(0)

    def near(self, symbols: Integers) -> NDArray[np.float64]:
        """Return the bits (3, N, latent_size) of each symbol, one less, as it is, and one more.

        The other symbols of its image stay, and so does what the prior predicts from it.
        """
        parts = [self._of(symbols[part], (-1, 0, 1)) for part in self._parts(symbols)]
        return np.concatenate(parts, axis=1)

    def _of(self, symbols: Integers, offsets: tuple[int, ...]) -> NDArray[np.float64]:
        known = self._prior.known(symbols, self._quality)
        centres, rows = self._prior.predict_all(known, self._quality)
        return np.stack([self._bits[rows, columns_of(symbols + offset, centres)] for offset in offsets])

    def _parts(self, symbols: Integers) -> list[slice]:
        return list(slices(len(symbols), images_at_once(symbols.shape[1])))
