"""Write a file whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fmae_edge.runtime.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name when the block ends, and vanishes if it fails.

    A kill at any moment leaves either the old file or the new one, never a part. Raises OutputError if
    the folder is missing or not writable.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except FileNotFoundError:
        raise OutputError(f"{path}: its folder {path.parent} does not exist") from None
    except NotADirectoryError:
        raise OutputError(f"{path}: {path.parent} is not a folder") from None
    except OSError as error:
        raise OutputError(f"{path}: its folder cannot be written to ({error.strerror})") from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes, force: bool = False) -> None:
    """Write `content` to `path`, whole or not at all.

    Raises OutputError if `path` exists and `force` is not set, or if it cannot be written.
    """
    refuse_existing(path, force)
    with replacing(path) as file:
        file.write(content)


def refuse_existing(path: Path, force: bool) -> None:
    """Raise OutputError if writing `path` would overwrite a file without `force`, or replace a folder."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, so no file is written there")
    if not force and os.path.lexists(path):
        raise OutputError(f"{path}: exists already; use --force to overwrite it")


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
