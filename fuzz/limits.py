"""Measure the CPU time, memory and error of one input, and compare them with the limits."""

import os
import resource
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from fmae_edge import FmaeError

MAX_SECONDS = 1.0  # of CPU time, so that other programs do not count
MAX_MEGABYTES = 256.0  # more than the process had before the input
_RESET_PEAK = b"5"  # to /proc/self/clear_refs: resets the peak of the resident memory to its present value


@dataclass(frozen=True)
class Measure:
    """The cost of one input. `error` is the traceback of an error other than FmaeError, raised at `place`."""

    seconds: float
    megabytes: float
    error: str = ""
    place: str = ""

    @property
    def problem(self) -> str:
        """The kind of finding: error, slow or memory, or empty if there is no problem."""
        if self.error:
            return "error"
        if self.seconds > MAX_SECONDS:
            return "slow"
        return "memory" if self.megabytes > MAX_MEGABYTES else ""


def make_warnings_errors() -> None:
    """Turn numpy's warnings into errors, and so into findings. Users would see them on standard error."""
    warnings.simplefilter("error", RuntimeWarning)


def measure_twice(run: Callable[[bytes], None], content: bytes, first: Measure | None = None) -> Measure:
    """Return the smaller values of two runs, because the first use of a function takes more time and memory.

    `first` is the result of the first run, if there was one already. An error in either run counts.
    """
    first = first or measure(run, content)
    second = measure(run, content)
    failed = first if first.error else second
    seconds, megabytes = min(first.seconds, second.seconds), min(first.megabytes, second.megabytes)
    return Measure(seconds, megabytes, failed.error, failed.place)


def measure(run: Callable[[bytes], None], content: bytes) -> Measure:
    """Run an input. Measuring it costs 10 us."""
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
