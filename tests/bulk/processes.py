"""Find processes that were started by this one, and kill them as the kernel does when memory is short."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def descendants(word):
    """Return the process ids below this process whose command line contains `word`, the deepest ones last."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
    found, below = [], [os.getpid()]
    while below:
        below = [child for child, parent in parents.items() if parent in below]
        found += [child for child in below if word in commands[child]]
    return found


def kill_one(word, until):
    """Kill the last process below this one with `word` in its command line, while `until()` is true."""
    while until():
        for process in reversed(descendants(word)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                return True
        time.sleep(0.01)
    return False
