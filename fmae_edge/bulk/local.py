"""Run the tasks of a job in processes of this machine; a shard whose process dies is converted again."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from fmae_edge.bulk.shards.convert import ShardOutcome, ShardTask, convert_shard, failed_shard
from fmae_edge.runtime.engine.cpus import OPENMP_VARIABLE, available_cpus

_MOST_ATTEMPTS = 3  # of a shard: its content may be what kills the process


def run_tasks(tasks: Sequence[ShardTask], workers: int | None) -> Iterator[ShardOutcome]:
    """Yield the outcome of each task, in the order in which they end, from `workers` processes.

    By default there is one per CPU, and each uses one thread.
    """
    waiting = [(task, 1) for task in reversed(tasks)]
    running: dict[Connection, tuple[_Worker, ShardTask, int]] = {}
    idle: list[_Worker] = []
    try:
        for _ in range(min(workers or available_cpus(), len(tasks))):  # Ctrl-C may come between two of them
            idle.append(_Worker())
        while waiting or running:
            while waiting and idle:
                (task, attempt), worker = waiting.pop(), idle.pop()
                running[worker.pipe] = (worker, task, attempt)
                worker.start(task)
            for pipe in wait(list(running)):
                worker, task, attempt = running.pop(pipe)  # type: ignore[call-overload]  # it is one of these
                outcome = worker.outcome()
                if outcome is not None:
                    idle.append(worker)
                    yield outcome
                    continue
                idle.append(_Worker())
                if attempt < _MOST_ATTEMPTS:
                    waiting.append((task, attempt + 1))
                else:
                    yield failed_shard(task, f"the process that converted it was killed {attempt} times")
    finally:
        for worker, _, _ in running.values():
            worker.process.kill()
            worker.process.join()  # it locks the file that it writes, which is then removed as left over
        for worker in idle:
            worker.pipe.close()


class _Worker:
    """A process that converts one shard after the other."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
        self.pipe, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(other,), daemon=True)
        with _one_thread(), _without_interrupts():
            self.process.start()
        other.close()  # so that the pipe ends when the process does

    def start(self, task: ShardTask) -> None:
        try:
            self.pipe.send(task)
        except ConnectionError:  # it died; the pipe says so
            return

    def outcome(self) -> ShardOutcome | None:
        """Return the outcome of the task, None if the process has died."""
        try:
            outcome: ShardOutcome = self.pipe.recv()
        except (EOFError, OSError):  # OSError too if it died in the middle of an outcome
            self.process.join()
            return None
        return outcome


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let new processes use one thread each, unless the user has set another number."""
    before = os.environ.get(OPENMP_VARIABLE)
    os.environ.setdefault(OPENMP_VARIABLE, "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ[OPENMP_VARIABLE]


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let new processes ignore Ctrl-C, which a terminal sends to all of them; the parent ends them.

    They inherit the blocked signal. Windows has no such thing, and there `_work` ignores it from its start on.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, ConnectionError):  # the parent has ended, even if it was killed
        while True:
            pipe.send(convert_shard(pipe.recv()))
