"""The command line: parse, call, print.

Few modules are imported here, because a Ctrl-C during these imports ends in a traceback.
"""

import errno
import gc
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from io import TextIOWrapper
from typing import NoReturn

# Packages that a command imports, and the extras that install them
_EXTRAS = dict.fromkeys(("typer", "rich", "PIL"), "cli") | dict.fromkeys(
    (
        "matplotlib",
        "imagecodecs",
        "webp",
        "bjontegaard",
        "jinja2",
        "markupsafe",
        "sklearn",
        "threadpoolctl",
        "torch",
        "torchvision",
        "onnx",
        "onnxscript",
        "safetensors",
    ),
    "train,evaluate",
)

# Commands that multiply large matrices. Others are no faster with more threads, so they need not get them
_BLAS_THREADS = ("train", "export", "parity", "bench", "evaluate", "report")
_FAILED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def main() -> None:
    """Run `fmae-edge`: errors become one sentence on stderr and exit code 1, wrong usage exit code 2."""
    try:
        _prepare_streams()
        _run()
    except BrokenPipeError:  # the program that reads the output has ended
        from fmae_edge.commands.console import drop_unwritten

        drop_unwritten()
        sys.exit(1)
    except KeyboardInterrupt as error:
        _fail("interrupted", error, exit_code=130)
    except Exception as error:
        if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):  # in a module written in C
            _fail("interrupted", error, exit_code=130)
        _fail(_sentence(error), error)


def _prepare_streams() -> None:
    # Imported before an error can occur: there may be no memory for it later
    from fmae_edge.commands.console import ClosedOutput

    if isinstance(sys.stdout, TextIOWrapper):  # the bytes of a file name need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stdout is None:  # the caller closed it: print would drop the results without an error
        sys.stdout = ClosedOutput()
    if sys.stderr is None:  # the caller closed it: print would write to standard output, where results may go
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123


def _sentence(error: Exception) -> str:
    """Return the message for an error that no command handles."""
    from fmae_edge.runtime.errors import OUT_OF_RESOURCES, lacks_resources

    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is not None:
            install = f"install fmae-edge with [{extra}], as in pip install '.[{extra}]' in a clone"
            return f"this needs {error.name}: {install}"
    for cause in _causes(error):
        if isinstance(cause, MemoryError):
            return "out of memory"
        if lacks_resources(cause):
            return OUT_OF_RESOURCES
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"unexpected error ({what}); run again with --debug and attach the output of fmae-edge doctor"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the ones that led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _run() -> None:
    gc.disable()  # imports leave no garbage to collect
    from fmae_edge.commands.console import UsageError
    from fmae_edge.commands.direct import direct_call
    from fmae_edge.runtime.errors import FmaeError

    if not sys.argv[1:] or sys.argv[1] not in _BLAS_THREADS:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if "" in sys.argv[1:]:  # as a path it would be the current folder
            raise UsageError("an argument is empty: check for a shell variable that is not set")
        if sys.argv[1:2] and sys.argv[1] in _BLAS_THREADS and not {"-h", "--help"} & set(sys.argv):
            _import_numpy()
        call = direct_call(sys.argv[1:])
        if call is None:
            from fmae_edge.commands.app import app

            call = partial(app, prog_name="fmae-edge")
        gc.enable()
        try:
            call()
        except SystemExit as end:
            if end.__context__ is not None and isinstance(end.__context__.__cause__, KeyboardInterrupt):
                raise KeyboardInterrupt from None  # Typer exits with 130 and no word
            raise
        finally:  # Typer raises SystemExit; a failed write must be reported before Python exits
            sys.stdout.flush()
    except UsageError as error:
        _fail(str(error), error, exit_code=2)
    except FmaeError as error:
        _fail(str(error), error)
    except BrokenPipeError:
        raise
    except OSError as error:  # a folder that may not be searched, a name that is too long, a full disk, ...
        if error.filename:
            _fail(f"{error.filename}: {error.strerror}", error)
        if error.errno in _FAILED_WRITES:  # an error of a file has a filename
            _fail(f"standard output cannot be written ({error.strerror})", error)
        _fail(error.strerror or str(error), error)


def _import_numpy() -> None:
    """Import numpy. Raises ResourceError where OpenBLAS gets no threads: it sends SIGINT then, as Ctrl-C does."""
    if sys.platform != "linux":  # which tells who has sent a signal
        return
    from fmae_edge.runtime.errors import ResourceError

    interrupt, old = {signal.SIGINT}, signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        import numpy as np  # noqa: F401

        sent = signal.sigtimedwait(interrupt, 0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    if sent is not None and sent.si_pid == os.getpid():
        raise ResourceError("numpy cannot be loaded")
    if sent is not None:
        raise KeyboardInterrupt


def _fail(sentence: str, error: BaseException, exit_code: int = 1) -> NoReturn:
    from fmae_edge.commands.console import drop_unwritten, say_error

    say_error(sentence, error)
    drop_unwritten()
    sys.exit(exit_code)
