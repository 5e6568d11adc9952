"""Errors about the arguments, in the words that the user typed."""

from collections.abc import Iterator
from contextlib import contextmanager

from fmae_edge.runtime.errors import ArgumentError, FmaeError, InputError


class UsageError(FmaeError):
    """Invalid or contradictory arguments, whatever the files contain: exit code 2."""


@contextmanager
def options_named() -> Iterator[None]:
    """Name a bad argument of the codec as the option that the user typed: --max-bytes, not max_bytes."""
    try:
        yield
    except ArgumentError as error:
        raise InputError(as_option(error)) from error


def as_option(error: ArgumentError) -> str:
    """Return the message of `error` with the name of the option instead of the argument."""
    return f"--{error.argument.replace('_', '-')} {error.problem}"
