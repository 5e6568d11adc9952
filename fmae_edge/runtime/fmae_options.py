"""The options of .fmae files, as an application gives them."""

from dataclasses import dataclass

from fmae_edge.runtime.arrays import as_integer
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.manifest import QUALITIES
from fmae_edge.runtime.search import MAX_EFFORT

DEFAULT_QUALITY = 5


@dataclass(frozen=True)
class CodingOptions:
    """How to compress: `quality` 1 to 9, which `max_bytes` overrides unless it is None, and `effort` 0 to 9."""

    quality: int
    effort: int
    max_bytes: int | None


def as_options(quality: object, effort: object, max_bytes: object) -> CodingOptions:
    """Return the options of `Codec.compress`. Raises InputError if one is not an integer or out of range."""
    return CodingOptions(
        as_quality(quality),
        _in_range("effort", effort, 0, MAX_EFFORT),
        None if max_bytes is None else as_integer("max_bytes", max_bytes),
    )


def as_quality(quality: object) -> int:
    """Return a quality as an integer. Raises InputError if it is none from 1 to 9."""
    return _in_range("quality", quality, 1, QUALITIES)


def _in_range(name: str, value: object, least: int, most: int) -> int:
    number = as_integer(name, value)
    if not least <= number <= most:
        raise InputError(f"{name} is {number}; expected an integer from {least} to {most}")
    return number
