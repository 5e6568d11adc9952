"""Name the extra to install where a package is missing."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Import packages of an extra in this block. Raises ModuleNotFoundError that says what to install.

    It stays this class, because programs catch ImportError to go on without a package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(what_to_install(error, extra), name=error.name, path=error.path) from error


def what_to_install(error: ModuleNotFoundError, extra: str) -> str:
    """Return the sentence for a package of `extra` that is missing."""
    return f"this needs {error.name}: install fmae-edge with [{extra}], as in pip install '.[{extra}]' in a clone"
