"""Turn what a caller gives into an array."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from operator import index
from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import LONGEST_INTEGER, InputError, shown

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

    All must be of one `kind`, as in an array. Taking a part raises InputError if `check` does, or if the list has
    become shorter.
    """

    def __init__(self, items: Sequence[object], what: str, check: Check, kind: str) -> None:
        self._items, self._what, self._check, self._kind = items, what, check, kind
        self._length = len(items)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice, /) -> NDArray[Any]:
        numbers = range(*part.indices(self._length))
        items = self._items[numbers.start : numbers.stop]
        if len(items) != len(numbers):
            raise InputError(f"the list of {self._what} became shorter while it was read")
        where = f"{self._what} {numbers.start} to {numbers.stop - 1}"
        try:
            array, single = self._check(items)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if single:
            raise InputError(f"{where} have shape {array.shape[2:]}, unlike the first; give all the same shape")
        if array.dtype.kind != self._kind:
            raise InputError(f"{where} have dtype {array.dtype}, unlike the first; give all the same dtype")
        return array


def to_array(values: object, what: str, check_item: Callable[[object], None] | None = None) -> NDArray[Any]:
    """Return `values` as an array: an array-like, or lists of them.

    `check_item` sees each item that is neither a list nor an array nor a number. `what` names the values in the
    InputError that is raised if they do not make an array.
    """
    try:
        return np.asarray(_plain(values, check_item))
    except InputError:
        raise
    except Exception as error:  # an object's own __array__ raises what it likes
        raise InputError(f"{what} cannot be made into one array ({error})") from None


def _plain(value: object, check_item: Callable[[object], None] | None) -> object:
    """Return `value`, or the lists in it, with torch tensors as numpy takes them. torch is not imported."""
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], int | float):  # a row of numbers, the innermost list
            return value
        return [_plain(item, check_item) for item in value]
    if isinstance(value, np.ndarray):
        return value
    if check_item is not None:
        check_item(value)
    detach = getattr(value, "detach", None)
    if not callable(detach):
        return value
    tensor = detach()  # numpy takes no tensor that requires a gradient, and has no bfloat16
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices that take `count` items `size` at a time."""
    return (slice(at, at + size) for at in range(0, count, size))


def as_integer(name: str, value: object) -> int:
    """Return an integer of Python's or numpy's as an int. Raises InputError for anything else, and for a bool.

    An integer that is too long to print is refused too, so that every message can show what this returns.
    """
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with suppress(TypeError):  # an array of several, or of one in brackets
            number = index(value)
            if number.bit_length() > LONGEST_INTEGER:
                raise InputError(
                    f"{name} is {shown(number)}; expected an integer of at most {LONGEST_INTEGER} bits"
                )
            return number
    raise InputError(f"{name} is {shown(value)}; expected an integer")


def as_index(value: object, images: int) -> int:
    """Return the number of one of so many images, counted from 0. Raises InputError if there is no such image."""
    number = as_integer("index", value)
    if 0 <= number < images:
        return number
    several = f"its {images} images are numbered 0 to {images - 1}"
    held = several if images > 1 else "its only image has number 0" if images else "it is empty"
    raise InputError(f"has no image {number}; {held}")
