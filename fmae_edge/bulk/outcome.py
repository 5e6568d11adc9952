"""Count and report the outcome of each input of a command."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TextIO

from fmae_edge.bulk.sources import STREAM, Inputs, as_argument
from fmae_edge.commands.console import is_quiet, is_verbose, json_line, print_line, printable, say, say_error
from fmae_edge.runtime.errors import DiskError, ResourceError
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX

Status = Literal["done", "skipped", "failed", "planned"]

_WEIGHT: tuple[Status, ...] = (
    "failed",
    "done",
    "planned",
    "skipped",
)  # an input with several outcomes counts as the first of these
_MANY = 20  # inputs: with more than that, a terminal shows a bar instead of lines


@dataclass(frozen=True)
class Outcome:
    """The outcome of an input, or of one image in it: its output, size in bytes, and notes on conversions.

    `hint` is only for people. `cause` is the error that --debug shows.
    """

    input: str
    output: str | None
    status: Status
    bytes: int | None = None
    notes: Sequence[str] = ()
    error: str | None = None
    hint: str = ""
    cause: BaseException | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the record that --json prints."""
        return {
            "input": self.input,
            "output": self.output,
            "status": self.status,
            "bytes": self.bytes,
            "notes": list(self.notes),
            "error": self.error,
        }

    def to_line(self) -> str:
        """Return the line for people."""
        says_size = self.hint or str(self.output).endswith(FMAE_SUFFIX)
        size = [f"{self.bytes} bytes"] if says_size and self.bytes is not None else []
        hint = [self.hint] if self.hint else []
        exists = ["exists, skipped"] if self.status == "skipped" else []
        notes = "; ".join([*self.notes, *size, *hint, *exists])
        return printable(
            f"{as_argument(self.input)} -> {as_argument(self.output)}" + (f"  ({notes})" if notes else "")
        )


class Tally:
    """Print outcomes to `stream` as they come, or a bar for many of them on a terminal, and count them."""

    def __init__(
        self,
        inputs: Inputs,
        json: bool,
        stream: TextIO,
        advance: Callable[[int, int], None] | None = None,
        way_on: str = "",
    ) -> None:
        self._given, self._inputs = inputs, len(inputs.sources)
        self._way_on = way_on
        self._json, self._stream = json, stream
        self._advance = advance
        self._handled = 0
        self._counts: Counter[Status] = Counter()
        self._converted = 0
        self._said: set[str] = set()
        self._told = 0
        self._stopped: tuple[str, BaseException | None] | None = None
        self._lists = advance is None or is_verbose() or not sys.stdout.isatty()
        self._began = time.monotonic()

    def add(self, inputs: Iterable[Sequence[Outcome]]) -> None:
        """Report the outcomes of more inputs: one per input or per image in it, and one more if it failed.

        An error that several inputs share is printed once, and last if it stops the rest.
        """
        for outcomes in inputs:
            found = {outcome.status for outcome in outcomes}
            self._counts[next(status for status in _WEIGHT if status in found)] += 1
            self._converted += any(outcome.notes for outcome in outcomes)
            self._told += len(outcomes)
            for outcome in outcomes:
                self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if outcome.error is not None and isinstance(outcome.cause, DiskError | ResourceError):
            self.stop(outcome.error, outcome.cause)
        elif outcome.error is not None and outcome.error not in self._said:
            self._said.add(outcome.error)
            say_error(outcome.error, outcome.cause)
        if self._json:
            print_line(json_line(outcome.to_record()), self._stream)
        elif self._lists and outcome.output is not None and (outcome.notes or outcome.output != str(STREAM)):
            say(outcome.to_line(), self._stream)

    def advance(self, inputs: int) -> None:
        """Move the bar by a number of inputs."""
        self._handled += inputs
        if self._advance is not None:
            self._advance(self._handled, self._inputs)

    def stop(self, sentence: str, cause: BaseException | None = None) -> None:
        """Note why the run ends early, to print it at the end; the first reason counts."""
        self._stopped = self._stopped or (sentence, cause)

    def interrupted(self, instead: str = "") -> NoReturn:
        """Report Ctrl-C and how to go on, or `instead`; exit with 130."""
        place = f" after {self._handled} of {self._inputs} inputs" if self._inputs > 1 else ""
        say_error(f"interrupted{place}; {instead or self._way_on}")
        if self._json:
            self._print_record()
        sys.exit(130)

    def finish(self) -> None:
        """Sum up, and exit with 1 if an input failed or was not tried, or if something ended it early."""
        if self._stopped is not None:
            sentence, cause = self._stopped
            rest = f"; {self._untried} of {self._inputs} inputs not tried" if self._untried else ""
            is_partly_done = self._untried or self._told > 1
            way_on = f"; {self._way_on}" if is_partly_done and isinstance(cause, DiskError | ResourceError) else ""
            say_error(sentence + rest + way_on, cause)
        if self._json:
            self._print_record()
        elif self._inputs > 1 or self._given.passed_over:
            say(self._summary(), sys.stderr)
        if self._counts["failed"] or self._untried or self._stopped is not None:
            sys.exit(1)

    @property
    def _untried(self) -> int:
        return self._inputs - self._counts.total()

    def _print_record(self) -> None:
        record = {
            "inputs": self._inputs,
            **{status: self._counts[status] for status in ("done", "skipped", "failed", "planned")},
            "not_tried": self._untried,
            "passed_over": self._given.passed_over,
            "seconds": round(time.monotonic() - self._began, 3),
        }
        print_line(json_line({"summary": record}), self._stream)

    def _summary(self) -> str:
        counts, seconds = self._counts, time.monotonic() - self._began
        done = f"{counts['planned']} would be done" if counts["planned"] else f"{counts['done']} done"
        if self._converted and not self._lists:
            done += f" ({self._converted} converted: --verbose says how)"
        untried = f", {self._untried} not tried" if self._untried else ""
        failed = f"{counts['failed']} failed{untried} in {seconds:.1f} s"
        passed = f"; {_passed_over(self._given)}" if self._given.passed_over else ""
        return f"{done}, {counts['skipped']} skipped, {failed}{passed}"


def _passed_over(inputs: Inputs) -> str:
    """Return how many files in folders were passed over, and why."""
    *most, last = inputs.suffixes
    endings = f"{', '.join(most)} or {last}"
    if inputs.passed_over == 1:
        return f"1 file passed over: its name does not end in {endings}"
    return f"{inputs.passed_over} files passed over: their names do not end in {endings}"


@contextmanager
def tally(inputs: Inputs, json: bool, stream: TextIO, way_on: str) -> Iterator[Tally]:
    """Count the outcomes of inputs, with a bar if they are many and stderr is a terminal.

    `way_on` tells the user how to do what a run has left.
    """
    many = len(inputs.sources)
    shows = many > _MANY and sys.stderr.isatty() and not is_quiet() and not (json and sys.stdout.isatty())
    if not shows:
        yield Tally(inputs, json, stream, None, way_on)
        return
    from fmae_edge.commands.console import progress_bar

    with progress_bar("files", rate=True, total=many) as advance:
        yield Tally(inputs, json, stream, advance, way_on)
