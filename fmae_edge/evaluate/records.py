"""Validate untrusted JSON values. Each function returns the value or raises ValueError."""

from collections.abc import Sequence
from typing import Any, TypeVar

_Choice = TypeVar("_Choice", bound=str)

_LARGEST = 1e15  # larger integers are not exact as floats
_LONGEST = 200


def number(value: Any, above: float = -_LARGEST) -> float:
    """Return a finite number greater than `above`; integers stay integers."""
    if type(value) not in (int, float) or not above < value < _LARGEST:  # NaN compares with nothing
        raise ValueError(f"{str(value)[:40]!r} is not a number in range")
    found: float = value
    return found


def count(value: Any) -> int:
    """Return a count, an integer of 1 or more."""
    if type(value) is not int:
        raise ValueError(f"{str(value)[:40]!r} is not an integer")
    return int(number(value, above=0))


def text(value: Any) -> str:
    """Return a name: a short line of printable characters."""
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise ValueError(f"{str(value)[:40]!r} is not a line of printable text")
    return value


def chosen(value: Any, choices: Sequence[_Choice]) -> _Choice:
    """Return `value` if it is one of `choices`."""
    for choice in choices:
        if value == choice:
            return choice
    raise ValueError(f"{str(value)[:40]!r} is not one of {', '.join(choices)}")
