"""Convert the arguments of callers to arrays, integers and iterators for the codec."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from operator import index
from typing import Any, Protocol, SupportsIndex, TypeVar

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import LONGEST_INTEGER, ArgumentError, InputError, shown

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stack(Protocol):
    """Items whose parts are arrays: an array, or a `LongList`."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> NDArray[Any]: ...


# Returns the values as an array with one row per item, and True if they were a single item; raises InputError
Check = Callable[[object], tuple[NDArray[Any], bool]]


def as_stack(values: object, what: str, check: Check, items_at_once: int) -> tuple[Stack, bool]:
    """Return the result of `check`, or a LongList for a long list of arrays, to avoid one large copy.

    A list is long if it has more than `items_at_once` arrays: an array of fewer takes little memory.
    """
    try:
        items = as_list(values)
    except Exception as error:
        raise _no_array(what, error) from None
    if items is None or len(items) <= items_at_once:
        return check(values)
    try:
        first, single = check(items[:1])
    except InputError:  # the rows of one item, or an error, which is best reported for all of them
        return check(values)
    if single:
        return check(values)
    return LongList(items, what, check, first.dtype.kind), False


class LongList:
    """A list of arrays. A slice of it is checked and made into one array when it is taken.

    All dtypes must be of the same `kind`, as in an array. Taking a slice raises InputError if `check` does, or if
    the list has become shorter.
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
        label = f"{self._what} {numbers.start} to {numbers.stop - 1}"
        try:
            array, single = self._check(items)
        except InputError as error:
            raise InputError(f"{label}: {error}") from None
        if single:
            raise InputError(f"{label} have shape {array.shape[2:]}, unlike the first; give all the same shape")
        if array.dtype.kind != self._kind:
            raise InputError(f"{label} have dtype {array.dtype}, unlike the first; give all the same dtype")
        return array


def to_array(values: object, what: str, check_item: Callable[[object], None] | None = None) -> NDArray[Any]:
    """Return `values`, an array-like or lists of them, as an array.

    `check_item` is called for each item that is not a list, an array or a number. Raises InputError, in which
    `what` names the values, if they do not form an array, or if they contain arrays of different kinds: numpy
    would convert gray levels mixed with floating point to floating point.
    """
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    dtypes: set[np.dtype[Any]] = set()
    try:
        array = np.asarray(_plain(values, check_item, dtypes))
    except InputError:
        raise
    except Exception as error:  # an object's own __array__ may raise anything
        raise _no_array(what, error) from None
    if any(dtype.kind != array.dtype.kind for dtype in dtypes):
        names = sorted(map(str, dtypes | {array.dtype}))
        raise InputError(f"{what} have dtypes {' and '.join(names)}; expected one for all")
    return array


def _no_array(what: str, error: Exception) -> InputError:
    return InputError(f"{what} cannot be made into one array ({error})")


def _plain(value: object, check_item: Callable[[object], None] | None, dtypes: set[np.dtype[Any]]) -> object:
    """Return `value` as an array, or as lists of arrays; Python numbers in lists are not changed.

    The dtypes of the arrays are added to `dtypes`.
    """
    if isinstance(value, np.ndarray | np.generic):
        dtypes.add(value.dtype)
        return value
    items = as_list(value)
    if items is not None:
        if items and isinstance(items[0], int | float):  # a row of numbers, the innermost list
            return items
        return [_plain(item, check_item, dtypes) for item in items]
    if check_item is not None:
        check_item(value)
    if isinstance(value, int | float):
        return value
    array = np.asarray(_without_gradient(value))
    dtypes.add(array.dtype)
    return array


def _without_gradient(value: object) -> object:
    """Return `value`, or a torch tensor without gradient and not in bfloat16, for numpy. torch is not imported."""
    detach = getattr(value, "detach", None)
    if not callable(detach):
        return value
    tensor = detach()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def as_list(value: object) -> Sequence[object] | None:
    """Return a list or tuple as it is, another sequence that is not a str or an array as a list, else None."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, np.ndarray | str) or not isinstance(value, Sequence) or _is_array(value):
        return None
    return list(value)


def _is_array(value: object) -> bool:
    """Return whether numpy takes `value` as an array instead of a sequence of items."""
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return True
    try:
        memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices that divide `count` items into parts of `size`."""
    return (slice(at, at + size) for at in range(0, count, size))


def as_integer(name: str, value: object) -> int:
    """Return a Python or numpy integer as an int. Raises ArgumentError for anything else, and for a bool.

    An integer that is too long to print is refused too, so that every message can show the result.
    """
    # The first comparison is for speed: isinstance with a protocol takes as long as coding ten symbols
    if type(value) is int or (isinstance(value, SupportsIndex) and not isinstance(value, bool)):
        with suppress(TypeError):  # an array with more than one number, or with a dimension
            number = index(value)
            if number.bit_length() > LONGEST_INTEGER:
                most = f"an integer of at most {LONGEST_INTEGER} bits"
                raise ArgumentError(name, f"is {shown(number)}; expected {most}")
            return number
    raise ArgumentError(name, f"is {shown(value)}; expected an integer")


def as_flag(name: str, value: object) -> bool:
    """Return True or False. Raises ArgumentError for anything else."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ArgumentError(name, f"is {shown(value)}; expected True or False")


def require_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise ArgumentError unless `value` is one of `choices`."""
    if value not in choices:
        raise ArgumentError(name, f"is {shown(value)}; expected one of {', '.join(choices)}")


def as_bytes(content: object, what: str) -> bytes:
    """Return the bytes in any bytes-like object, even a strided one. Raises InputError for anything else.

    The message says that the bytes of `what` were expected.
    """
    if isinstance(content, bytes):
        return content
    try:
        return memoryview(content).tobytes()  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not a buffer, or one that was released
        raise InputError(f"expected the bytes of {what}, got {type(content).__name__}") from None


def as_index(value: object, images: int) -> int:
    """Return the number of one of `images` images, from 0. Raises InputError if there is no such image."""
    number = as_integer("index", value)
    if 0 <= number < images:
        return number
    several = f"its {images} images are numbered 0 to {images - 1}"
    content = several if images > 1 else "its only image has number 0" if images else "it is empty"
    raise InputError(f"has no image {number}; {content}")


def as_batch_size(value: object) -> int:
    """Return the number of items to read ahead. Raises InputError if it is not an integer of 1 or more."""
    size = as_integer("batch_size", value)
    if size < 1:
        raise InputError(f"batch_size is {size}; expected an integer of 1 or more")
    return size


def convert_each(
    name: str, one: str, items: Iterable[Item], convert: Callable[[Item], Result]
) -> Iterator[Result]:
    """Return an iterator over the results of `convert` for each item.

    Raises InputError immediately if `items`, the argument `name`, cannot be iterated over. The message of an
    InputError of `convert` gets a prefix: `one`, the word for an item, and the item's number.
    """
    try:
        iterator = iter(items)
    except TypeError:
        raise InputError(f"{name} is {shown(items)}; expected an iterable") from None

    def results() -> Iterator[Result]:
        for number, item in enumerate(iterator):
            try:
                result = convert(item)
            except InputError as error:
                raise InputError(f"{one} {number}: {error}") from None
            yield result

    return results()


def group_ahead(
    items: Iterable[Item], most: int, kind: Callable[[Item], object] = lambda item: None
) -> Iterator[list[Item]]:
    """Yield `items` in lists of consecutive items of one kind, at most `most` in each.

    An error that `items` raises is raised after the items before it were yielded.
    """
    iterator = iter(items)
    group: list[Item] = []
    failure: Exception | None = None
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            break
        except Exception as error:
            failure = error
            break
        if group and kind(item) != kind(group[0]):
            yield group
            group = []
        group.append(item)
        if len(group) == most:
            yield group
            group = []
    if group:
        yield group
    if failure is not None:
        raise failure


class _HasArray(Protocol):
    """A numpy array, or an object that converts itself to one, for example a PyTorch tensor."""

    def __array__(self) -> NDArray[Any]: ...


class _HasArrayInterface(Protocol):
    """An object whose memory numpy can read, for example a Pillow image."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


_Array = _HasArray | _HasArrayInterface
# One type per depth of nested lists: a recursive type would accept a str, whose items are strs
_Rows = Sequence[Sequence[float]]
_Image = _Array | _Rows
ImageLike = _Image | Sequence[_Image] | Sequence[Sequence[_Image]]
# Lists of integers are symbols; lists of floats would become float64, which is not a dtype of latents
LatentLike = _Array | Sequence[_Array] | Sequence[int] | Sequence[Sequence[int]]
BytesLike = bytes | bytearray | memoryview
