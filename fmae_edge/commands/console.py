"""Print for people and programs: lines, errors, JSON, tables and progress bars."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOBase
from typing import Any, TextIO

from fmae_edge.runtime.errors import ArgumentError, FmaeError, OutputError

_SPELLINGS = {
    "output": "-o",
    "inputs": "the inputs",
    "latent_size": "--latent",
    "packet_bytes": "--packet",
    "start": "--from",
    "providers": "--provider",
}  # of arguments that are not options of the same name


class UsageError(FmaeError):
    """Options that are invalid or contradict each other: exit code 2."""


def as_option(error: ArgumentError) -> str:
    """Return the message of `error` with the option that the user typed: --max-bytes, not max_bytes."""
    name = _SPELLINGS.get(error.argument, f"--{error.argument.replace('_', '-')}")
    return f"{name} {error.problem}"


@contextmanager
def argument_errors_as_usage() -> Iterator[None]:
    """Turn an ArgumentError of a block into a UsageError that names the option."""
    try:
        yield
    except ArgumentError as error:
        raise UsageError(as_option(error)) from error


class _Verbosity:
    """The amount of output: only results and errors (quiet), a line per file (verbose), tracebacks (debug)."""

    quiet = verbose = debug = False
    print_above: Callable[[str], None] | None = None  # prints above the progress bar, if there is one


verbosity = _Verbosity()


def set_verbosity(quiet: bool = False, verbose: bool = False, debug: bool = False) -> None:
    """Set the amount of output: with `quiet` only results and errors, with `debug` tracebacks too."""
    verbosity.quiet, verbosity.verbose, verbosity.debug = quiet, verbose, debug


class ClosedOutput(TextIOBase):
    """Stand in for a standard output that the caller has closed: writing results raises an error."""

    def write(self, _: str) -> int:
        """Raise OutputError."""
        raise OutputError("standard output is closed")


def drop_unwritten() -> None:
    """Empty the buffer of a standard output that fails, because Python would fail again when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        if sys.stdout is sys.__stdout__:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def printable(text: str) -> str:
    """Return `text` with escapes for control characters and line breaks, which file names may contain."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def as_argument(path: object) -> str:
    """Return a path as an argument for a command: a path that starts with - would be read as options."""
    text = str(path)
    return f"./{text}" if text.startswith("-") and text != "-" else text


def print_line(line: str, stream: TextIO | None = None) -> None:
    """Print a line, by default to standard output; on a terminal, above the progress bar if there is one."""
    stream = stream or sys.stdout
    if verbosity.print_above is not None and stream.isatty():
        verbosity.print_above(line)
    else:
        print(line, file=stream, flush=True)  # a program that reads a pipe gets each line immediately


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a message about progress, by default to standard output. Prints nothing with --quiet.

    It is not a result, so it is dropped if standard output is closed. Control characters are escaped.
    """
    stream = stream or sys.stdout
    if not verbosity.quiet and not isinstance(stream, ClosedOutput):
        print_line(printable(line), stream)


def say_error(sentence: str, error: BaseException | None = None) -> None:
    """Print `fmae-edge: SENTENCE` on standard error, and with --debug the traceback of `error` before it."""
    if verbosity.debug and error is not None:
        traceback.print_exception(error)
    name = "\x1b[31mfmae-edge:\x1b[0m" if has_colours(sys.stderr) else "fmae-edge:"
    print_line(f"{name} {printable(sentence)}", sys.stderr)


def json_line(record: dict[str, Any]) -> str:
    """Return `record` as one line of JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(record, allow_nan=False)


def has_colours(stream: TextIO) -> bool:
    """Return whether `stream` is a terminal and colours are not disabled: see https://no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with aligned columns: the first is left-aligned, the others are right-aligned."""
    header, *rows = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for first, *others in (header, ["-" * width for width in widths], *rows):
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join(lines)


def shows_bars() -> bool:
    """Return whether progress bars are shown: on stderr, if it is a terminal and --quiet is not set."""
    return not verbosity.quiet and sys.stderr.isatty()


@contextmanager
def progress_bar(description: str, rate: bool = False, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show a progress bar below the other output; with `rate`, it shows the number per second too.

    Yields a function to call with (done, total), and with a new `description` and `details` if they change.
    """
    if not shows_bars():
        yield lambda done, total, description="", details="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[details]}"),
        TimeRemainingColumn(),
        console=console,
        redirect_stdout=False,  # results may use the streams
        redirect_stderr=False,
        transient=True,
    )
    task = bar.add_task(description, total=total, details="")

    def update(done: int, total: int, description: str = description, details: str = "") -> None:
        bar.update(task, completed=done, total=total, description=description, details=details)
        if rate and (speed := bar.tasks[0].speed):
            bar.update(task, details=f"{speed:,.0f}/s")

    with bar:
        verbosity.print_above = lambda line: console.print(Text.from_ansi(line), soft_wrap=True)
        try:
            yield update
        finally:
            verbosity.print_above = None
