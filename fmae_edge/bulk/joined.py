"""Write many inputs to one file: read them all, write the file, and report the outcome of each input."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from fmae_edge.bulk.many import FILES_AT_ONCE, put
from fmae_edge.bulk.options import FileOptions
from fmae_edge.bulk.outcome import Outcome, Status, Tally, tally
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.pipeline import groups_of, interruptible, needs_one_thread, run_ahead, settle_all, threads
from fmae_edge.bulk.sources import Inputs, Source
from fmae_edge.runtime.errors import DiskError, FmaeError, ResourceError

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Part(Generic[Loaded]):
    """The contribution of an input to the common file, its number of rows, and notes on conversions."""

    loaded: Loaded
    notes: Sequence[str] = ()
    rows: int = 1


# Each input with how it failed, with its part, or with None before it is read
_Found = Sequence[tuple[Source, Part[Loaded] | Outcome | None]]


def join_files(
    inputs: Inputs,
    load: Callable[[Source], Part[Loaded]],
    make: Callable[[Sequence[tuple[Source, Loaded]]], bytes],
    target: Path,
    outputs: Outputs,
    options: FileOptions,
) -> None:
    """Write one file of all `inputs`, or no file if one of them fails: the rows of the others would move.

    `load` reads an input for `make`. With `keep_going` in `options`, inputs that fail are left out of the file.
    """
    with tally(inputs, options.json, outputs.stream, "to go on, run the same command") as outcomes:
        found: _Found[Loaded] = [(source, None) for source in inputs.sources]
        try:
            if not outputs.claim(target):
                outcomes.add(_alike(found, str(target), "skipped"))
                outcomes.finish()
                return
            outputs.rehearse(target)  # before all are read
            found = _load_each(inputs.sources, load, options.jobs, outcomes)
            parts = [(source, part.loaded) for source, part in found if isinstance(part, Part)]
            bad = len(found) - len(parts)
            if bad and not (options.keep_going and parts):
                outcomes.add(_alike(found, None, "skipped"))
                way_out = "; --keep-going writes the others" if parts else ""
                outcomes.stop(f"{target}: not written, because {bad} of its {len(found)} inputs failed{way_out}")
            elif put(outputs, options.dry_run, target, make(parts)) == "skipped":
                outcomes.add(_alike(found, str(target), "skipped"))
            else:
                outcomes.add(_rows_of(found, target, "planned" if options.dry_run else "done"))
        except (DiskError, ResourceError) as error:  # no input is bad
            outcomes.add(_alike(found, None, "skipped"))
            outcomes.stop(str(error), error)
        except (FmaeError, MemoryError) as error:
            outcomes.add(_alike(found, None, "failed", error))
        except KeyboardInterrupt:
            outcomes.interrupted("nothing was written")
        outcomes.finish()


def _load_each(
    sources: Sequence[Source], load: Callable[[Source], Part[Loaded]], jobs: int, outcomes: Tally
) -> _Found[Loaded]:
    """Return the part of each of `sources`, or how it failed."""
    here, jobs = needs_one_thread(sources), min(jobs, len(sources))
    found: list[tuple[Source, Part[Loaded] | Outcome]] = []
    with threads(here, jobs) as readers, interruptible(here) as interrupted:
        load_all = partial(settle_all, load)
        for group in run_ahead(readers, jobs, load_all, groups_of(sources, FILES_AT_ONCE)):
            if interrupted():
                raise KeyboardInterrupt
            found += group
            outcomes.advance(len(group))
    return found


def _alike(
    found: _Found[Loaded], output: str | None, status: Status, error: Exception | None = None
) -> Iterator[list[Outcome]]:
    """Yield the same outcome for all inputs that have not failed before."""
    sentence = None if error is None else str(error) or "out of memory"
    for source, part in found:
        same = Outcome(str(source), output, status, error=sentence, cause=error)
        yield [part if isinstance(part, Outcome) else same]


def _rows_of(found: _Found[Loaded], target: Path, status: Status) -> Iterator[list[Outcome]]:
    """Yield the rows of each input in the common file, or how it failed."""
    end = 0
    for source, part in found:
        if isinstance(part, Part):
            end += part.rows
            rows = str(end - 1) if part.rows == 1 else f"{end - part.rows}:{end}"
            yield [Outcome(str(source), f"{target}[{rows}]", status, notes=part.notes)]
        elif part is not None:
            yield [part]
