"""Code symbols as bytes and back: the prior gives their intervals, the range coder codes the intervals."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.entropy.prior import ESCAPE, MAX_SYMBOL, RADIUS, Integers, Prior
from fmae_edge.runtime.entropy.range_coder import TOTAL_BITS, Decoder, SingleDecoder, encode

_SYMBOLS_AT_ONCE = 64_000  # bounds memory, and keeps the arrays in the CPU cache
_FEW = 8  # measured: for fewer images, Python integers are faster than numpy
_COLUMNS = ESCAPE + 2  # of the prior's tables, with the end of the last interval
_ESCAPED = 1 << (TOTAL_BITS - 1)  # an escaped symbol is the interval [symbol + 32768, + 1)


def clip_symbols(symbols: NDArray[np.floating]) -> Integers:
    """Return integer-valued floats as symbols, clipped to +-32767."""
    clipped: Integers = np.clip(symbols, -MAX_SYMBOL, MAX_SYMBOL).astype(np.int64)
    return clipped


def columns_of(symbols: Integers, centres: Integers) -> Integers:
    """Return the table columns of symbols for distributions with these centres; far symbols get the escape."""
    away = symbols - centres
    return np.where(abs(away) <= RADIUS, away + RADIUS, ESCAPE)


def encode_symbols(prior: Prior, symbols: Integers, quality: int) -> list[bytes]:
    """Return the bytes of each of (N, latent_size) symbols; `quality` counts from 0."""
    payloads: list[bytes] = []
    for part in slices(len(symbols), images_at_once(symbols.shape[1])):
        payloads += encode(*intervals_of(prior, symbols[part], quality))
    return payloads


def images_at_once(latent_size: int) -> int:
    """Return how many images the prior should predict at once."""
    return max(1, _SYMBOLS_AT_ONCE // latent_size)


def intervals_of(prior: Prior, symbols: Integers, quality: int) -> tuple[Integers, Integers]:
    """Return starts and sizes (N, 2 latent_size): each symbol's interval, then its escape's or an empty one."""
    centres, rows = prior.predict_all(prior.known(symbols, quality), quality)
    columns = columns_of(symbols, centres)
    inside = columns != ESCAPE
    starts = np.zeros((*symbols.shape, 2), np.int64)
    sizes = np.zeros_like(starts)
    starts[:, :, 0] = begins = prior.starts[rows, columns]
    sizes[:, :, 0] = prior.starts[rows, columns + 1] - begins
    starts[:, :, 1] = np.where(inside, 0, symbols + _ESCAPED)
    sizes[:, :, 1] = ~inside
    return starts.reshape(len(symbols), -1), sizes.reshape(len(symbols), -1)


def decode_symbols(prior: Prior, payloads: Sequence[bytes], latent_size: int, quality: int) -> Integers:
    """Return the symbols (N, latent_size) of N payloads. Bytes that no encoder wrote also decode to symbols."""
    symbols = np.empty((len(payloads), latent_size), np.int64)
    if len(payloads) < _FEW:
        for index, payload in enumerate(payloads):
            symbols[index] = _decode_one(prior, payload, latent_size, quality)
    else:
        for part in slices(len(payloads), images_at_once(latent_size)):
            symbols[part] = _decode_many(prior, payloads[part], latent_size, quality)
    return symbols


def _decode_many(prior: Prior, payloads: Sequence[bytes], latent_size: int, quality: int) -> Integers:
    decoder = Decoder(payloads)
    symbols = np.zeros((len(payloads), latent_size), np.int64)
    known = np.zeros((len(payloads), latent_size), np.float32)
    for index, place in enumerate(prior.places):
        centres, rows = prior.predict(index, known, quality)
        for column, latent in enumerate(range(place.start, place.stop)):
            row = rows[:, column]
            starts = prior.starts[row]
            chosen = (starts[:, 1:-1] <= decoder.position()[:, None]).sum(axis=1)
            begins = np.take_along_axis(starts, chosen[:, None], axis=1)[:, 0]
            ends = np.take_along_axis(starts, chosen[:, None] + 1, axis=1)[:, 0]
            decoder.advance(begins, ends - begins)
            symbols[:, latent] = centres[:, column] + chosen - RADIUS
            escaped = chosen == ESCAPE
            if escaped.any():
                at = decoder.position()
                decoder.advance(at, escaped)
                symbols[escaped, latent] = at[escaped] - _ESCAPED
        known[:, place] = prior.known(symbols[:, place], quality)
    return symbols


def _decode_one(prior: Prior, payload: bytes, latent_size: int, quality: int) -> list[int]:
    return decode_next(prior, SingleDecoder(payload), latent_size, quality)


def decode_next(prior: Prior, decoder: SingleDecoder, latent_size: int, quality: int) -> list[int]:
    """Return the symbols (latent_size,) of the next image in a message; `quality` counts from 0."""
    symbols: list[int] = []
    known = np.zeros(latent_size, np.float32)
    starts = prior.starts.reshape(-1).data  # whose items are Python integers, made one at a time
    for index, place in enumerate(prior.places):
        for centre, row in prior.predict_one(index, known, quality):
            begin = row * _COLUMNS
            column = decoder.next_of(starts, begin, begin + ESCAPE + 1) - begin
            symbols.append(centre + column - RADIUS if column < ESCAPE else decoder.next_of_all() - _ESCAPED)
        known[place] = prior.known_one(symbols[place], quality)
    return symbols
