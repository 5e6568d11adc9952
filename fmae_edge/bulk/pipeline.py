"""Convert many inputs: reading, converting and writing overlap, and each input gets its outcome.

The steps are functions of the caller. After Ctrl-C or on a full disk, no further inputs are read.
"""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.run import Outcome, failed, settle, settle_all
from fmae_edge.bulk.sources import Source, groups_of, needs_one_thread
from fmae_edge.runtime.errors import DiskError, FmaeError, ResourceError

FILES_AT_ONCE = 256  # converting more in one call gains little
_GROUPS_AHEAD = 2  # for each thread

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


class FileToWrite(NamedTuple):
    """A result: the label of its input, its path, its content, and notes on conversions.

    If existing results are skipped, it is also skipped if the existing file `twin` has the same content.
    `fmae_bytes` is that of the outcome.
    """

    label: str
    target: Path
    content: Callable[[], bytes]
    notes: Sequence[str] = ()
    twin: Path | None = None
    fmae_bytes: Callable[[], int] | None = None


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

    `load` reads a source in any of `jobs` threads, or returns an outcome if there is nothing to do. `convert`
    makes the results of several sources, in order, in one thread, or an outcome for one with nothing to write; if
    it fails, each source is tried again alone. `advance` is called with the number of sources whose outcomes were
    yielded.

    A full disk or a lack of threads ends the iteration after the outcome that reports it. Raises ResourceError if
    the threads cannot be started, KeyboardInterrupt after Ctrl-C once the current files are done.
    """
    here, jobs = needs_one_thread(sources), min(jobs, len(sources))
    disk_is_full = threading.Event()
    with threads(here, jobs) as pool, interruptible(here) as interrupted:
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
                outcomes[-1] = replace(outcomes[-1], error=f"{outcomes[-1].error}; {left}")
        stored.append(outcomes)
    return stored


def _write(outputs: Outputs, file: FileToWrite) -> Outcome:
    content = file.content()
    if file.twin is not None and outputs.skips(file.twin, content):
        return Outcome(file.label, str(file.twin), "skipped")
    status = outputs.write(file.target, content)
    if status == "skipped":
        return Outcome(file.label, str(file.target), status)
    return Outcome(file.label, str(file.target), status, len(content), file.notes, fmae_bytes=file.fmae_bytes)


def run_ahead(
    pool: Executor | None, jobs: int, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield the result of `function` for each item, in order, while the pool works on the next few."""
    if pool is None:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > jobs * _GROUPS_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def threads(here: bool, jobs: int) -> Iterator[Executor | None]:
    """Yield a pool of threads, or None to work in this thread (`here`). At the end, pending calls are cancelled.

    Raises ResourceError if the system cannot start that many threads.
    """
    if here:
        yield None
        return
    pool = ThreadPoolExecutor(jobs)
    try:
        _start(pool, jobs)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start(pool: Executor, jobs: int) -> None:
    """Start all threads before any work, so that no work is left unfinished if one cannot start."""
    all_started = threading.Barrier(jobs)
    try:
        for _ in range(jobs):
            pool.submit(all_started.wait)
    except BaseException as error:  # Ctrl-C too: started threads would wait forever
        all_started.abort()
        if not isinstance(error, RuntimeError):
            raise
        count = "a thread" if jobs == 1 else f"{jobs} threads"
        raise ResourceError(f"cannot start {count} ({error})") from None


@contextmanager
def interruptible(here: bool) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True once Ctrl-C was pressed. A second Ctrl-C raises KeyboardInterrupt."""
    pressed, ended = threading.Event(), threading.Event()
    usual = signal.getsignal(signal.SIGINT)
    if (
        here
        or usual is not signal.default_int_handler
        or threading.current_thread() is not threading.main_thread()
    ):
        yield pressed.is_set
        return

    def note(*received: Any) -> None:
        signal.signal(signal.SIGINT, usual)
        pressed.set()
        if ended.is_set():
            signal.default_int_handler(*received)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        ended.set()
        if threading.current_thread() is threading.main_thread():  # else `note` does it at the next Ctrl-C
            signal.signal(signal.SIGINT, usual)
