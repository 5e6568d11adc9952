"""Run a conversion of many files for the command line, and print the outcome of each input."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fmae_edge.bulk.decoded_results import UnlikeTraining
from fmae_edge.bulk.run import BulkRun, Outcome
from fmae_edge.commands import console
from fmae_edge.commands.console import UsageError, as_argument, as_option, print_line, printable, say, say_error
from fmae_edge.runtime.errors import ArgumentError, DiskError, FmaeError, ResourceError
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX

_RECORDED = ("input", "output", "status", "bytes", "notes")  # and the error
_MANY = 20  # inputs: with more than that, a terminal shows a bar instead of lines


def convert_and_print(
    convert: Callable[..., BulkRun],
    inputs: list[str],
    output: str | None = None,
    *,
    force: bool = False,
    json: bool = False,
    **options: Any,
) -> None:
    """Call `compress_files` or `decompress_files` with the options of the command, and print the outcomes.

    Raises UsageError for wrong options. Exits as `print_outcomes` does.
    """
    if output is not None and output.startswith("-") and output != "-":
        raise UsageError(f"-o needs a path, got the option {output}; write ./{output} if it is a file name")
    try:
        run = convert(inputs, output, force=force, **options)
    except ArgumentError as error:
        raise UsageError(as_option(error)) from error
    verifies = bool(options.get("verify"))
    with _bar(run, json) as has_bar:
        lists = not has_bar or console.verbosity.verbose or not sys.stdout.isatty()
        # Not with --skip-existing after --force, which would skip old files
        option = "" if force or run.one_file else " with --skip-existing"
        print_outcomes(run, json, lists, f"to continue, run the same command{option}", verifies)


def print_outcomes(
    run: BulkRun, json: bool = False, lists: bool = True, advice: str = "", verifies: bool = False
) -> None:
    """Print the outcomes of a run as they come, one line each if it `lists`, and a summary.

    `advice` says how to continue a run that ends early. If it `verifies`, the PSNRs are printed too. Warns once
    about images that are unlike those that the bundle was trained on. Exits with 1 if an input failed or was not
    tried, with 130 after Ctrl-C.
    """
    stream = sys.stderr if run.to_stdout else sys.stdout
    began, exit_code, printed = time.monotonic(), 0, 0
    errors_printed: set[str] = set()
    warned = False
    try:
        for outcome in run:
            printed += 1
            if run.unlike_training is not None and not warned:
                warned = True
                say(f"fmae-edge: warning: {_warning(run.unlike_training)}", sys.stderr)
            error, ends = _error_of(outcome), isinstance(outcome.cause, DiskError | ResourceError)
            if error is not None and error not in errors_printed and not ends:  # one that ends the run comes last
                errors_printed.add(error)
                say_error(error, outcome.cause)
            if json:
                record = {name: getattr(outcome, name) for name in _RECORDED}
                if verifies:
                    record["psnr"] = None if outcome.psnr == math.inf else outcome.psnr
                record["error"] = error
                print_line(console.json_line(record), stream)
            elif lists and outcome.output is not None and (outcome.notes or outcome.output != "-"):
                say(_line_of(outcome), stream)
    except KeyboardInterrupt:
        exit_code = 130
        place = f" after {run.handled} of {run.inputs} inputs" if run.inputs > 1 else ""
        say_error(f"interrupted{place}; {'nothing was written' if run.one_file else advice}")
    except FmaeError as error:
        if error is not run.ended_by:  # standard output may be closed
            raise
        say_error(f"{error}{_left_undone(run, printed, advice)}", error)
    seconds = time.monotonic() - began
    closing = run.closing()
    if closing is not None and not json:
        say(closing.sentence, sys.stderr)
    if json:
        counts = {status: run.counts[status] for status in ("done", "skipped", "failed", "planned")}
        record = {"inputs": run.inputs, **counts, "not_tried": run.not_tried, "passed_over": run.passed_over}
        facts = {} if closing is None else closing.facts
        print_line(console.json_line({"summary": {**record, "seconds": round(seconds, 3), **facts}}), stream)
    elif not exit_code and (run.inputs > 1 or run.passed_over):
        say(_summary(run, lists, seconds), sys.stderr)
    if not exit_code and not (run.counts["failed"] or run.not_tried or run.ended_by):
        return
    if run.to_stdout:
        console.drop_unwritten()
    sys.exit(exit_code or 1)


@contextmanager
def _bar(run: BulkRun, json: bool) -> Iterator[bool]:
    """Show a bar if there are many inputs and stderr is a terminal. Yields True if it is shown."""
    shows = run.inputs > _MANY and sys.stderr.isatty() and not (json and sys.stdout.isatty())
    if not shows or console.verbosity.quiet:
        yield False
        return
    with console.progress_bar("files", rate=True, total=run.inputs) as advance:
        run.on_progress = lambda handled: advance(handled, run.inputs)
        yield True


def _error_of(outcome: Outcome) -> str | None:
    """Return the error of an outcome with the option that the user typed instead of the argument."""
    for cause in (outcome.cause, outcome.cause and outcome.cause.__cause__):
        if outcome.error is not None and isinstance(cause, ArgumentError):
            return outcome.error.replace(str(cause), as_option(cause))
    return outcome.error


def _line_of(outcome: Outcome) -> str:
    """Return the line for people."""
    notes, hint = [*outcome.notes], []
    if outcome.fmae_bytes is not None and not console.verbosity.quiet:
        with suppress(FmaeError):  # a bundle without a prior cannot make .fmae files
            fmae = as_argument(Path(str(outcome.output)).with_suffix(FMAE_SUFFIX))
            hint = [f"-o {fmae} would take {outcome.fmae_bytes()}"]
    if outcome.bytes is not None and (hint or str(outcome.output).endswith(FMAE_SUFFIX)):
        notes.append(f"{outcome.bytes} bytes")
    if outcome.psnr is not None:
        notes.append("every pixel as it was" if outcome.psnr == math.inf else f"PSNR {outcome.psnr:.2f} dB")
    notes += hint + ["exists, skipped"] * (outcome.status == "skipped")
    line = f"{as_argument(outcome.input)} -> {as_argument(outcome.output)}"
    return printable(f"{line}  ({'; '.join(notes)})" if notes else line)


def _warning(found: UnlikeTraining) -> str:
    """Return the warning about images that are unlike those that the bundle was trained on."""
    begin = f"{found.input} decodes badly, with a PSNR of {found.psnr:.1f} dB"
    if found.checked > 1:
        begin = f"{found.below} of the {found.checked} images checked decode badly, such as {found.input}"
        begin += f" with a PSNR of {found.psnr:.1f} dB"
    return (
        f"{begin}; such images are not of the kind that the bundle was trained on. "
        "--verify prints the PSNR of each image, --min-psnr guarantees one in a .fmae file"
    )


def _left_undone(run: BulkRun, printed: int, advice: str) -> str:
    """Return the number of inputs that a run that ended early did not try, and how to continue."""
    left = f"; {run.not_tried} of {run.inputs} inputs not tried" if run.not_tried else ""
    if isinstance(run.ended_by, DiskError | ResourceError):
        return f"{left}; {advice}" if run.not_tried or printed > 1 else left
    return f"{left}; --keep-going writes the others" if run.counts["skipped"] else left


def _summary(run: BulkRun, lists: bool, seconds: float) -> str:
    """Return the last line for people: the number of inputs by outcome, and of the files that were passed over."""
    counts = run.counts
    done = f"{counts['planned']} would be done" if counts["planned"] else f"{counts['done']} done"
    if run.converted and not lists:
        done += f" ({run.converted} converted: --verbose shows how)"
    not_tried = f", {run.not_tried} not tried" if run.not_tried else ""
    line = f"{done}, {counts['skipped']} skipped, {counts['failed']} failed{not_tried} in {seconds:.1f} s"
    if not run.passed_over:
        return line
    *most, last = run.suffixes
    files, end = ("file", "its name does not") if run.passed_over == 1 else ("files", "their names do not")
    return f"{line}; {run.passed_over} {files} passed over: {end} end in {', '.join(most)} or {last}"
