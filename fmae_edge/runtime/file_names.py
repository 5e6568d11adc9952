"""The names that images may have in a .fmae file: each could be a file's in one folder, on any system."""

from collections import Counter
from collections.abc import Collection, Mapping, Set
from contextlib import suppress

from fmae_edge.runtime.errors import InputError, shown

_MAX_NAME_BYTES = 200  # file systems allow 255, and what is being written has a longer name for a while


def as_names(names: object, images: int) -> list[str]:
    """Return names in their order. Raises InputError if they are not a list of different ones, one an image."""
    given: list[object] | None = None
    if isinstance(names, Collection) and not isinstance(names, str | Mapping | Set):
        with suppress(TypeError):  # an array without a dimension
            given = list(names)
    if given is None or len(given) != images:
        raise InputError(f"{images} images need a list of {images} names")
    listed: list[str] = []
    for name in given:
        if not isinstance(name, str) or not _is_file_name(name):
            raise InputError(f"{shown(name)} cannot be the name of a file in a folder")
        listed.append(name)
    twice = next((name for name, count in Counter(listed).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"images need different names, and {twice!r} is there twice")
    return listed


def _is_file_name(name: str) -> bool:
    """Whether `name` is one on any system, and prints as what it is."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:  # a name in the file system that is no text
        return False
    return (
        name.isprintable()
        and 0 < len(encoded) <= _MAX_NAME_BYTES
        and name not in (".", "..")
        and not set(name) & set("/\\")
    )
