"""Write a file whole or not at all."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from fmae_edge.runtime.errors import OutputError

if sys.platform != "win32":
    import fcntl

_PREFIX, _SUFFIX = ".fmae-edge-", ".part"
_EXISTS = "{path}: exists already; use --force to overwrite it"


@contextmanager
def replacing(path: Path, force: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name when the block ends, and vanishes if it fails.

    A kill at any moment leaves either the old file or the new one, never a part. The temporary file that it
    leaves too is removed by the next process that writes into the folder. Raises OutputError if the folder is
    missing or not writable, and without `force` if somebody else makes `path` meanwhile.
    """
    _remove_left_over(path.parent)
    temporary = path.parent / f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
    try:
        with os.fdopen(_create(temporary, path), "wb") as file:
            yield file
            file.flush()
            os.close(os.dup(file.fileno()))  # only at a close do some network file systems say that they are full
            if sys.platform == "win32":
                file.close()  # no open file is renamed there; elsewhere it stays locked until it is
            if force or not _link(temporary, path):
                temporary.replace(path)
    except FileExistsError:  # which appeared meanwhile
        raise OutputError(_EXISTS.format(path=path)) from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):  # which a rename has left nothing of
            temporary.unlink()


def _link(temporary: Path, path: Path) -> bool:
    """Give a file a second name, or return False where the file system has no such thing.

    Raises FileExistsError if there is a file of that name: no rename does.
    """
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _create(temporary: Path, path: Path) -> int:
    """Open `temporary` and lock it: the lock ends with this process, whatever ends it."""
    # Created anew, so that nobody else's file is written to, with the permissions of any other file
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        try:
            handle = os.open(temporary, flags, 0o666)
        except FileNotFoundError:
            has = "takes no files" if path.parent.is_dir() else "does not exist"
            raise OutputError(f"{path}: its folder {path.parent} {has}") from None
        except NotADirectoryError:
            raise OutputError(f"{path}: {path.parent} is not a folder") from None
        except OSError as error:
            raise OutputError(f"{path}: its folder cannot be written to ({error.strerror})") from None
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks, so nothing is removed there either
                fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():
            return handle
        os.close(handle)  # another process took it for left over before it was locked


@cache  # once a folder
def _remove_left_over(folder: Path) -> None:
    """Remove the temporary files in `folder` whose writers are dead, which their locks tell."""
    if sys.platform == "win32":  # has no such locks
        return
    names: list[str] = []
    with suppress(OSError):  # what is wrong with the folder shows when it is written to
        names = os.listdir(folder)  # noqa: PTH208 - no Path for each of perhaps many files
    for name in names:
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
            with suppress(OSError):  # locked, gone, or another user's
                handle = os.open(folder / name, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    (folder / name).unlink()
                finally:
                    os.close(handle)


def write_file(path: Path, content: bytes, force: bool = False) -> None:
    """Write `content` to `path`, whole or not at all.

    Raises OutputError if `path` exists and `force` is not set, or if it cannot be written.
    """
    refuse_existing(path, force)
    with replacing(path, force) as file:
        file.write(content)


def refuse_existing(path: Path, force: bool) -> None:
    """Raise OutputError if writing `path` would overwrite a file without `force`, or replace a folder."""
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, so no file is written there")
    if not force:
        raise OutputError(_EXISTS.format(path=path))
