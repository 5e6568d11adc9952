"""Write a file completely or not at all."""

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
_EXISTS = "{path}: already exists; use --force to overwrite it"
# These names of open files may lead to a regular file, if the shell redirects an output to one
_OPEN_FILE = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/[^/]+/fd/\d+")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def replacing(path: Path, force: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file next to `path`.

    It is renamed to `path` when the block ends, and deleted if the block fails. A kill at any moment leaves either
    the old file or the new one, never a part of one. It also leaves the temporary file, which the next process
    that writes into the folder removes. With `force`, the new file gets the permission bits of the old one, and
    its owner and group if this process may set them; a symbolic link stays, and its target is replaced. Raises
    OutputError if the folder is missing or not writable, and without `force` if another process creates `path`
    meanwhile.
    """
    final = final_path(path, force)
    folder = os.path.dirname(final) or os.curdir
    _remove_left_over_once(folder)
    temporary = os.path.join(folder, f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}")
    try:
        # Only its owner can read it until it has the permissions of the file that it replaces
        with os.fdopen(_create(temporary, path, 0o600 if force and final.exists() else 0o666), "wb") as file:
            yield file
            file.flush()
            if force:
                _copy_permissions(final, file.fileno())
            os.close(os.dup(file.fileno()))  # some network file systems report that they are full only at a close
            if sys.platform == "win32":
                file.close()  # Windows cannot rename an open file; elsewhere it stays locked until the rename
            if force or not _link(temporary, final):
                os.replace(temporary, final)
    except FileExistsError:  # another process created it meanwhile
        raise OutputError(_EXISTS.format(path=path)) from None
    except OSError as error:
        raise write_error(f"{path}: cannot be written", error) from None
    finally:
        with suppress(OSError):  # after a rename there is nothing to remove
            os.unlink(temporary)


def final_path(path: Path, force: bool) -> Path:
    """Return the file that writing to `path` creates or replaces: with `force`, the target of its links.

    Raises OutputError if the links lead in a circle.
    """
    if not force or not path.is_symlink():
        return path
    final = Path(os.path.realpath(path))
    if final.is_symlink():
        raise OutputError(f"{path}: is a symbolic link that leads in a circle")
    return final


def _copy_permissions(replaced: Path, handle: int) -> None:
    """Give an open file the permission bits of the file that it replaces, and its owner and group if possible."""
    if sys.platform == "win32":  # Windows has neither
        return
    with suppress(FileNotFoundError):
        status = replaced.stat()
        with suppress(OSError):  # only root may change the owner
            os.fchown(handle, -1, status.st_gid)
            os.fchown(handle, status.st_uid, -1)
        with suppress(OSError):  # a file system without permissions
            os.fchmod(handle, stat.S_IMODE(status.st_mode) & 0o777)


def write_error(sentence: str, error: OSError) -> OutputError:
    """Return an error with `sentence` and the reason: a DiskError if other files could not be written either."""
    kind = DiskError if error.errno in _FULL else OutputError
    return kind(f"{sentence} ({error.strerror})")


def _link(temporary: str, path: Path) -> bool:
    """Give a file a second name, or return False if the file system does not support it.

    Raises FileExistsError if a file of that name exists, which a rename would replace.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _create(temporary: str, path: Path, mode: int) -> int:
    """Open `temporary` and lock it; the lock ends with this process, even if the process is killed."""
    # O_EXCL, so that a file of another process is never written to
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        try:
            handle = os.open(temporary, flags, mode)
        except FileNotFoundError:
            folder = os.path.dirname(temporary)
            if os.path.isdir(folder):  # for example /proc
                raise OutputError(f"{path}: no files can be created in its folder {folder}") from None
            raise OutputError(f"{path}: its folder {folder} does not exist") from None
        except NotADirectoryError:
            raise OutputError(f"{path}: {os.path.dirname(temporary)} is not a folder") from None
        except OSError as error:
            raise write_error(f"{path}: its folder cannot be written to", error) from None
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks, where temporary files are not removed either
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(temporary):
            return handle
        os.close(handle)  # another process removed it as left over before it was locked


@cache
def _remove_left_over_once(folder: str) -> None:
    remove_left_over(Path(folder))


def remove_left_over(folder: Path) -> None:
    """Remove the temporary files in `folder` whose processes have ended: no process holds a lock on them."""
    if sys.platform == "win32":  # Windows does not have such locks
        return
    names: list[str] = []
    with suppress(OSError):  # writing to the folder will report the error
        names = os.listdir(folder)
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
    """Write `content` to `path`, completely or not at all.

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
        raise OutputError(f"{path}: is a folder; expected the path of a file")
    refuse_special(path)
    if not force:
        raise OutputError(_EXISTS.format(path=path))


def refuse_special(path: Path) -> None:
    """Raise OutputError if `path` is a pipe, a socket or a device, which a file must not replace."""
    is_special = _OPEN_FILE.fullmatch(str(path)) is not None
    with suppress(OSError):  # a dangling link, or nothing
        mode = path.stat().st_mode
        is_special = is_special or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    if is_special:
        raise OutputError(f"{path}: is a pipe, socket or device, not a file; use - to write to standard output")
