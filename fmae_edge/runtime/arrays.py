"""Turn what a caller gives into an array."""

from collections.abc import Iterator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import InputError


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
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise InputError(f"{name} is {value!r}; expected an integer")
    return value.__index__()
