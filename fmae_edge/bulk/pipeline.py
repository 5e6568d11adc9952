"""Convert many inputs: reading, converting and writing overlap, and each input gets its outcome.

The steps are functions of the caller. After Ctrl-C or on a full disk, no further inputs are read.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, TypeVar

from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.run import Outcome, failed, settle, settle_all
from fmae_edge.bulk.sources import Source, groups_of, needs_one_thread
from fmae_edge.bulk.threads import interruptible, run_ahead, threads
from fmae_edge.runtime.errors import DiskError, FmaeError, ResourceError

FILES_AT_ONCE = 256  # converting more in one call gains little

Loaded = TypeVar("Loaded")


class FileToWrite(NamedTuple):
    """A result: the label of its input, its path, its content, and notes on conversions.

    If existing results are skipped, it is also skipped if the existing file `twin` has the same content.
    `fmae_bytes` and `psnr` are those of the outcome.
    """

    label: str
    target: Path
    content: Callable[[], bytes]
    notes: Sequence[str] = ()
    twin: Path | None = None
    fmae_bytes: Callable[[], int] | None = None
    psnr: float | None = None


def convert_files(
    sources: Sequence[Source],
    load: Callable[[Source], Loaded | Outcome],
    convert: Callable[[Sequence[tuple[Source, Loaded]]], Sequence[Sequence[FileToWrite] | Outcome]],
    outputs: Outputs,
    jobs: int,
    files_at_once: int,
    advance: Callable[[int], None],
) -> Iterator[list[list[Outcome]]]:
    """Yield the outcomes of each of `sources` in order, several sources at a time.

    `load` reads a source, or returns an outcome if there is nothing to do. `convert` makes the results of several
    sources, in order, in this thread, or an outcome for one with nothing to write; if it fails, each source is
    tried again alone. With `jobs` above 1, that many threads read and write meanwhile. `advance` is called with
    the number of sources whose outcomes were yielded.

    A full disk or a lack of threads ends the iteration after the outcome that reports it. Raises ResourceError if
    the threads cannot be started, KeyboardInterrupt after Ctrl-C once the current files are done.
    """
    here, jobs = needs_one_thread(sources), min(jobs, len(sources))
    disk_is_full = threading.Event()
    # One thread for all is faster than two on local disks: Python runs one at a time, and changing it takes time
    with threads(here or jobs == 1, jobs) as pool, interruptible(here) as interrupted:
        groups = groups_of(sources, 1 if here else files_at_once)
        loaded = run_ahead(pool, jobs, partial(settle_all, load), groups)
        to_convert = takewhile(lambda _: not (interrupted() or disk_is_full.is_set()), loaded)
        converted = _convert_groups(convert, outputs, to_convert)
        for group in run_ahead(pool, jobs, partial(_store_all, outputs, disk_is_full), converted):
            yield group
            advance(len(group))
        if interrupted():
            raise KeyboardInterrupt


def _convert_groups(
    convert: Callable[[Sequence[tuple[Source, Loaded]]], Sequence[Sequence[FileToWrite] | Outcome]],
    outputs: Outputs,
    groups: Iterable[Sequence[tuple[Source, Loaded | Outcome]]],
) -> Iterator[list[tuple[Source, Sequence[FileToWrite | Outcome]]]]:
    """Yield the claimed results of each source in each group, up to the first source that lacks threads."""
    for group in groups:
        todo = [(source, loaded) for source, loaded in group if not isinstance(loaded, Outcome)]
        try:
            made = iter(_convert(convert, todo))
        except ResourceError as error:
            yield [(todo[0][0], [failed(todo[0][0], error)])]
            return
        results = [(source, loaded if isinstance(loaded, Outcome) else next(made)) for source, loaded in group]
        yield [(source, _claim_all(outputs, source, result)) for source, result in results]


def _convert(
    convert: Callable[[Sequence[tuple[Source, Loaded]]], Sequence[Sequence[FileToWrite] | Outcome]],
    todo: Sequence[tuple[Source, Loaded]],
) -> Sequence[Sequence[FileToWrite] | Outcome]:
    """Convert sources together, or one by one if that fails."""
    try:
        return convert(todo) if todo else []
    except ResourceError:
        raise
    except (FmaeError, MemoryError) as error:
        if len(todo) == 1:
            return [failed(todo[0][0], error)]
        return [made for one in todo for made in _convert(convert, [one])]


def _claim_all(
    outputs: Outputs, source: Source, files: Sequence[FileToWrite] | Outcome
) -> Sequence[FileToWrite | Outcome]:
    """Return the files to write, once all files of a source are claimed, and the outcomes of the others."""
    if isinstance(files, Outcome):
        return [files]
    claimed = settle(source, lambda: [_claim(outputs, source, file) for file in files])
    return [claimed] if isinstance(claimed, Outcome) else claimed


def _claim(outputs: Outputs, source: Source, file: FileToWrite) -> FileToWrite | Outcome:
    claimed = outputs.claim(file.target, str(source))
    return file if claimed else Outcome(file.label, str(file.target), "skipped")


def _store_all(
    outputs: Outputs,
    disk_is_full: threading.Event,
    group: Sequence[tuple[Source, Sequence[FileToWrite | Outcome]]],
) -> list[list[Outcome]]:
    """Write results, and return the outcomes of the sources that were written before the disk was full."""
    stored = []
    for source, files in group:
        if disk_is_full.is_set():
            break
        outcomes: list[Outcome] = []
        for file in files:
            outcomes.append(file if isinstance(file, Outcome) else settle(source, partial(_write, outputs, file)))
            if outcomes[-1].status == "failed":  # the other files would fail in the same way
                break
        if isinstance(outcomes[-1].cause, DiskError):
            disk_is_full.set()
            if len(files) > 1:
                left = f"{len(files) - len(outcomes) + 1} of its {len(files)} images not written"
                outcomes[-1] = outcomes[-1]._replace(error=f"{outcomes[-1].error}; {left}")
        stored.append(outcomes)
    return stored


def _write(outputs: Outputs, file: FileToWrite) -> Outcome:
    content = file.content()
    if file.twin is not None and outputs.skips(file.twin, content):
        return Outcome(file.label, str(file.twin), "skipped")
    status = outputs.write(file.target, content)
    if status == "skipped":
        return Outcome(file.label, str(file.target), status)
    size, measure = len(content), file.fmae_bytes
    return Outcome(file.label, str(file.target), status, size, file.notes, fmae_bytes=measure, psnr=file.psnr)
