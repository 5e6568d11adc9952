"""Calls into onnxruntime, which Python waits for when it ends.

Python ends daemon threads at the moment they come back from a call like these, and within C++ that aborts the
whole process. So at exit new calls of other threads are held back, for good, and those at work are waited for.
"""

import atexit
import os
import threading
from types import TracebackType

_LONGEST_WAIT = 5  # seconds: an exit that takes longer would be worse than one that fails


class _Runs:
    def __init__(self) -> None:
        self._changed = threading.Condition()  # its lock is re-entrant, as a signal's handler needs it
        self._at_work = 0
        self._ended_by: int | None = None

    def __enter__(self) -> None:
        with self._changed:
            while self._ended_by not in (None, threading.get_ident()):
                self._changed.wait()
            self._at_work += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._at_work -= 1
            if self._ended_by is not None:
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended_by = threading.get_ident()
            self._changed.wait_for(lambda: not self._at_work, _LONGEST_WAIT)


_runs = _Runs()


def at_work() -> _Runs:
    """Return a context for one call into onnxruntime."""
    return _runs


def _start_anew() -> None:
    """Forget, in a forked process, the calls of threads that it does not have."""
    global _runs
    _runs = _Runs()


atexit.register(lambda: _runs.end())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
