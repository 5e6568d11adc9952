"""The options of .fmae files, as an application gives them."""

from fmae_edge.runtime.arrays import as_integer
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.manifest import QUALITIES
from fmae_edge.runtime.search import MAX_EFFORT

DEFAULT_QUALITY = 5


def as_options(quality: object, effort: object, max_bytes: object) -> tuple[int, int, int | None]:
    """Return the options of `Codec.compress` as integers. Raises InputError if one is none or out of range."""
    numbers = []
    for name, value, least, most in (("quality", quality, 1, QUALITIES), ("effort", effort, 0, MAX_EFFORT)):
        numbers.append(as_integer(name, value))
        if not least <= numbers[-1] <= most:
            raise InputError(f"{name} is {value}; expected an integer from {least} to {most}")
    return numbers[0], numbers[1], None if max_bytes is None else as_integer("max_bytes", max_bytes)
