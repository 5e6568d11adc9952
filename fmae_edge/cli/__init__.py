"""The command line: parse, call, print."""

import gc
import os
import sys
from functools import partial
from io import TextIOWrapper

_EXTRAS = {
    "typer": "cli",
    "rich": "cli",
    "PIL": "cli",
    "matplotlib": "evaluate",
    "imagecodecs": "evaluate",
    "webp": "evaluate",
    "bjontegaard": "evaluate",
    "torch": "train",
    "torchvision": "train",
    "onnx": "train",
    "onnxscript": "train",
    "safetensors": "train",
}


def main() -> None:
    """Run `fmae-edge`: errors become one sentence on stderr and exit code 1, wrong usage exit code 2."""
    if isinstance(sys.stdout, TextIOWrapper):  # file names may hold bytes that no encoding has a character for
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:  # closed by who started it: print would take standard output, where results may go
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    try:
        _run()
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python, when it ends, has nowhere to fail
        sys.exit(1)
    except KeyboardInterrupt:
        print("fmae-edge: interrupted", file=sys.stderr)
        sys.exit(130)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _fail(f"this needs the package {error.name}: pip install 'fmae-edge[{extra}]'")


def _run() -> None:
    gc.disable()  # imports leave no garbage: so none is looked for
    from fmae_edge.cli.direct import direct_call
    from fmae_edge.runtime.errors import FmaeError

    try:
        call = direct_call(sys.argv[1:])
        if call is None:
            from fmae_edge.cli.app import app

            call = partial(app, prog_name="fmae-edge")
        gc.enable()
        call()
        if sys.stdout is not None:
            sys.stdout.flush()
    except FmaeError as error:
        _fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:  # a folder that may not be searched, a name that is too long, a full disk, ...
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str) -> None:
    print(f"fmae-edge: {message}", file=sys.stderr)
    sys.exit(1)
