"""The errors that fmae-edge raises for bad data, a bad file or a bad bundle.

Each message is a sentence that names the value that was wrong and the way out of it.
"""


class FmaeError(Exception):
    """The base of all errors of fmae-edge: catch this one to catch them all."""


class InputError(FmaeError, ValueError):
    """Data that cannot be taken: a wrong shape, dtype, range or file content."""


class ArgumentError(InputError):
    """An argument of a call that is wrong: `argument` is its name, and `problem` continues the sentence."""

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(argument, problem)
        self.argument, self.problem = argument, problem

    def __str__(self) -> str:
        return f"{self.argument} {self.problem}"


class BundleError(FmaeError):
    """A bundle that is incomplete, altered, or made for another version of the format."""


class OutputError(FmaeError):
    """A result that cannot be put where it was asked for without losing something, or at all."""
