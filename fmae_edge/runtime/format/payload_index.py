"""The payloads in a .fmae file's body, cut out when asked for: a million images do not take a million objects."""

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class Payloads(Sequence[bytes]):
    """N payloads of `lengths` (N,) bytes, one behind the other in `body`, which is at least as long."""

    def __init__(self, body: memoryview, lengths: NDArray[np.int64]) -> None:
        self.longest = int(lengths.max(initial=0))
        self._body = body
        self._ends = np.cumsum(lengths)

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
