"""The command line: parse, call, print."""

import sys
from io import TextIOWrapper

_EXTRAS = {
    "typer": "cli",
    "rich": "cli",
    "PIL": "cli",
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
    try:
        from fmae_edge.cli.app import app
        from fmae_edge.runtime.errors import FmaeError

        try:
            app(prog_name="fmae-edge")
        except FmaeError as error:
            _fail(str(error))
        except OSError as error:  # a folder that may not be searched, a name that is too long, a full disk, ...
            _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _fail(f"this needs the package {error.name}: pip install 'fmae-edge[{extra}]'")


def _fail(message: str) -> None:
    print(f"fmae-edge: {message}", file=sys.stderr)
    sys.exit(1)
