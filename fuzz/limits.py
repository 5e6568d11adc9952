"""The limits of one input, and how they are measured: CPU time, memory, and what is raised."""

import os
import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from fmae_edge import FmaeError

MAX_SECONDS = 1.0  # of CPU time: other programs on the machine do not count
MAX_MEGABYTES = 256.0  # on top of what the process had before the input
_RESET_PEAK = b"5"  # to /proc/self/clear_refs: the peak of resident memory becomes what is resident now


@dataclass(frozen=True)
class Measure:
    """What one input took; `error` is the traceback of anything but FmaeError, and `place` where it was raised."""

    seconds: float
    megabytes: float
    error: str = ""
    place: str = ""

    @property
    def problem(self) -> str:
        """The kind of finding that this is: error, slow, memory, or nothing."""
        if self.error:
            return "error"
        if self.seconds > MAX_SECONDS:
            return "slow"
        return "memory" if self.megabytes > MAX_MEGABYTES else ""


def measure(run: Callable[[bytes], None], content: bytes) -> Measure:
    """Run one input. It costs 10 us, so every input is measured."""
    os.write(_peak_file(), _RESET_PEAK)
    before, started = _peak_kilobytes(), time.process_time()
    error = place = ""
    try:
        run(content)
    except FmaeError:
        pass
    except Exception as raised:
        error = "".join(traceback.format_exception(raised))
        frame = traceback.extract_tb(raised.__traceback__)[-1]
        place = f"{type(raised).__name__} {frame.filename}:{frame.lineno}"
    seconds = time.process_time() - started
    return Measure(seconds, (_peak_kilobytes() - before) / 1024, error, place)


@cache
def _peak_file() -> int:
    return os.open("/proc/self/clear_refs", os.O_WRONLY)


def _peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
