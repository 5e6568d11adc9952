"""What became of each input of a command, and how that is told."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from fmae_edge.cli.console import is_quiet, is_verbose, json_line, print_line, printable, say, say_error
from fmae_edge.cli.files import STREAM
from fmae_edge.runtime.fmae_file import SUFFIX as FMAE_SUFFIX

Status = Literal["done", "skipped", "failed", "planned"]

_WEIGHT: tuple[Status, ...] = ("failed", "done", "planned", "skipped")  # which one counts, of several of an input
_MANY = 20  # inputs: more lines than that are not read, so a terminal gets a bar in their place


@dataclass(frozen=True)
class Outcome:
    """What became of an input, or of one image in it: where it went, how many bytes that are, what was converted.

    `cause` is what --debug shows of a failure.
    """

    input: str
    output: str | None
    status: Status
    bytes: int | None = None
    notes: Sequence[str] = ()
    error: str | None = None
    cause: BaseException | None = None

    def to_record(self) -> dict[str, Any]:
        """Return what --json prints."""
        return {
            "input": self.input,
            "output": self.output,
            "status": self.status,
            "bytes": self.bytes,
            "notes": list(self.notes),
            "error": self.error,
        }

    def to_line(self) -> str:
        """Return what people read."""
        size = [f"{self.bytes} bytes"] if str(self.output).endswith(FMAE_SUFFIX) and self.bytes is not None else []
        notes = "; ".join([*self.notes, *size, *(["exists, skipped"] if self.status == "skipped" else [])])
        return printable(f"{self.input} -> {self.output}" + (f"  ({notes})" if notes else ""))


class Tally:
    """Prints outcomes as they come, a bar for many on a terminal, and counts them."""

    def __init__(self, inputs: int, json: bool, advance: Callable[[int, int], None] | None) -> None:
        self._inputs, self._json = inputs, json
        self._advance = advance
        self._handled = 0
        self._counts: Counter[Status] = Counter()
        self._converted = 0
        self._lists = advance is None or is_verbose() or not sys.stdout.isatty()
        self._began = time.monotonic()

    def add(self, inputs: Sequence[Sequence[Outcome]]) -> None:
        """Tell the outcomes of more inputs: one for each, or for each image in it, and one more if it failed."""
        for outcomes in inputs:
            found = {outcome.status for outcome in outcomes}
            self._counts[next(status for status in _WEIGHT if status in found)] += 1
            self._converted += any(outcome.notes for outcome in outcomes)
            for outcome in outcomes:
                self._tell(outcome)

    def fail(self, sentence: str, cause: BaseException, inputs: Sequence[object]) -> None:
        """Tell, once to people, what all of these inputs have failed by."""
        say_error(sentence, cause)
        self._counts["failed"] += len(inputs)
        for each in inputs if self._json else ():
            print_line(json_line(Outcome(str(each), None, "failed", error=sentence).to_record()), sys.stdout)

    def _tell(self, outcome: Outcome) -> None:
        to_stdout = outcome.output == str(STREAM)
        stream = sys.stderr if to_stdout else sys.stdout
        if outcome.error is not None:
            say_error(outcome.error, outcome.cause)
        if self._json:
            print_line(json_line(outcome.to_record()), stream)
        elif self._lists and outcome.error is None and (outcome.notes or not to_stdout):
            say(outcome.to_line(), stream)

    def advance(self, inputs: int) -> None:
        """Move the bar: so many more inputs are dealt with."""
        self._handled += inputs
        if self._advance is not None:
            self._advance(self._handled, self._inputs)

    def interrupted(self, advice: str) -> NoReturn:
        """Tell that Ctrl-C has ended it, and how to go on; exit with 130."""
        place = f" after {self._handled} of {self._inputs} inputs" if self._inputs > 1 else ""
        say_error(f"interrupted{place}; {advice}")
        sys.exit(130)

    def finish(self) -> None:
        """Sum up, and exit with 1 if an input failed."""
        if self._inputs > 1 and not self._json:
            say(self._summary(), sys.stderr)
        if self._counts["failed"]:
            sys.exit(1)

    def _summary(self) -> str:
        counts, seconds = self._counts, time.monotonic() - self._began
        done = f"{counts['planned']} would be done" if counts["planned"] else f"{counts['done']} done"
        if self._converted and not self._lists:
            done += f" ({self._converted} converted: --verbose says how)"
        return f"{done}, {counts['skipped']} skipped, {counts['failed']} failed in {seconds:.1f} s"


@contextmanager
def tally(inputs: int, json: bool) -> Iterator[Tally]:
    """Count the outcomes of so many inputs, under a bar if they are many and a terminal shows it."""
    shows = inputs > _MANY and sys.stderr.isatty() and not is_quiet() and not (json and sys.stdout.isatty())
    if not shows:
        yield Tally(inputs, json, None)
        return
    from fmae_edge.cli.progress import progress_bar  # only now: it takes longer to import than a few files take

    with progress_bar("files", rate=True, total=inputs) as advance:
        yield Tally(inputs, json, advance)
