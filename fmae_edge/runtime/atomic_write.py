"""Write a file whole or not at all."""

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from fmae_edge.runtime.errors import DiskError, OutputError

if sys.platform != "win32":
    import fcntl

_PREFIX, _SUFFIX = ".fmae-edge-", ".part"
_EXISTS = "{path}: exists already; use --force to overwrite it"
# These names of open files may lead to a regular file, where the shell sends an output to one
_OPEN_FILE = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/[^/]+/fd/\d+")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def replacing(path: Path, force: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name when the block ends, and vanishes if it fails.

    A kill at any moment leaves either the old file or the new one, never a part. The temporary file that it
    leaves too is removed by the next process that writes into the folder. With `force`, a file that is replaced
    passes on its permission bits, and its owner and group where this process may set them; a symbolic link stays,
    and the file that it leads to is replaced. Raises OutputError if the folder is missing or not writable, and
    without `force` if somebody else makes `path` meanwhile.
    """
    final = final_path(path, force)
    _remove_left_over(final.parent)
    temporary = final.parent / f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}"
    try:
        # Private until it has the permissions of the file that it replaces
        with os.fdopen(_create(temporary, path, 0o600 if final.exists() else 0o666), "wb") as file:
            yield file
            file.flush()
            _take_after(final, file.fileno())
            os.close(os.dup(file.fileno()))  # only at a close do some network file systems say that they are full
            if sys.platform == "win32":
                file.close()  # no open file is renamed there; elsewhere it stays locked until it is
            if force or not _link(temporary, final):
                temporary.replace(final)
    except FileExistsError:  # which appeared meanwhile
        raise OutputError(_EXISTS.format(path=path)) from None
    except OSError as error:
        raise write_error(f"{path}: cannot be written", error) from None
    finally:
        with suppress(OSError):  # which a rename has left nothing of
            temporary.unlink()


def final_path(path: Path, force: bool) -> Path:
    """Return the file that writing to `path` makes or replaces: with `force`, the one that its links lead to.

    Raises OutputError if they lead in a circle.
    """
    if not force or not path.is_symlink():
        return path
    final = Path(os.path.realpath(path))
    if final.is_symlink():
        raise OutputError(f"{path}: is a symbolic link that leads in a circle")
    return final


def _take_after(replaced: Path, handle: int) -> None:
    """Give an open file the permission bits of the one that it replaces, and its owner and group if possible."""
    if sys.platform == "win32":  # has neither
        return
    with suppress(FileNotFoundError):
        status = replaced.stat()
        with suppress(OSError):  # only root gives files away
            os.fchown(handle, -1, status.st_gid)
            os.fchown(handle, status.st_uid, -1)
        with suppress(OSError):  # a file system without permissions
            os.fchmod(handle, stat.S_IMODE(status.st_mode) & 0o777)


def write_error(sentence: str, error: OSError) -> OutputError:
    """Return `sentence` with its reason as an error, a DiskError if no other file could be written either."""
    kind = DiskError if error.errno in _FULL else OutputError
    return kind(f"{sentence} ({error.strerror})")


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


def _create(temporary: Path, path: Path, mode: int) -> int:
    """Open `temporary` and lock it: the lock ends with this process, whatever ends it."""
    # Created anew, so that nobody else's file is written to
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        try:
            handle = os.open(temporary, flags, mode)
        except FileNotFoundError:
            has = "takes no files" if temporary.parent.is_dir() else "does not exist"
            raise OutputError(f"{path}: its folder {temporary.parent} {has}") from None
        except NotADirectoryError:
            raise OutputError(f"{path}: {temporary.parent} is not a folder") from None
        except OSError as error:
            raise write_error(f"{path}: its folder cannot be written to", error) from None
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
    """Raise OutputError if `path` is a folder, pipe, socket or device, or exists and `force` is not set."""
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, so no file is written there")
    refuse_special(path)
    if not force:
        raise OutputError(_EXISTS.format(path=path))


def refuse_special(path: Path) -> None:
    """Raise OutputError if `path` is a pipe, a socket or a device, which no file may replace."""
    is_special = _OPEN_FILE.fullmatch(str(path)) is not None
    with suppress(OSError):  # a dangling link, or nothing
        mode = path.stat().st_mode
        is_special = is_special or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    if is_special:
        raise OutputError(f"{path}: is a pipe, socket or device, not a file; use - to write to standard output")
