"""The options for writing and reading .fmae files, as an application gives them."""

from dataclasses import dataclass

from fmae_edge.runtime.arrays import as_integer
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.fmae_file import MAX_IMAGES
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
    """Return a quality as an integer. Raises InputError if it is not from 1 to 9."""
    return _in_range("quality", quality, 1, QUALITIES)


def _in_range(name: str, value: object, least: int, most: int) -> int:
    number = as_integer(name, value)
    if not least <= number <= most:
        raise InputError(f"{name} is {number}; expected an integer from {least} to {most}")
    return number


def as_max_images(max_images: object) -> int:
    """Return how many images a file may hold, by default as many as the format allows.

    Raises InputError if `max_images` is not an integer from 0 up.
    """
    most = MAX_IMAGES if max_images is None else as_integer("max_images", max_images)
    if most < 0:
        raise InputError(f"max_images is {most}; expected 0 or more")
    return most
