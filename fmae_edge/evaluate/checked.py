"""Values of JSON that anyone may have written: what they have to be, or ValueError."""

from collections.abc import Sequence
from typing import Any, TypeVar

_Choice = TypeVar("_Choice", bound=str)

_LARGEST = 1e15  # of anything measured; beyond it integers are no longer exact
_LONGEST = 200


def number(value: Any, above: float = -_LARGEST) -> float:
    """Return a finite number greater than `above`; an integer stays one."""
    if type(value) not in (int, float) or not above < value < _LARGEST:  # NaN compares with nothing
        raise ValueError(f"{str(value)[:40]!r} is no number that can be here")
    found: float = value
    return found


def count(value: Any) -> int:
    """Return an integer that counts something: 1 or more."""
    if type(value) is not int:
        raise ValueError(f"{str(value)[:40]!r} is no whole number")
    return int(number(value, above=0))


def text(value: Any) -> str:
    """Return a name: a short line of printable characters."""
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise ValueError(f"{str(value)[:40]!r} is no name")
    return value


def chosen(value: Any, choices: Sequence[_Choice]) -> _Choice:
    """Return the one of `choices` that `value` is."""
    for choice in choices:
        if value == choice:
            return choice
    raise ValueError(f"{str(value)[:40]!r} is none of {', '.join(choices)}")
