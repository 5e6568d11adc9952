"""onnxruntime: import it at first use, open sessions, and count running calls, for which Python's exit waits."""

import _thread
import atexit
import os
import threading
import time
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, cast

from fmae_edge.runtime.engine.providers import RECORD_RUNNERS, Providers, for_session, require_used, runs_on_cpu
from fmae_edge.runtime.errors import BundleError, FmaeError, ResourceError, lacks_resources

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_LONGEST_WAIT = 5.0  # seconds: an exit that takes longer would be worse than one that fails


def load_onnxruntime() -> ModuleType:
    """Import onnxruntime without its telemetry.

    From 1.29 on, its wheels send events to Microsoft from a separate thread, which also keeps a forked process
    from ending. A value of ORT_DISABLE_TELEMETRY is kept, and so are the settings of an application that imported
    onnxruntime before.

    Raises FmaeError if onnxruntime cannot be imported, or if a signal handler calls this during the import;
    ResourceError if there is not enough memory.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        install = "pip install onnxruntime, or see docs/platforms.md where pip finds none"
        raise FmaeError(f"{error.name} is not installed: {install}") from error
    except ImportError as error:
        cause = _raised_by_a_handler(error)
        if cause is not None:
            raise cause from None
        if lacks_resources(error):
            raise ResourceError("onnxruntime cannot be loaded") from error
        raise FmaeError(f"onnxruntime is installed but cannot be loaded: {error}") from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise FmaeError("onnxruntime is still being imported by the code that this signal handler interrupted")
    return cast(ModuleType, onnxruntime)


def _raised_by_a_handler(error: BaseException | None) -> BaseException | None:
    """Return the exception of a signal handler if it caused this ImportError of a compiled module, else None."""
    while error is not None and not isinstance(error, KeyboardInterrupt | FmaeError):
        error = error.__cause__ or error.__context__
    return error


def open_session(
    model: bytes,
    where: str,
    threads: int,
    optimise: bool = True,
    arena: bool = False,
    providers: Providers = (),
) -> "InferenceSession":
    """Load a serialised ONNX graph with `threads` threads on `providers`, by default the CPU.

    `where` names it in messages. With `arena`, the memory of the largest call is kept for the next ones.

    Raises BundleError if onnxruntime refuses the graph, FmaeError if onnxruntime cannot be imported or a provider
    cannot be used, ResourceError if it cannot start its threads, MemoryError if there is not enough memory.
    """
    ort = load_onnxruntime()
    _require_threads(threads - 1, f"{where} cannot be loaded on {threads} threads")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # crashes only: errors are raised as exceptions too
    # Otherwise, bytes that begin like onnxruntime's own format would be loaded as such, which nothing here checks
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # A spinning pool uses CPU time between calls, and the arena keeps the memory of a large batch;
    # neither makes encoders and decoders of this size measurably faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = arena
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    chosen = for_session(ort, providers, threads)
    if not runs_on_cpu(providers):
        options.add_session_config_entry(RECORD_RUNNERS, "1")
    try:
        # The fallback would try the same provider again and print the error that is raised
        session = ort.InferenceSession(model, options, providers=chosen, enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        what = f"{where} cannot be loaded by onnxruntime {ort.__version__}"
        if not runs_on_cpu(providers):
            raise FmaeError(f"{what} with providers={chosen}: {' '.join(str(error).split())}") from error
        raise failure(error, what) from error
    require_used(session, chosen, where)
    return cast("InferenceSession", session)


def failure(error: Exception, what: str) -> Exception:
    """Return the error to raise for one of onnxruntime; its message distinguishes the cause."""
    message = str(error)
    if "pthread_create" in message:
        return _no_threads(what)
    if isinstance(error, MemoryError) or "bad_alloc" in message or "Failed to allocate memory" in message:
        return MemoryError(f"{what}: out of memory")
    return BundleError(f"{what}: {message}")


def _require_threads(number: int, what: str) -> None:
    """Raise ResourceError unless `number` threads can be started; onnxruntime waits forever if only some start.

    This is tried for each session, because the system may refuse later what it allowed before. The `threading`
    module takes twice as long, because it waits for each thread to run.
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
        if "shutdown" not in str(error):  # from 3.12 on, Python starts no threads at exit; onnxruntime still can
            raise _no_threads(what) from None
    finally:
        for _ in range(started):
            ended.acquire()


def _no_threads(what: str) -> ResourceError:
    return ResourceError(f"{what} (FMAE_EDGE_THREADS=1 uses one thread)")


def takes_levels(encoder: "InferenceSession") -> bool:
    """Return whether an encoder takes 8-bit images, as int8 graphs do, instead of pixels in [0, 1]."""
    return bool(encoder.get_inputs()[0].type == "tensor(uint8)")


class RunningCalls:
    """Counts the running calls into onnxruntime, and makes Python's exit wait for them.

    At exit, Python ends daemon threads when they return from a call like these, and within C++ that aborts the
    process. So the exit waits for running calls, and delays new calls of other threads. Neither takes longer than
    a few seconds, because a handler that runs later at exit may wait for such a thread.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # re-entrant, as a signal handler needs
        self._changed = threading.Condition(self._lock)
        self._running = 0
        self._ended_by: int | None = None
        self._held_until = 0.0

    def __enter__(self) -> None:
        with self._lock:  # entering the condition would take twice as long
            if self._ended_by is not None and self._ended_by != threading.get_ident():
                # This wait ends by timeout, or because Python ends the thread
                self._changed.wait_for(lambda: False, self._held_until - time.monotonic())
            self._running += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._running -= 1
            if self._ended_by is not None:
                self._changed.notify_all()

    def end(self) -> None:
        """Delay new calls of other threads and wait for running ones, each for at most `_LONGEST_WAIT`."""
        with self._changed:
            self._ended_by = threading.get_ident()
            self._held_until = time.monotonic() + _LONGEST_WAIT
            self._changed.wait_for(lambda: not self._running, _LONGEST_WAIT)


_calls = RunningCalls()


def counted_call() -> RunningCalls:
    """Return the context in which to make a call into onnxruntime."""
    return _calls


def _start_anew() -> None:
    """In a forked process, forget the calls of threads that exist only in its parent."""
    global _calls
    _calls = RunningCalls()


atexit.register(lambda: _calls.end())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
