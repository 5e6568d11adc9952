"""The payloads of a .fmae file, and the index of a stack, which stores how long each of them is.

The index takes about 5 bits per image: Rice codes of the lengths. spec/format.md specifies it.
"""

from array import array
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.errors import InputError

MAX_IMAGES = 1 << 20
MAX_PAYLOAD_BYTES = 65535
MAX_LOSSLESS_BYTES = (1 << 26) + 2  # the largest image, and a byte each for its quality and its compressor
_MAX_LOW_BITS = 15
_MAX_VARINT_BYTES = 5
_BYTES_AT_ONCE = 1 << 16  # of unary numbers; unpacked, they take eight times as much


class Payloads(Sequence[bytes]):
    """N payloads of `lengths` (N,) bytes, stored one after the other in `body`, which is at least as long.

    A payload becomes an object when it is read, so that a million images do not take a million objects.
    """

    def __init__(self, body: bytes | memoryview, lengths: NDArray[np.int64]) -> None:
        self.longest = int(lengths.max(initial=0))
        self._body = body
        self._ends = np.cumsum(lengths)

    def __reduce__(self) -> tuple[type["Payloads"], tuple[bytes, NDArray[np.int64]]]:
        return Payloads, (bytes(self._body), self.lengths)  # a memoryview cannot be pickled

    @property
    def first_bytes(self) -> NDArray[np.uint8]:
        """The first byte (N,) of each payload; none of them may be empty."""
        first: NDArray[np.uint8] = np.frombuffer(self._body, np.uint8)[self._ends - self.lengths]
        return first

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The payloads' lengths (N,) in bytes."""
        return np.diff(self._ends, prepend=0)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[bytes, ...]: ...
    def __getitem__(self, index: int | slice) -> bytes | tuple[bytes, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = range(len(self))[index]  # raises IndexError as a tuple does, and takes -1 for the last
        begin = int(self._ends[number - 1]) if number else 0
        return bytes(self._body[begin : int(self._ends[number])])


def max_payload_bytes(quality: int) -> int:
    """Return the largest payload in bytes of a file with this quality in its header, 0 for lossless images."""
    return MAX_PAYLOAD_BYTES if quality else MAX_LOSSLESS_BYTES


def require_payload_bytes(number: int, quality: int) -> None:
    """Raise InputError if a payload of `number` bytes is too long for a .fmae file of this quality."""
    if number > (most := max_payload_bytes(quality)):
        raise InputError(f"a payload has {number} bytes; a .fmae file allows {most}")


def require_images(number: int, max_images: int) -> None:
    """Raise InputError if a file has more than `max_images` images."""
    if number > max_images:
        raise InputError(f"claims {number} images, more than max_images={max_images}")


def varint(number: int) -> bytes:
    """Return an integer as seven bits per byte, the lowest first; a set top bit says that more bytes follow."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


class HeaderReader:
    """Reads a file's header from `at` on. Raises EOFError if the bytes end too early or are not a valid header."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self.at = memoryview(content), at

    def take(self, count: int) -> memoryview:
        """Take `count` bytes."""
        if count > len(self._content) - self.at:
            raise EOFError
        self.at += count
        return self._content[self.at - count : self.at]

    def varint(self) -> int:
        """Take an integer that `varint` wrote."""
        number = 0
        for place in range(_MAX_VARINT_BYTES):
            (byte,) = self.take(1)
            number |= (byte & 127) << 7 * place
            if byte < 128:
                return number
        raise EOFError

    def unary(self, count: int, largest: int) -> NDArray[np.int64]:
        """Take `count` integers up to `largest`, each that many zero bits and a one; zeros fill the last byte."""
        if count > 8 * (len(self._content) - self.at):  # before memory is allocated for them
            raise EOFError
        numbers = np.empty(count, np.int64)
        packed = np.frombuffer(self._content, np.uint8)[self.at :][: -(-count * (largest + 1) // 8)]
        done, last = 0, -1
        for part in slices(len(packed), _BYTES_AT_ONCE):
            ones = 8 * part.start + np.flatnonzero(np.unpackbits(packed[part]))[: count - done]
            numbers[done : done + len(ones)] = np.diff(ones, prepend=last) - 1
            done += len(ones)
            if done == count:
                self.take(int(ones[-1]) // 8 + 1)
                return numbers
            last = int(ones[-1]) if len(ones) else last
        raise EOFError


def pack_index(lengths: "array[int]") -> bytes:
    """Return the index of payloads of these lengths: their number, the shortest length, and Rice codes.

    The codes are those of the differences from the shortest: first all low bits, then all high parts in unary.
    """
    count = varint(len(lengths))
    if not lengths:
        return count
    shortest = min(lengths)
    above = np.asarray(lengths) - shortest
    low_bits = min(range(_MAX_LOW_BITS + 1), key=lambda bits: int(bits * len(above) + (above >> bits).sum()))
    low = np.empty((len(above), low_bits), np.uint8)
    for bit in range(low_bits):
        low[:, bit] = above >> (low_bits - 1 - bit) & 1
    high = np.zeros(int((above >> low_bits).sum()) + len(above), np.uint8)
    high[np.cumsum((above >> low_bits) + 1) - 1] = 1
    packed = np.packbits(low.ravel()).tobytes() + np.packbits(high).tobytes()
    return count + varint(shortest) + bytes([low_bits]) + packed


def read_index(reader: HeaderReader, max_images: int, max_bytes: int) -> NDArray[np.int64]:
    """Return the lengths (N,) in an index, each at most `max_bytes`.

    Raises EOFError as the reader does, and InputError if there are more than `max_images`, before memory is
    allocated for them.
    """
    count = reader.varint()
    if count > MAX_IMAGES:
        raise EOFError
    require_images(count, max_images)
    if not count:
        return np.empty(0, np.int64)
    shortest = reader.varint()
    if shortest > max_bytes:
        raise EOFError
    (low_bits,) = reader.take(1)
    if low_bits > _MAX_LOW_BITS:
        raise EOFError
    packed = reader.take(-(-count * low_bits // 8))
    low = np.unpackbits(np.frombuffer(packed, np.uint8), count=count * low_bits).reshape(count, low_bits)
    lengths = reader.unary(count, max_bytes >> low_bits)
    for bits in low.T:
        lengths = lengths << 1 | bits
    lengths += shortest
    if lengths.max() > max_bytes:
        raise EOFError
    return lengths
