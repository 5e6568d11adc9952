"""Parse the integers that a user types as options."""

import re
from collections.abc import Callable

from fmae_edge.commands.console import UsageError
from fmae_edge.runtime.errors import shown

_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")
_DIGITS = 20  # one more than _LARGEST has: Python refuses to read thousands of digits
_LARGEST = 2**63 - 1
_LONGEST_SHOWN = 40  # characters


def integer(option: str, least: int, most: int = _LARGEST) -> Callable[[str | int], int]:
    """Return a parser of integers from `least` to `most`, which raises UsageError with the name of the option."""

    def parse(value: str | int) -> int:
        text = str(value)
        digits = _INTEGER.fullmatch(text)
        number = None if digits is None else int(digits[1] + digits[2][:_DIGITS])
        if number is None or not least <= number <= most:
            too_large = number is not None and number > most
            bounds = f"from {least} to {most}" if too_large or most < _LARGEST else f"of at least {least}"
            raise UsageError(f"{option} is {shown(text, _LONGEST_SHOWN)}; expected an integer {bounds}")
        return number

    return parse
