"""Items of an iterator a few at a time, for what is faster with several at once."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from fmae_edge.runtime.arrays import as_integer
from fmae_edge.runtime.errors import InputError, shown

Item = TypeVar("Item")


def group_ahead(items: Iterable[Item], most: int, kind: Callable[[Item], object]) -> Iterator[list[Item]]:
    """Yield `items` in lists of consecutive ones of one kind, `most` at most.

    What `items` raises is raised after the items before it were yielded.
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


def as_batch_size(value: object) -> int:
    """Return how many items may be taken ahead. Raises InputError if it is no integer of 1 or more."""
    size = as_integer("batch_size", value)
    if size < 1:
        raise InputError(f"batch_size is {size}; expected an integer of 1 or more")
    return size


def as_iterator(name: str, values: Iterable[Item]) -> Iterator[Item]:
    """Return an iterator over `values`. Raises InputError if they cannot be iterated over."""
    try:
        return iter(values)
    except TypeError:
        raise InputError(f"{name} is {shown(values)}; expected an iterable") from None


@contextmanager
def numbered(what: str, number: int) -> Iterator[None]:
    """Put in front of an InputError which of the items it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what} {number}: {error}") from None
