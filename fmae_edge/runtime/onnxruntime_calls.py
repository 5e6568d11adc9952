"""Calls into onnxruntime, which Python waits for when it ends.

Python ends daemon threads at the moment they come back from a call like these, and within C++ that aborts the
whole process. So at exit the calls at work are waited for, and new calls of other threads are held back. Neither
takes longer than a few seconds: a handler that runs later at exit may wait for such a thread.
"""

import atexit
import os
import threading
import time
from types import TracebackType

_LONGEST_WAIT = 5.0  # seconds: an exit that takes longer would be worse than one that fails


class Calls:
    """Counts the calls at work, and knows when Python ends."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # its lock is re-entrant, as a signal's handler needs it
        self._at_work = 0
        self._ended_by: int | None = None
        self._held_until = 0.0

    def __enter__(self) -> None:
        with self._changed:
            if self._ended_by not in (None, threading.get_ident()):
                # Nothing ends this wait but the time, or Python, which does not let the thread go on
                self._changed.wait_for(lambda: False, self._held_until - time.monotonic())
            self._at_work += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._at_work -= 1
            if self._ended_by is not None:
                self._changed.notify_all()

    def end(self) -> None:
        """Hold back new calls of other threads, and wait for those at work: both for `_LONGEST_WAIT` at most."""
        with self._changed:
            self._ended_by = threading.get_ident()
            self._held_until = time.monotonic() + _LONGEST_WAIT
            self._changed.wait_for(lambda: not self._at_work, _LONGEST_WAIT)


_calls = Calls()


def at_work() -> Calls:
    """Return a context for one call into onnxruntime."""
    return _calls


def _start_anew() -> None:
    """Forget, in a forked process, the calls of threads that it does not have."""
    global _calls
    _calls = Calls()


atexit.register(lambda: _calls.end())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
