"""Find the processes below this one, measure their memory, and kill one as the kernel does if memory is short."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What the command line of a process that works for an engine contains
WORKER_NAMES = {
    "local": "spawn_main",
    "ray": "ray::convert",
    "ray-data": "ray::MapWorker",
    "spark": "pyspark.daemon",
}


def descendants(word: str) -> list[int]:
    """Return the ids of processes below this one whose command line contains `word`, the deepest ones last."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
    found, below = [], [os.getpid()]
    while below:
        below = [child for child, parent in parents.items() if parent in below]
        found += [child for child in below if word in commands.get(child, "")]
    return found


def kill_one(word: str, until: Callable[[], bool]) -> bool:
    """Kill one of the deepest processes with `word` as soon as there is one, and return whether there was.

    Gives up when `until` returns False.
    """
    while until():
        for process in reversed(descendants(word)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                return True
        time.sleep(0.01)
    return False


@contextmanager
def peak_memory(word: str) -> Iterator[Callable[[], float]]:
    """Yield a function that returns the largest resident memory so far of a process with `word`, in MB.

    Memory that it shares with other processes counts too.
    """
    ended, peaks = threading.Event(), [0.0]

    def watch() -> None:
        while not ended.wait(0.2):
            for process in descendants(word):
                with suppress(OSError):
                    status = Path(f"/proc/{process}/status").read_text()
                    peaks.extend(int(line.split()[1]) / 1000 for line in status.splitlines() if "VmHWM" in line)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: max(peaks)
    finally:
        ended.set()
        thread.join()
