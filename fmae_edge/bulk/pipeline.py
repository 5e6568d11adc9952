"""Building blocks for many files: groups of inputs, threads that work ahead, separate failures, Ctrl-C."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from fmae_edge.bulk.outcome import Outcome
from fmae_edge.bulk.sources import STREAM, Source
from fmae_edge.runtime.errors import FmaeError, OutputError, ResourceError

_BYTES_AT_ONCE = 1 << 20  # bounds memory where one file holds many images
_GROUPS_AHEAD = 2  # for each thread

Item = TypeVar("Item")
Result = TypeVar("Result")


def needs_one_thread(sources: Sequence[Source]) -> bool:
    """Whether threads do not help, or would keep reading standard input after a Ctrl-C."""
    return len(sources) == 1 or any(source.path == STREAM for source in sources)


def groups_of(sources: Sequence[Source], most: int) -> Iterator[list[Source]]:
    """Yield `sources` in lists of at most `most`, fewer if the files are large."""
    group: list[Source] = []
    size = 0
    for source in sources:
        group.append(source)
        size += _size(source.path)
        if len(group) == most or size > _BYTES_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # reading it will say why
        return 0


def settle(source: Source, step: Callable[[], Result]) -> Result | Outcome:
    """Return the result of `step`, or how it failed."""
    try:
        return step()
    except (BrokenPipeError, ResourceError):  # not this source's fault, and the others would fail as well
        raise
    except (FmaeError, MemoryError, OSError) as error:
        return failed(source, error)


def settle_all(
    step: Callable[[Source], Result], sources: Sequence[Source]
) -> list[tuple[Source, Result | Outcome]]:
    """Return the result of `step` for each of `sources`, or how it failed."""
    return [(source, settle(source, partial(step, source))) for source in sources]


def failed(source: Source, error: Exception) -> Outcome:
    """Return the outcome of a failed `source`, with the reason in a sentence."""
    if isinstance(error, OutputError):
        sentence = f"{source} -> {error}"
    elif isinstance(error, MemoryError):
        sentence = f"{source}: needs more memory than is available"
    elif isinstance(error, OSError):  # a folder that may not be searched, a name that is too long, ...
        sentence = f"{source}: {error.strerror or error}"
    else:
        sentence = str(error)
    return Outcome(str(source), None, "failed", error=sentence, cause=error)


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
    """Yield a pool of threads, or None to do everything `here`. Running calls finish, pending calls are cancelled.

    Raises ResourceError if the system cannot start so many threads.
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
    """Start all threads before any work, so that nothing is half done if one cannot start."""
    all_started = threading.Barrier(jobs)
    try:
        for _ in range(jobs):
            pool.submit(all_started.wait)
    except BaseException as error:  # also a Ctrl-C: started threads would wait forever
        all_started.abort()
        if not isinstance(error, RuntimeError):
            raise
        count = "a thread" if jobs == 1 else f"{jobs} threads"
        raise ResourceError(f"cannot start {count} ({error})") from None


@contextmanager
def interruptible(here: bool) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed. A second Ctrl-C ends the process."""
    pressed = threading.Event()
    usual = signal.getsignal(signal.SIGINT)
    if (
        here
        or usual is not signal.default_int_handler
        or threading.current_thread() is not threading.main_thread()
    ):
        yield pressed.is_set
        return

    def note(*_: object) -> None:
        signal.signal(signal.SIGINT, usual)
        pressed.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, usual)
