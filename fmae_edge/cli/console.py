"""What a command says, and how much: --quiet, --verbose, --debug, colours, JSON lines."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from io import TextIOBase
from typing import Any, TextIO

from fmae_edge.runtime.errors import OutputError


@dataclass
class _Loudness:
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    print_above: Callable[[str], None] | None = None  # how a terminal gets a line while a progress bar is its last


_loudness = _Loudness()


def set_loudness(quiet: bool = False, verbose: bool = False, debug: bool = False) -> None:
    """Set what the rest of this process says: `quiet` only results and errors, `debug` tracebacks too."""
    _loudness.quiet, _loudness.verbose, _loudness.debug = quiet, verbose, debug


class ClosedOutput(TextIOBase):
    """Stands for a standard output that whoever started this has closed: results are not lost without a word."""

    def write(self, _: str) -> int:
        """Raise OutputError."""
        raise OutputError("standard output is closed")


def is_quiet() -> bool:
    """Whether only results and errors are wanted."""
    return _loudness.quiet


def is_verbose() -> bool:
    """Whether more is wanted than people usually read."""
    return _loudness.verbose


def printable(text: str) -> str:
    """Return `text` with escapes for what would steer a terminal or begin a line, as names of files may."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def print_above(bar: Callable[[str], None] | None) -> None:
    """Let `bar` print the lines that go to a terminal from now on; None when it has ended."""
    _loudness.print_above = bar


def print_line(line: str, stream: TextIO) -> None:
    """Print a line, on a terminal above the progress bar if there is one."""
    if _loudness.print_above is not None and stream.isatty():
        _loudness.print_above(line)
    else:
        print(line, file=stream)


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a line about what is done, to standard output if not said otherwise; nothing with --quiet.

    That is no result, so it may be lost where standard output is closed.
    """
    stream = stream or sys.stdout
    if not _loudness.quiet and not isinstance(stream, ClosedOutput):
        print_line(line, stream)


def say_error(sentence: str, error: BaseException | None = None) -> None:
    """Print `fmae-edge: SENTENCE` on standard error, with --debug after the traceback of `error`."""
    if _loudness.debug and error is not None:
        traceback.print_exception(error)
    print_line(f"{_red('fmae-edge:')} {printable(sentence)}", sys.stderr)


def json_line(record: dict[str, Any]) -> str:
    """Return `record` as JSON in one line. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(record, allow_nan=False)


def has_colours(stream: TextIO) -> bool:
    """Whether `stream` is a terminal whose user wants colours: see https://no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _red(text: str) -> str:
    return f"\x1b[31m{text}\x1b[0m" if has_colours(sys.stderr) else text
