"""Run a conversion of many files for the command line, and print the outcome of each input."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from fmae_edge.bulk.outcomes import Outcome, Outcomes
from fmae_edge.commands.console import (
    UsageError,
    as_argument,
    as_option,
    drop_unwritten,
    is_quiet,
    is_verbose,
    json_line,
    print_line,
    printable,
    progress_bar,
    say,
    say_error,
)
from fmae_edge.runtime.errors import ArgumentError, DiskError, FmaeError, OutputError, ResourceError
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX

_MANY = 20  # inputs: with more than that, a terminal shows a bar instead of lines


def convert_and_print(
    convert: Callable[..., Outcomes],
    inputs: list[str],
    output: str | None = None,
    *,
    force: bool = False,
    json: bool = False,
    **options: Any,
) -> None:
    """Call `compress_files` or `decompress_files` with the options of the command, and print the outcomes.

    Exits with 1 if an input failed or was not tried, with 130 after Ctrl-C. Raises UsageError for wrong options.
    """
    if output is not None and output.startswith("-") and output != "-":
        raise UsageError(f"-o needs a path, got the option {output}; write ./{output} if it is a file name")
    try:
        run = convert(inputs, output, force=force, **options)
    except ArgumentError as error:
        raise UsageError(as_option(error)) from error
    print_outcomes(run, json, force)


def print_outcomes(run: Outcomes, json: bool = False, force: bool = False) -> None:
    """Do `run`, and print its outcomes as they come, or a bar for many of them on a terminal.

    Exits with 1 if an input failed or was not tried, with 130 after Ctrl-C.
    """
    with _bar(run, json) as has_bar:
        _Printer(run, json, force, lists=not has_bar or is_verbose() or not sys.stdout.isatty()).print_all()


@contextmanager
def _bar(run: Outcomes, json: bool) -> Iterator[bool]:
    """Show a bar if the inputs are many and stderr is a terminal. Yields whether it does."""
    shows = run.inputs > _MANY and sys.stderr.isatty() and not is_quiet() and not (json and sys.stdout.isatty())
    if not shows:
        yield False
        return
    with progress_bar("files", rate=True, total=run.inputs) as advance:
        run.on_progress = lambda handled: advance(handled, run.inputs)
        yield True


class _Printer:
    """Print the outcomes of a run, one line each if it `lists`, and a summary."""

    def __init__(self, run: Outcomes, json: bool, force: bool, lists: bool) -> None:
        self._run, self._json, self._lists = run, json, lists
        self._stream = sys.stderr if run.to_stdout else sys.stdout
        self._began = time.monotonic()
        self._printed = 0
        self._said: set[str] = set()
        self._ended_by: FmaeError | None = None
        self._last_words = ""  # the error of the outcome that ended the run
        # Not with --skip-existing after --force, which would skip old files
        self._way_on = "to go on, run the same command" + (
            "" if force or run.one_file else " with --skip-existing"
        )

    def print_all(self) -> None:
        """Print every outcome, what ended the run early, and the summary; exit with 1 if something failed."""
        try:
            for outcome in self._outcomes():
                self._print(outcome)
        except KeyboardInterrupt:
            self._interrupted()
        if self._ended_by is not None:
            self._say_end(self._ended_by)
        self._print_summary()
        if self._ended_by is not None or self._run.counts["failed"] or self._run.not_tried:
            if self._run.to_stdout:
                drop_unwritten()
            sys.exit(1)

    def _outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes of the run, and note what ended it early: not what printing an outcome raises."""
        try:
            yield from self._run
        except (OutputError, ResourceError) as error:
            self._ended_by = error

    def _print(self, outcome: Outcome) -> None:
        """Print an outcome. An error that several inputs share is printed once, and last if it ends the run."""
        outcome = _with_options(outcome)
        self._printed += 1
        if outcome.error is not None and isinstance(outcome.cause, DiskError | ResourceError):
            self._last_words = self._last_words or outcome.error
        elif outcome.error is not None and outcome.error not in self._said:
            self._said.add(outcome.error)
            say_error(outcome.error, outcome.cause)
        if self._json:
            print_line(json_line(_record_of(outcome)), self._stream)
        elif self._lists and outcome.output is not None and (outcome.notes or outcome.output != "-"):
            say(_line_of(outcome), self._stream)

    def _say_end(self, error: FmaeError) -> None:
        run, way_on = self._run, ""
        if isinstance(error, DiskError | ResourceError):
            way_on = f"; {self._way_on}" if run.not_tried or self._printed > 1 else ""
        elif run.counts["skipped"]:  # one file of all inputs is not written, because some failed
            way_on = "; --keep-going writes the others"
        rest = f"; {run.not_tried} of {run.inputs} inputs not tried" if run.not_tried else ""
        say_error((self._last_words or str(error)) + rest + way_on, error)

    def _interrupted(self) -> NoReturn:
        run = self._run
        place = f" after {run.handled} of {run.inputs} inputs" if run.inputs > 1 else ""
        say_error(f"interrupted{place}; {'nothing was written' if run.one_file else self._way_on}")
        if self._json:
            self._print_record()
        sys.exit(130)

    def _print_summary(self) -> None:
        if self._json:
            self._print_record()
        elif self._run.inputs > 1 or self._run.passed_over:
            say(self._summary(), sys.stderr)

    def _print_record(self) -> None:
        run = self._run
        record = {
            "inputs": run.inputs,
            **{status: run.counts[status] for status in ("done", "skipped", "failed", "planned")},
            "not_tried": run.not_tried,
            "passed_over": run.passed_over,
            "seconds": round(time.monotonic() - self._began, 3),
        }
        print_line(json_line({"summary": record}), self._stream)

    def _summary(self) -> str:
        run, counts = self._run, self._run.counts
        done = f"{counts['planned']} would be done" if counts["planned"] else f"{counts['done']} done"
        if run.converted and not self._lists:
            done += f" ({run.converted} converted: --verbose says how)"
        not_tried = f", {run.not_tried} not tried" if run.not_tried else ""
        failed = f"{counts['failed']} failed{not_tried} in {time.monotonic() - self._began:.1f} s"
        return f"{done}, {counts['skipped']} skipped, {failed}{_passed_over(run)}"


def _with_options(outcome: Outcome) -> Outcome:
    """Return an outcome whose error names the option that the user typed instead of the argument."""
    for cause in (outcome.cause, outcome.cause and outcome.cause.__cause__):
        if outcome.error is not None and isinstance(cause, ArgumentError):
            return replace(outcome, error=outcome.error.replace(str(cause), as_option(cause)))
    return outcome


def _record_of(outcome: Outcome) -> dict[str, Any]:
    """Return the record that --json prints."""
    return {
        "input": outcome.input,
        "output": outcome.output,
        "status": outcome.status,
        "bytes": outcome.bytes,
        "notes": list(outcome.notes),
        "error": outcome.error,
    }


def _line_of(outcome: Outcome) -> str:
    """Return the line for people."""
    hint = ""
    if outcome.fmae_bytes is not None and not is_quiet():
        with suppress(FmaeError):  # a bundle without a prior cannot make .fmae files
            fmae = as_argument(Path(str(outcome.output)).with_suffix(FMAE_SUFFIX))
            hint = f"-o {fmae} would take {outcome.fmae_bytes()}"
    notes = [*outcome.notes]
    if outcome.bytes is not None and (hint or str(outcome.output).endswith(FMAE_SUFFIX)):
        notes.append(f"{outcome.bytes} bytes")
    notes += [hint] * bool(hint) + ["exists, skipped"] * (outcome.status == "skipped")
    line = f"{as_argument(outcome.input)} -> {as_argument(outcome.output)}"
    return printable(line + (f"  ({'; '.join(notes)})" if notes else ""))


def _passed_over(run: Outcomes) -> str:
    """Return how many files in folders were passed over, and why."""
    *most, last = run.suffixes
    endings = f"{', '.join(most)} or {last}"
    if run.passed_over == 1:
        return f"; 1 file passed over: its name does not end in {endings}"
    if run.passed_over:
        return f"; {run.passed_over} files passed over: their names do not end in {endings}"
    return ""
