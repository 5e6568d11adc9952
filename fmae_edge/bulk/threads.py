"""Threads that read and write ahead of the one that converts, and Ctrl-C while they work."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from fmae_edge.runtime.errors import ResourceError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_GROUPS_AHEAD = 2  # for each thread

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_ahead(
    pool: "Executor | None", jobs: int, function: Callable[[Item], Result], items: Iterable[Item]
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
def threads(here: bool, jobs: int) -> "Iterator[Executor | None]":
    """Yield a pool of threads, or None to work in this thread (`here`). At the end, pending calls are cancelled.

    Raises ResourceError if the system cannot start that many threads.
    """
    if here:
        yield None
        return
    from concurrent.futures import ThreadPoolExecutor  # which a single input does not need

    pool = ThreadPoolExecutor(jobs)
    try:
        _start(pool, jobs)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start(pool: "Executor", jobs: int) -> None:
    """Start all threads before any work, so that no work is left unfinished if one cannot start."""
    all_started = threading.Barrier(jobs)
    try:
        for _ in range(jobs):
            pool.submit(all_started.wait)
    except BaseException as error:  # Ctrl-C too: started threads would wait forever
        all_started.abort()
        if not isinstance(error, RuntimeError):
            raise
        raise ResourceError(f"cannot start {jobs} threads ({error})") from None


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
