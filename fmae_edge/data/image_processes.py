"""Do the same work on many items in one process per CPU."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from fmae_edge.data.errors import DataError
from fmae_edge.runtime.engine.cpus import available_cpus

_ITEMS_AHEAD = 4  # per process
_FEWEST_ITEMS = 16  # fewer are done before other processes have started

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(work: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result, None, None]:
    """Yield the result of `work` for each item, in order. With many items, one process per CPU does the work.

    Raises DataError if a process ends unexpectedly, and the errors that `work` raises.
    """
    workers = min(available_cpus(), len(items))
    if workers <= 1 or len(items) < _FEWEST_ITEMS:
        yield from map(work, items)
        return
    # Spawned, not forked: this process may have threads of PyTorch, which do not survive a fork
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_process)
    waiting: deque[Future[Result]] = deque()
    try:
        for each in items:
            waiting.append(_submit(pool, work, each))
            if len(waiting) > workers * _ITEMS_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DataError(
            "a process that reads images ended unexpectedly, perhaps for lack of memory; a program that reads "
            'images needs `if __name__ == "__main__":` around its main part'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, work: Callable[[Item], Result], item: Item) -> "Future[Result]":
    """Submit work to the pool. This may start a process, which inherits that Ctrl-C is ignored."""
    if threading.current_thread() is not threading.main_thread():
        return pool.submit(work, item)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return pool.submit(work, item)
    finally:
        signal.signal(signal.SIGINT, handler)


def _start_process() -> None:
    """End this process when its parent has ended, even if it was killed: nothing else would tell it."""
    parent = parent_process()
    if parent is not None:
        watched = [parent.sentinel]

        def watch() -> None:
            connection.wait(watched)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
