"""Which files a command reads."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from fmae_edge.runtime.errors import InputError

STREAM = Path("-")


@dataclass(frozen=True)
class Source:
    """An input: a file or `-`, and the folder it lies in as seen from the one that was given with -r."""

    path: Path
    below: Path = Path()

    def __str__(self) -> str:
        return str(self.path)


def expand(arguments: Iterable[Path], recursive: bool, suffixes: Sequence[str]) -> list[Source]:
    """Return the files that `arguments` name: with `recursive`, folders give the files in them that end so.

    Without it a folder stays as it is, and is an error when it is read. A pattern that the shell has left
    alone, as it does inside quotes, gives the files that match. Raises InputError for a folder that has no
    such file, and for a pattern that nothing matches.
    """
    sources: list[Source] = []
    for argument in arguments:
        if recursive and argument.is_dir():
            sources += _files_in(argument, suffixes)
        elif has_magic(str(argument)) and not argument.exists():
            found = sorted(glob(str(argument), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not found:
                raise InputError(f"{argument}: no file matches")
            sources += expand(map(Path, found), recursive, suffixes)
        else:
            sources.append(Source(argument))
    return sources


def _files_in(folder: Path, suffixes: Sequence[str]) -> list[Source]:
    found = []
    for inside, _, names in os.walk(folder):
        parent = Path(inside)
        below = parent.relative_to(folder)
        found += [Source(parent / name, below) for name in names if name.lower().endswith(tuple(suffixes))]
    if not found:
        raise InputError(f"{folder}: no file in it ends in {' or '.join(suffixes)}")
    return sorted(found, key=lambda source: source.path)


def read(path: Path) -> bytes:
    """Return the content of a file, or of standard input for `-`. Raises InputError if there is none."""
    if path != STREAM:
        mode = _mode(path)
        if mode is None:
            raise InputError(f"{path}: no such file")
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a folder; use -r to take the files in it")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: is no regular file")
    elif sys.stdin is None:
        raise InputError("-: standard input is closed")
    try:
        content = sys.stdin.buffer.read() if path == STREAM else path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not content:
        raise InputError(f"{path}: is empty")
    return content


def _mode(path: Path) -> int | None:
    """Return what kind of file it is, None if there is none: one look, for each is slow where files are many."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def named(source: Source) -> Iterator[None]:
    """Put the name of a file in front of what is wrong with its content."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
