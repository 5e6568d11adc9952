"""Print lines, errors and JSON as --quiet, --verbose, --debug and the terminal ask for it."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from io import TextIOBase
from typing import Any, TextIO

from fmae_edge.runtime.errors import ArgumentError, FmaeError, OutputError

_SPELLINGS = {"output": "-o", "inputs": "the inputs"}  # of arguments that are not options of the same name


class UsageError(FmaeError):
    """Options that are wrong or contradict each other: exit code 2."""


def as_option(error: ArgumentError) -> str:
    """Return the message of `error` with the option that the user typed: --max-bytes, not max_bytes."""
    name = _SPELLINGS.get(error.argument, f"--{error.argument.replace('_', '-')}")
    return f"{name} {error.problem}"


@dataclass
class _Loudness:
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    print_above: Callable[[str], None] | None = None  # prints above the progress bar, if there is one


_loudness = _Loudness()


def set_loudness(quiet: bool = False, verbose: bool = False, debug: bool = False) -> None:
    """Set how much this process prints: with `quiet` only results and errors, with `debug` tracebacks too."""
    _loudness.quiet, _loudness.verbose, _loudness.debug = quiet, verbose, debug


class ClosedOutput(TextIOBase):
    """Stand in for a standard output that the caller has closed: writing results raises an error."""

    def write(self, _: str) -> int:
        """Raise OutputError."""
        raise OutputError("standard output is closed")


def drop_unwritten() -> None:
    """Leave nothing in the buffer of a standard output that fails: Python would fail again when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        if sys.stdout is sys.__stdout__:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def is_quiet() -> bool:
    """Whether only results and errors are wanted."""
    return _loudness.quiet


def is_verbose() -> bool:
    """Whether a line for every file is wanted, however many there are."""
    return _loudness.verbose


def printable(text: str) -> str:
    """Return `text` with escapes for control characters and line breaks, which file names may contain."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def as_argument(path: object) -> str:
    """Return a path as it can be given to a command: one that starts with - would be read as options."""
    text = str(path)
    return f"./{text}" if text.startswith("-") and text != "-" else text


def print_above(bar: Callable[[str], None] | None) -> None:
    """Send lines for a terminal to `bar` from now on, or print them as usual if it is None."""
    _loudness.print_above = bar


def print_line(line: str, stream: TextIO) -> None:
    """Print a line, on a terminal above the progress bar if there is one."""
    if _loudness.print_above is not None and stream.isatty():
        _loudness.print_above(line)
    else:
        print(line, file=stream, flush=True)  # a program that reads a pipe follows a long run


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a message about progress, by default to standard output. Prints nothing with --quiet.

    It is not a result, so it is dropped if standard output is closed. Control characters are escaped.
    """
    stream = stream or sys.stdout
    if not _loudness.quiet and not isinstance(stream, ClosedOutput):
        print_line(printable(line), stream)


def say_error(sentence: str, error: BaseException | None = None) -> None:
    """Print `fmae-edge: SENTENCE` on standard error, and with --debug the traceback of `error` before it."""
    if _loudness.debug and error is not None:
        traceback.print_exception(error)
    print_line(f"{_red('fmae-edge:')} {printable(sentence)}", sys.stderr)


def json_line(record: dict[str, Any]) -> str:
    """Return `record` as one line of JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(record, allow_nan=False)


def has_colours(stream: TextIO) -> bool:
    """Whether `stream` is a terminal whose user wants colours: see https://no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _red(text: str) -> str:
    return f"\x1b[31m{text}\x1b[0m" if has_colours(sys.stderr) else text
