"""Make onnxruntime sessions from the graphs of a bundle. onnxruntime is imported here, at first use."""

import _thread
import os
import threading
from types import ModuleType
from typing import TYPE_CHECKING, cast

from fmae_edge.runtime.errors import BundleError, FmaeError, ResourceError, lacks_resources

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
import atexit
import time
from types import TracebackType


def load_onnxruntime() -> ModuleType:
    """Import onnxruntime, silent and without its telemetry.

    From 1.29 on its wheels send events to their maker from a thread of their own, which also keeps a forked
    process from ending. A value of ORT_DISABLE_TELEMETRY that is there stays, and so does what an application
    chose that imported onnxruntime before.

    Raises FmaeError if it cannot be imported, or if a signal's handler calls this while it is being imported, and
    ResourceError if there is not enough memory for it.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise FmaeError(f"{error.name} is not installed: pip install onnxruntime") from error
    except ImportError as error:
        cause = _raised_by_a_handler(error)
        if cause is not None:
            raise cause from None
        if lacks_resources(error):
            raise ResourceError("onnxruntime cannot be loaded") from error
        raise FmaeError(f"onnxruntime is installed but cannot be loaded: {error}") from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise FmaeError("onnxruntime is still being imported by the code that this signal's handler interrupted")
    return cast(ModuleType, onnxruntime)


def _raised_by_a_handler(error: BaseException | None) -> BaseException | None:
    """Return what a signal's handler raised, which in a compiled module is a cause of an ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt | FmaeError):
        error = error.__cause__ or error.__context__
    return error


def open_session(model: bytes, where: str, threads: int, optimise: bool = True) -> "InferenceSession":
    """Load a serialised ONNX graph on the CPU with `threads` threads; `where` names it in messages.

    Raises BundleError if onnxruntime refuses the graph, FmaeError if it cannot be loaded, ResourceError if it
    gets no threads, MemoryError if there is not enough memory.
    """
    ort = load_onnxruntime()
    _require_threads(threads - 1, f"{where} cannot be loaded on {threads} threads")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # nothing short of a crash: errors are raised as exceptions anyhow
    # Or bytes that begin as its own format does would be loaded as that, which nothing here has checked
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # A spinning pool burns CPU between calls, and the arena keeps a large batch's memory for good;
    # neither is measurably faster for graphs of this size.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        # Its fallback to the same provider again would only print what is raised
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise failure(error, f"{where} cannot be loaded by onnxruntime {ort.__version__}") from error


def failure(error: Exception, what: str) -> Exception:
    """Return what to raise for an exception of onnxruntime: its words tell a lack of memory from a bad graph."""
    words = str(error)
    if "pthread_create" in words:
        return _no_threads(what)
    if isinstance(error, MemoryError) or "bad_alloc" in words or "Failed to allocate memory" in words:
        return MemoryError(f"{what}: out of memory")
    return BundleError(f"{what}: {words}")


def _require_threads(number: int, what: str) -> None:
    """Raise ResourceError unless so many threads can be started: onnxruntime waits for ever if it gets only some.

    That is tried for each session: the system may not give again what it gave before. The `threading` module takes
    twice as long, because it waits for each thread to run.
    """
    may_end, ended = threading.Lock(), threading.Semaphore(0)

    def wait() -> None:
        with may_end:
            pass
        ended.release()

    started = 0
    try:
        with may_end:
            while started < number:
                _thread.start_new_thread(wait, ())
                started += 1
    except (RuntimeError, MemoryError) as error:
        if "shutdown" not in str(error):  # from 3.12 on, Python starts none while it ends; onnxruntime can
            raise _no_threads(what) from None
    finally:
        for _ in range(started):
            ended.acquire()


def _no_threads(what: str) -> ResourceError:
    return ResourceError(f"{what} (FMAE_EDGE_THREADS=1 uses one thread)")


def takes_levels(encoder: "InferenceSession") -> bool:
    """Whether an encoder takes 8-bit images as they are, as int8 graphs do, or pixels in [0, 1]."""
    return bool(encoder.get_inputs()[0].type == "tensor(uint8)")


_LONGEST_WAIT = 5.0  # seconds: an exit that takes longer would be worse than one that fails


class Calls:
    """Counts the calls into onnxruntime that are running, which Python waits for when it ends.

    Python ends daemon threads at the moment they come back from a call like these, and within C++ that aborts the
    whole process. So at exit the running calls are waited for, and new calls of other threads are held back.
    Neither takes longer than a few seconds: a handler that runs later at exit may wait for such a thread.
    """

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
