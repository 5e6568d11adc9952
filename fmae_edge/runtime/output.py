"""Write a file whole or not at all."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fmae_edge.runtime.errors import OutputError

_numbers = itertools.count()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name when the block ends, and vanishes if it fails.

    A kill at any moment leaves either the old file or the new one, never a part. Raises OutputError if
    the folder is missing or not writable.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{next(_numbers)}.part"
    try:
        # Created anew, so that nobody else's file is written to, with the permissions of any other file
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except FileNotFoundError:
        raise OutputError(f"{path}: its folder {path.parent} does not exist") from None
    except NotADirectoryError:
        raise OutputError(f"{path}: {path.parent} is not a folder") from None
    except OSError as error:
        raise OutputError(f"{path}: its folder cannot be written to ({error.strerror})") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
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
