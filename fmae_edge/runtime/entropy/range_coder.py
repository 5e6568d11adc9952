"""A range coder: symbols as intervals of [0, 65536), and bytes that name a point inside all of them.

G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979.
All arithmetic is in integers, so every machine writes and reads the same bytes. `low` and `width` are the range of
numbers that the message may still be, in a window of 40 bits; when the first byte of the window is settled, it is
shifted out. A message ends with the shortest bytes whose number, followed by zeros, lies in the last interval, so
the reader has to know its length.

Many messages are coded side by side in numpy, and a few in Python integers. The bytes are the same.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TOTAL_BITS = 16
TOTAL = 1 << TOTAL_BITS
_WINDOW = 1 << 40
_SETTLED = 1 << 32  # a width below this settles the first byte of the window, except for a carry
_TAIL_BITS = 32  # of the window, after its first byte
_WINDOW_BYTES = 5
# Each interval shifts out at most two bytes, because its width is at least 2^32 / 2^16
_SHIFTS = 2
_FEW = 8  # measured: for fewer messages, Python integers are faster than numpy

Integers = NDArray[np.integer[Any]]


def encode(starts: Integers, sizes: Integers) -> list[bytes]:
    """Return the bytes of N messages: (N, S) intervals [start, start + size) of [0, 65536).

    Intervals of size 0 are skipped, so that messages of different lengths fit into one array.
    """
    if len(starts) < _FEW:
        return [Encoder().after(*pair).message() for pair in zip(starts.tolist(), sizes.tolist(), strict=True)]
    count, steps = starts.shape
    low = np.zeros(count, np.int64)
    width = np.full(count, _WINDOW, np.int64)
    shifted = np.zeros((count, _SHIFTS * steps + 1), np.int16)  # bytes and the carries into them
    lengths = np.zeros(count, np.int64)
    for step in range(steps):
        size = sizes[:, step].astype(np.int64)
        coded = size > 0
        if not coded.any():
            continue
        unit = width >> TOTAL_BITS
        low += np.where(coded, unit * starts[:, step], 0)
        width = np.where(coded, unit * size, width)
        for _ in range(_SHIFTS):
            (rows,) = np.nonzero(width < _SETTLED)
            shifted[rows, lengths[rows]] = low[rows] >> _TAIL_BITS
            lengths[rows] += 1
            low[rows] = (low[rows] & (_SETTLED - 1)) << 8
            width[rows] <<= 8
    shifted[np.arange(count), lengths] = _last_point(low, width) >> _TAIL_BITS
    for column in range(int(lengths.max()), 0, -1):
        shifted[:, column - 1] += shifted[:, column] >> 8
    written = shifted.astype(np.uint8)
    ends = written.shape[1] - np.argmax(written[:, ::-1] != 0, axis=1)
    ends[~written.any(axis=1)] = 0
    return [row[:end].tobytes() for row, end in zip(written, ends.tolist(), strict=True)]


def _last_point(low: NDArray[np.int64], width: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number in [low, low + width) that ends in the most zero bytes."""
    whole_windows = (low + _WINDOW - 1) & -_WINDOW
    return np.where(whole_windows < low + width, whole_windows, (low + _SETTLED - 1) & -_SETTLED)


class Encoder(NamedTuple):
    """A message so far, which `after` continues: one message can have several continuations.

    `low` grows as long as the message, so there are no carries to keep. `shifted` bytes are settled.
    """

    low: int = 0
    width: int = _WINDOW
    shifted: int = 0

    def after(self, starts: Iterable[int], sizes: Iterable[int]) -> "Encoder":
        """Return the message with more intervals [start, start + size); those of size 0 are skipped."""
        low, width, shifted = self
        for start, size in zip(starts, sizes, strict=True):
            if not size:
                continue
            unit = width >> TOTAL_BITS
            low += unit * start
            width = unit * size
            while width < _SETTLED:
                low <<= 8
                width <<= 8
                shifted += 1
        return Encoder(low, width, shifted)

    def message(self) -> bytes:
        """Return the bytes of the message if it ends here: at most `shifted` + 1."""
        point = (self.low + _WINDOW - 1) & -_WINDOW
        if point >= self.low + self.width:
            point = (self.low + _SETTLED - 1) & -_SETTLED
        return (point >> _TAIL_BITS).to_bytes(self.shifted + 1, "big").rstrip(b"\0")


class Decoder:
    """Reads N messages side by side; zeros follow the end of a message."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        longest = max(map(len, messages), default=0) + _WINDOW_BYTES
        padded = b"".join(message.ljust(longest, b"\0") for message in messages)
        self._bytes = np.frombuffer(padded, np.uint8).reshape(len(messages), longest)
        self._read = np.full(len(messages), _WINDOW_BYTES)
        self._above_low = np.zeros(len(messages), np.int64)  # the point, relative to the low end of the interval
        for column in range(_WINDOW_BYTES):
            self._above_low = self._above_low << 8 | self._bytes[:, column]
        self._width = np.full(len(messages), _WINDOW, np.int64)

    def position(self) -> NDArray[np.int64]:
        """Return positions (N,) in [0, 65536), each in the interval of its message's next symbol."""
        return np.minimum(self._above_low // (self._width >> TOTAL_BITS), TOTAL - 1)

    def advance(self, starts: Integers, sizes: Integers) -> None:
        """Go past the intervals (N,) that contain `position`; messages with size 0 stay where they are."""
        coded = sizes > 0
        unit = self._width >> TOTAL_BITS
        self._above_low -= np.where(coded, unit * starts, 0)
        self._width = np.where(coded, unit * sizes, self._width)
        np.minimum(self._above_low, self._width - 1, out=self._above_low)  # for bytes that no encoder wrote
        last = self._bytes.shape[1] - 1  # always a zero
        for _ in range(_SHIFTS):
            (rows,) = np.nonzero(self._width < _SETTLED)
            read = self._bytes[rows, np.minimum(self._read[rows], last)]
            self._above_low[rows] = self._above_low[rows] << 8 | read
            self._width[rows] <<= 8
            self._read[rows] += 1


class SingleDecoder:
    """Reads one message as `Decoder` does, in Python integers."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._read = _WINDOW_BYTES
        self._above_low = int.from_bytes(message[:_WINDOW_BYTES].ljust(_WINDOW_BYTES, b"\0"), "big")
        self._width = _WINDOW

    def next_of(self, starts: Sequence[int], begin: int, end: int) -> int:
        """Return the index in starts[begin:end] of the next symbol's interval, and go past it.

        An interval ends at the next of `starts`.
        """
        unit = self._width >> TOTAL_BITS
        index = bisect_right(starts, self._above_low // unit, begin, end) - 1
        self._advance(unit, starts[index], starts[index + 1])
        return index

    def next_of_all(self) -> int:
        """Return the next symbol of a uniform distribution over [0, 65536), and go past it."""
        unit = self._width >> TOTAL_BITS
        symbol = min(self._above_low // unit, TOTAL - 1)
        self._advance(unit, symbol, symbol + 1)
        return symbol

    @property
    def most_bytes(self) -> int:
        """The most bytes that a writer's message has if it ends after the last symbol."""
        return self._read - _WINDOW_BYTES + 1

    def _advance(self, unit: int, start: int, end: int) -> None:
        width = unit * (end - start)
        above_low = self._above_low - unit * start
        if above_low >= width:  # of bytes that no encoder wrote
            above_low = width - 1
        while width < _SETTLED:
            byte = self._message[self._read] if self._read < len(self._message) else 0
            above_low = above_low << 8 | byte
            width <<= 8
            self._read += 1
        self._above_low, self._width = above_low, width
