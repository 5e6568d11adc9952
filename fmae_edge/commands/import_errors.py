"""Explain in one sentence why a package of a command cannot be imported."""

import sys
from collections.abc import Iterable
from pathlib import Path

from fmae_edge.runtime.extras import what_to_install

# Packages that a command imports, and the extras that install them
EXTRAS_OF_PACKAGES = {
    **dict.fromkeys(("typer", "rich", "PIL"), "cli"),
    **dict.fromkeys(("torch", "safetensors"), "train,export"),
    "torchvision": "train",
    "pyarrow": "bulk",
    "ray": "ray",
    **dict.fromkeys(("pyspark", "py4j"), "spark"),
    **dict.fromkeys(("onnx", "onnxscript"), "export"),
    "matplotlib": "evaluate,train",
    **dict.fromkeys(
        ("imagecodecs", "webp", "bjontegaard", "jinja2", "markupsafe", "sklearn", "threadpoolctl"), "evaluate"
    ),
}
_MISSING_LIBRARY = ": cannot open shared object file"


def missing_package(error: BaseException) -> str | None:
    """Return the sentence for numpy or a package of an extra that is not installed, None for other errors."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    if error.name == "numpy":  # after pip install --no-deps
        return "numpy is not installed: pip install numpy, or see docs/platforms.md where pip finds none"
    extra = EXTRAS_OF_PACKAGES.get((error.name or "").partition(".")[0])
    if extra is None:
        return None
    command = "".join(sys.argv[1:2])
    wanted = "export" if command == "parity" else command
    extra = wanted if wanted in extra.split(",") else extra
    return what_to_install(error, extra)


def missing_library(causes: Iterable[BaseException]) -> str | None:
    """Return the sentence for a compiled module whose system library is missing, None for other errors.

    `causes` are an error and its causes: numpy raises a page of advice, and the loader's error is its cause.
    """
    for cause in causes:
        library, missing, _ = str(cause).partition(_MISSING_LIBRARY)
        if isinstance(cause, ImportError) and missing and " " not in library:
            module = Path(cause.path or "").parts[-3:]
            return f"{library} is missing, which {'/'.join(module)} needs: install the system package that has it"
    return None
