"""Turn what a caller gives into an array."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from operator import index
from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import InputError

_ITEMS_AT_ONCE = 1024  # of a list: of fewer, an array takes little memory


class Stack(Protocol):
    """Items whose parts are arrays: an array, or a `LongList`."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> NDArray[Any]: ...


# Returns values as an array with a row an item, and whether they were one item alone; raises InputError
Check = Callable[[object], tuple[NDArray[Any], bool]]


def as_stack(values: object, what: str, check: Check) -> tuple[Stack, bool]:
    """Return what `check` does, but of a long list of arrays without a copy of all: as a LongList."""
    if isinstance(values, list | tuple) and len(values) > _ITEMS_AT_ONCE:
        try:
            first, single = check(values[:1])
        except InputError:  # the rows of one item, or wrong, which is said best of all of them
            return check(values)
        if not single:
            return LongList(values, what, check, first.dtype.kind), False
    return check(values)


class LongList:
    """A list of arrays, whose parts become one array, and are checked, when they are asked for.

    All must be of one `kind`, as in an array. Taking a part raises InputError if `check` does.
    """

    def __init__(self, items: Sequence[object], what: str, check: Check, kind: str) -> None:
        self._items, self._what, self._check, self._kind = items, what, check, kind

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, part: slice, /) -> NDArray[Any]:
        items = self._items[part]
        where = f"{self._what} {part.start} to {part.start + len(items) - 1}"
        try:
            array, _ = self._check(items)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if array.dtype.kind != self._kind:
            raise InputError(f"{where} have dtype {array.dtype}, and the first has another; expected one for all")
        return array


def to_array(values: object, what: str) -> NDArray[Any]:
    """Return `values` as an array; `what` names them in the InputError that is raised if they are none."""
    try:
        return np.asarray(values)
    except Exception as error:  # an object's own __array__ raises what it likes
        raise InputError(f"{what} cannot be made into one array ({error})") from None


def slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices that take `count` items `size` at a time."""
    return (slice(at, at + size) for at in range(0, count, size))


def as_integer(name: str, value: object) -> int:
    """Return an integer of Python's or numpy's as an int. Raises InputError for anything else, and for a bool."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with suppress(TypeError):  # an array of several, or of one in brackets
            return index(value)
    raise InputError(f"{name} is {value!r}; expected an integer")
