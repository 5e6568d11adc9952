"""Find and read the input files of a run."""

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from glob import has_magic
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fmae_edge.runtime.errors import ArgumentError, InputError, shown

STREAM = Path("-")  # standard input or output; a file of this name has an absolute path, see `as_path`
_START_BYTES = 1 << 16
_BYTES_AT_ONCE = 1 << 20
_BYTES_PER_GROUP = 1 << 20  # bounds memory where one file holds many images


class TooLargeError(InputError):
    """A file has more bytes than the limit."""


class Source(NamedTuple):
    """An input: a file or `-`, and the path of its folder below the folder that is searched with -r.

    If `problem` is set, the input cannot be read, for this reason.
    """

    path: Path
    below: Path = Path()
    problem: str = ""

    def __str__(self) -> str:
        return str(self.path)


def is_stream(path: Path) -> bool:
    """Return whether `path` is STREAM, in a quarter of the time of a comparison of paths."""
    return str(path) == "-"


def as_path(text: str | Path) -> Path:
    """Return the path that an argument names: `-` is STREAM, and `./-` a file. A Path is returned as it is."""
    if isinstance(text, Path):
        return text
    return STREAM if text == "-" else _as_file(Path(text))


def _as_file(path: Path) -> Path:
    return path.absolute() if path == STREAM else path


def expand(arguments: Sequence[str | Path], recursive: bool, suffixes: Sequence[str]) -> tuple[list[Source], int]:
    """Return the files that `arguments` name; with `recursive`, also files in folders that end in `suffixes`.

    Without `recursive`, reading a folder is an error. A pattern, which the shell does not expand if it is quoted,
    stands for the files that match. Folders and patterns do not repeat files that are already in the list. A
    folder or pattern without files becomes a source with a problem. Also returns the number of files in folders
    that are passed over because of their suffix. Raises ArgumentError if `arguments` are not a list of paths, or
    contain `-` twice.
    """
    if isinstance(arguments, str | bytes | os.PathLike):
        raise ArgumentError("inputs", f"is {shown(arguments)}; expected a list of paths")
    arguments = list(arguments)
    for argument in arguments:
        if not isinstance(argument, str | os.PathLike):
            raise ArgumentError("inputs", f"contain {shown(argument)}; expected paths as str or Path")
    paths = [as_path(argument) for argument in arguments]
    if paths.count(STREAM) > 1:
        raise ArgumentError("inputs", "contain - twice, but there is only one standard input")
    place = place_finder()
    sources: list[Source] = []
    seen: set[tuple[str, str]] = set()
    passed_over: list[Path] = []
    for path in paths:
        try:
            expanded = _expanded(path, recursive, suffixes, passed_over)
        except OSError as error:  # a name that is too long, a folder that may not be searched, ...
            expanded = [Source(path, problem=error.strerror or str(error))]
        if expanded is None:
            sources.append(Source(path))
            seen.add(place(path))
            continue
        for source in sorted(expanded, key=lambda source: source.path.parts):
            key = place(source.path)
            if key not in seen:  # several links may lead to the same file
                sources.append(source)
                seen.add(key)
    return sources, len({place(path) for path in passed_over} - seen)


def place_finder() -> Callable[[Path], tuple[str, str]]:
    """Return a function that returns equal keys for paths of the same file. Its folder may not exist yet."""
    real = cache(os.path.realpath)  # of folders only: there are fewer folders than files

    def place(path: Path) -> tuple[str, str]:
        folder, name = os.path.split(path)
        return real(folder), name

    return place


def _expanded(
    argument: Path, recursive: bool, suffixes: Sequence[str], passed_over: list[Path]
) -> list[Source] | None:
    """Return the files in a folder or of a pattern, or None if `argument` is neither. Extends `passed_over`."""
    if recursive and argument.is_dir():
        return _files_in(argument, Path(), suffixes, passed_over)
    if has_magic(str(argument)) and not argument.exists():
        return _matching(argument, recursive, suffixes, passed_over)
    return None


def _files_in(folder: Path, below: Path, suffixes: Sequence[str], passed_over: list[Path]) -> list[Source]:
    """Return the files in `folder`, which is `below` the searched folder. Links to folders are not followed."""
    sources: list[Source] = []

    def unreadable(error: OSError) -> None:
        sources.append(Source(Path(error.filename), problem=f"cannot be read ({error.strerror})"))

    for inside, _, names in os.walk(folder, onerror=unreadable):
        parent = Path(inside)
        place = below / parent.relative_to(folder)
        for name in names:
            if name.lower().endswith(tuple(suffixes)):
                sources.append(Source(parent / name, place))
            else:
                passed_over.append(parent / name)
    return sources or [Source(folder, problem=f"no file in it ends in {' or '.join(suffixes)}")]


def _matching(pattern: Path, recursive: bool, suffixes: Sequence[str], passed_over: list[Path]) -> list[Source]:
    """Return the files that match a pattern; `below` starts at its first part with a wildcard.

    As in a shell, * does not match names that begin with a dot. ** does not follow links to folders.
    """
    first = next(number for number, part in enumerate(pattern.parts) if has_magic(part))
    fixed, wild = Path(*pattern.parts[:first]), pattern.parts[first:]
    hidden = any(part.startswith(".") for part in wild)
    sources: list[Source] = []
    try:
        matches = list(fixed.glob("/".join([*wild, "*"] if wild[-1] == "**" else wild)))
    except ValueError as error:
        return [Source(pattern, problem=f"is not a valid pattern ({error})")]
    for match in matches:
        below = match.relative_to(fixed)
        if not hidden and any(part.startswith(".") for part in below.parts):
            continue
        if not match.is_dir():
            sources.append(Source(_as_file(match), below.parent))
        elif recursive:
            sources += _files_in(match, below, suffixes, passed_over)
    return sources or [Source(pattern, problem="no file matches")]


def needs_one_thread(sources: Sequence[Source]) -> bool:
    """Return whether threads do not help, or would continue to read standard input after Ctrl-C."""
    return len(sources) < 2 or any(is_stream(source.path) for source in sources)


def groups_of(sources: Sequence[Source], most: int) -> Iterator[list[Source]]:
    """Yield `sources` in lists of at most `most`, fewer if the files are large."""
    group: list[Source] = []
    size = 0
    for source in sources:
        group.append(source)
        size += file_bytes(source.path)
        if len(group) == most or size > _BYTES_PER_GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def file_bytes(path: Path) -> int:
    """Return the size of a file in bytes, 0 if there is no such file."""
    try:
        return os.stat(path).st_size
    except OSError:  # reading it will report the error
        return 0


def read(source: Source, most: int | Callable[[bytes], int] | None = None) -> bytes:
    """Return the content of a file, or of standard input for `-`.

    `most` is the largest size in bytes, or a function that returns it given the first 64 kilobytes. Raises
    InputError if the file is missing or empty, TooLargeError if it is larger, and any error that `most` raises.
    """
    if source.problem:
        raise InputError(f"{source}: {source.problem}")
    path = source.path
    streams = is_stream(path)
    if not streams:
        _require_file(path, most if isinstance(most, int) else None)
    elif sys.stdin is None:
        raise InputError("-: standard input is closed")
    try:
        with nullcontext(sys.stdin.buffer) if streams else open(path, "rb", buffering=0) as file:
            copied = io.BytesIO()  # getvalue does not copy the bytes again
            _copy(file, copied, _START_BYTES)
            start = copied.getvalue()
            if not start:
                raise InputError(f"{path}: is empty")
            limit = most(start) if callable(most) else most
            if limit is None:
                return start + file.read()
            if len(start) < min(_START_BYTES, limit + 1):  # all of it
                return start
            if not streams:
                _require_size(path, os.fstat(file.fileno()), limit)
            _copy(file, copied, limit + 1 - len(start))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    content = copied.getvalue()
    if len(content) > limit:
        raise TooLargeError(f"{path}: is larger than the limit of {limit} bytes")
    return content


def read_compressed(source: Source, refusal: str, latents: bool = True) -> bytes:
    """Return the content of a .fmae file or, with `latents`, of a .npy file.

    The first bytes decide which format it is and how long it may be. Raises InputError with `refusal` if it is
    neither.
    """
    # They need numpy, without which this module can be imported to parse arguments
    from fmae_edge.runtime.format.fmae_file import is_fmae, max_file_bytes
    from fmae_edge.runtime.format.npy_file import MAGIC, file_bytes

    def most(start: bytes) -> int:
        if is_fmae(start):
            return max_file_bytes(start)
        if latents and start.startswith(MAGIC):
            return max(file_bytes(start, str(source)), len(start))
        raise InputError(f"{source}: {refusal}")

    return read(source, most)


def _copy(file: BinaryIO | io.FileIO, to: BinaryIO, count: int) -> None:
    """Copy the next `count` bytes, or fewer at the end. Memory grows with the content, not with `count`."""
    while count > 0 and (part := file.read(min(count, _BYTES_AT_ONCE))):
        to.write(part)
        count -= len(part)


def _require_file(path: Path, most: int | None) -> None:
    """Raise InputError unless `path` is a regular file of at most `most` bytes, with a single system call."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder; use --recursive (-r) to read the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is not a regular file; - reads standard input")
    if most is not None:
        _require_size(path, status, most)


def _require_size(path: Path, status: os.stat_result, most: int) -> None:
    if status.st_size > most:
        raise TooLargeError(f"{path}: has {status.st_size} bytes, more than the limit of {most} bytes")


@contextmanager
def named(source: Source) -> Iterator[None]:
    """Prefix errors about the content of a file with its name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
