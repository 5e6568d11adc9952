"""The command line: parse, call, print."""

import errno
import gc
import os
import sys
from functools import partial
from io import TextIOWrapper
from typing import NoReturn

from fmae_edge.cli.console import ClosedOutput, say_error

# Packages that a command imports, and the extras of a command that needs them
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

_FAILED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def main() -> None:
    """Run `fmae-edge`: errors become one sentence on stderr and exit code 1, wrong usage exit code 2."""
    if isinstance(sys.stdout, TextIOWrapper):  # file names may hold bytes that no encoding has a character for
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stdout is None:  # closed by who started it: print would say nothing, and no error either
        sys.stdout = ClosedOutput()
    if sys.stderr is None:  # closed by who started it: print would take standard output, where results may go
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    try:
        _run()
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python, when it ends, has nowhere to fail
        sys.exit(1)
    except KeyboardInterrupt:
        say_error("interrupted")
        sys.exit(130)
    except Exception as error:
        _fail(_sentence(error), error)


def _sentence(error: Exception) -> str:
    """Return what the user is told of an error that no command has an answer to."""
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is not None:
            install = f"install fmae-edge with [{extra}], as in pip install '.[{extra}]' in a clone"
            return f"this needs {error.name}: {install}"
    if isinstance(error, MemoryError):
        return "out of memory"
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"this should not happen: {what}; run it with --debug, and report that with what fmae-edge doctor says"


def _run() -> None:
    gc.disable()  # imports leave no garbage: so none is looked for
    from fmae_edge.cli.direct import direct_call
    from fmae_edge.cli.usage import UsageError
    from fmae_edge.runtime.errors import FmaeError

    try:
        if "" in sys.argv[1:]:  # which would mean the current folder
            raise UsageError("an argument is empty: is it a variable that is not set?")
        call = direct_call(sys.argv[1:])
        if call is None:
            from fmae_edge.cli.app import app

            call = partial(app, prog_name="fmae-edge")
        gc.enable()
        try:
            call()
        finally:  # Typer ends with SystemExit; what cannot be written is said before Python ends
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
        if error.errno in _FAILED_WRITES:  # files have names, and only streams have none
            _fail(f"standard output cannot be written ({error.strerror})", error)
        _fail(str(error), error)


def _fail(sentence: str, error: Exception, exit_code: int = 1) -> NoReturn:
    say_error(sentence, error)
    sys.exit(exit_code)
