"""Work on the parts of a set of images in one process per CPU."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

import numpy as np

from fmae_edge.data.errors import DataError
from fmae_edge.data.image_decoding import ImagePart
from fmae_edge.runtime.engine.cpus import available_cpus

_PARTS_AHEAD = 4  # per process
_PARTS_FOR_PROCESSES = 16  # fewer are read before other processes have started

Result = TypeVar("Result")


def in_processes(
    work: Callable[[tuple[int, ImagePart]], Result], parts: Sequence[ImagePart]
) -> Generator[Result, None, None]:
    """Yield the result of `work`, given the number of images before a part and the part, for each part in order.

    With many parts, one process per CPU does the work. Raises DataError if one of them ends
    unexpectedly, and the errors that `work` raises.
    """
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    numbered = list(zip(starts, parts, strict=False))
    workers = min(available_cpus(), len(parts))
    if workers <= 1 or len(parts) < _PARTS_FOR_PROCESSES:
        yield from map(work, numbered)
        return
    # Spawned, not forked: this process may have threads of PyTorch, which do not survive a fork
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_process)
    waiting: deque[Future[Result]] = deque()
    try:
        for each in numbered:
            waiting.append(_submit(pool, work, each))
            if len(waiting) > workers * _PARTS_AHEAD:
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


def _submit(
    pool: ProcessPoolExecutor, work: Callable[[tuple[int, ImagePart]], Result], item: tuple[int, ImagePart]
) -> "Future[Result]":
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
