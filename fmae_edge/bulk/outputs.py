"""Choose and write the outputs of a run: next to the inputs, a file, a folder, a pattern, or standard output."""

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from fmae_edge.bulk.sources import STREAM, Source, as_path, is_stream, place_finder
from fmae_edge.runtime.atomic_write import final_path, refuse_existing, refuse_special, write_error, write_file
from fmae_edge.runtime.errors import ArgumentError, OutputError, shown

_FIELD = re.compile(r"\{(\w*)\}")
_FIELDS = ("folder", "path", "stem")


def output_suffix(output: str | Path | None) -> str:
    """Return the suffix of an output in lower case, or an empty string for a folder and `-`.

    Raises ArgumentError if `output` is not a path.
    """
    if output is not None and not isinstance(output, str | os.PathLike):
        raise ArgumentError("output", f"is {shown(output)}; expected a str or a Path")
    if output is None or _is_folder(output):
        return ""
    path = Path(output)
    name = path.name.lower()
    return path.suffix.lower() or (name if name.startswith(".") else "")


def _is_folder(output: str | Path | None) -> bool:
    """Return whether an output ends in / or exists as a folder."""
    if output is None or as_path(output) == STREAM:
        return False
    return str(output).endswith(("/", os.sep)) or Path(output).is_dir()


class Outputs:
    """The outputs of a run.

    `output` is a file, `-`, a folder, or a pattern with fields for parts of an input's name; None writes next to
    the inputs. A folder is one that exists, a name without a suffix, or a name that ends in /. Results in a folder
    keep the subfolders below the folder that is searched with -r. Names end in `suffix`, which is one of
    `suffixes`. With `join`, all inputs become one file unless `output` is a pattern; `one_file` is its path.
    Missing folders are created, except that of an output file. Existing results are skipped with `skip_existing`,
    overwritten with `force`, else refused. With `dry_run`, nothing is written. Without `patterns`, braces in
    `output` are ordinary characters.

    Raises ArgumentError if the results of `sources` cannot go to `output`, OutputError for a pipe or a device.
    """

    def __init__(
        self,
        output: str | Path | None,
        suffix: str,
        sources: Sequence[Source],
        suffixes: Sequence[str],
        join: bool = False,
        force: bool = False,
        skip_existing: bool = False,
        dry_run: bool = False,
        patterns: bool = True,
    ) -> None:
        if force and skip_existing:
            raise ArgumentError("skip_existing", "keeps files that force would overwrite; use only one of them")
        self.suffix, self._force, self._skip, self._dry_run = suffix, force, skip_existing, dry_run
        self._claimed: dict[tuple[str, str], str] = {}
        self._place = place_finder()
        self._folders_made: set[str] = set()
        self._inputs = {_identity(source.path) for source in sources} - {None}
        self._path = None if output is None else as_path(output)
        if output is not None and patterns:
            _require_fields(output)
        output_kind = output_suffix(output)
        self._is_pattern = patterns and _FIELD.search(str(output)) is not None and not _is_folder(output)
        self._is_folder = not (output is None or self._path == STREAM or self._is_pattern or output_kind)
        self._makes_folders = output is None or self._is_folder or self._is_pattern
        self.one_file = self._path if join and not self._makes_folders else None
        self.to_stdout = self._path == STREAM or (output is None and any(is_stream(each.path) for each in sources))
        if self._path is None:
            return
        if self._path != STREAM:
            refuse_special(self._path)
        problem = ""
        if len(sources) > 1 and not (join or self._makes_folders):
            problem = f"{len(sources)} inputs need a folder or a pattern with {{stem}}"
        elif not self._is_folder and self._path != STREAM and output_kind != suffix:
            problem = f"a file name must end in {' or '.join(suffixes)}, a folder name in /"
        elif self._path.name.lower() == suffix and not self._is_folder:
            problem = f"it has no name before its {suffix}"
        if problem:
            raise ArgumentError("output", f"is {output}; {problem}")

    def path(self, source: Source, stem: str | None = None) -> Path:
        """Return the path of a result of `source`; its name is `stem`, by default that of the input.

        Raises OutputError if a pattern leads out of the folder that it begins with.
        """
        if is_stream(source.path):
            if self._path is None:
                return STREAM
            source = Source(Path("stdin"))
        stem = source.path.stem if stem is None else stem
        if self._path is None:
            return source.path.parent / (stem + self.suffix)
        if self._is_folder:
            return self._path / source.below / (stem + self.suffix)
        if not self._is_pattern:
            return self._path
        values: dict[str, Callable[[], object]] = {
            "folder": lambda: source.path.parent,
            "path": lambda: source.below / stem,
            "stem": lambda: stem,
        }
        text = _FIELD.sub(lambda field: str(values[field[1]]()), str(self._path))
        filled = Path(text)
        if ".." in text and filled.parts.count("..") > self._path.parts.count(".."):
            raise OutputError(f"{filled}: is not in the folder of {self._path}; use {{path}} or {{stem}}")
        return filled

    def path_aside(self, source: Source, stem: str) -> tuple[Path, Path | None]:
        """Return the path of a result named `stem` that does not replace its original.

        Next to the inputs, a result whose path is taken is named `stem.decoded`. The taken path is returned too.
        """
        plain = self.path(source, stem)
        taken = plain != STREAM and self._place_of(plain) not in self._claimed and os.path.lexists(plain)
        if self._path is not None or not taken:
            return plain, None
        return self.path(source, f"{stem}.decoded"), plain

    def skips(self, path: Path, content: bytes | None = None) -> bool:
        """Return whether a result is skipped because `path` exists and, with `content`, has that content.
        Raises OutputError if `path` is a pipe, a socket or a device.
        """
        if not self._skip or is_stream(path) or not os.path.lexists(path) or path.is_dir():
            return False
        refuse_special(path)
        return content is None or path.read_bytes() == content

    def claim(self, path: Path, owner: str = "") -> bool:
        """Reserve `path` for a result of the input `owner`. Return False to skip it because it exists.

        Raises OutputError if writing it would destroy another file.
        """
        if is_stream(path):
            return True
        place = self._place_of(path)
        if place in self._claimed:
            raise OutputError(
                f"{path}: {self._claimed[place]} is already written to this path; use separate runs, or "
                "{path} or {folder} in the output (-o)"
            )
        skipped = self.skips(path)
        if not skipped and os.path.lexists(path):
            if _identity(path) in self._inputs:
                raise OutputError(f"{path}: is an input of this command, so it is not overwritten")
            refuse_existing(path, self._force)
        self._claimed[place] = owner
        return not skipped

    def rehearse(self, path: Path) -> None:
        """Raise OutputError if it is certain that a claimed result cannot be written. Writes nothing."""
        if not is_stream(path):
            folder = self._find_folder(path)
            if not os.access(folder, os.W_OK):
                reason = errno.EROFS if _is_read_only(folder) else errno.EACCES
                raise write_error(f"{path}: {folder} cannot be written to", OSError(reason, os.strerror(reason)))

    def write(self, path: Path, content: bytes) -> Literal["done", "planned", "skipped"]:
        """Write a claimed result, completely or not at all; with `dry_run`, check that it could be written.

        Returns "skipped" if another process has created it meanwhile and existing results are skipped. Raises
        OutputError if it cannot be written.
        """
        if self._dry_run:
            self.rehearse(path)
            return "planned"
        if is_stream(path):
            _write_to_stdout(content)
            return "done"
        folder = os.path.dirname(path)
        if self._makes_folders and folder not in self._folders_made:
            self._find_folder(path)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise write_error(f"{path.parent}: cannot be created", error) from None
            self._folders_made.add(folder)
        try:
            write_file(path, content, self._force)
        except OutputError:
            if self.skips(path):
                return "skipped"
            raise
        return "done"

    def _place_of(self, path: Path) -> tuple[str, str]:
        """Return a key of the file that is written. With `force`, two links to one file have the same key."""
        return self._place(final_path(path, self._force))

    def _find_folder(self, path: Path) -> Path:
        """Return the folder of `path`, or its nearest existing parent if it is missing. Raises OutputError."""
        nearest = final_path(path, self._force).parent
        while self._makes_folders and not os.path.lexists(nearest):
            nearest = nearest.parent
        if not nearest.exists():
            raise OutputError(f"{path}: its folder {nearest} does not exist")
        if not nearest.is_dir():
            raise OutputError(f"{path}: {nearest} is a file, not a folder")
        return nearest


def _require_fields(output: str | Path) -> None:
    """Raise ArgumentError for a pattern with unknown fields, an unmatched brace or no file name."""
    text, fields = str(output), f"{{{'}, {'.join(_FIELDS)}}}"
    if Path(text).is_dir():
        return
    problem = ""
    if text.endswith(("/", os.sep)) and _FIELD.search(text):
        problem = "a pattern needs a file name; end it with {stem} and a suffix"
    elif unknown := [field for field in _FIELD.findall(text) if field not in _FIELDS]:
        problem = f"unknown field {{{unknown[0]}}}; use {fields}"
    elif set("{}") & set(_FIELD.sub("", text)):
        problem = f"it has an unmatched brace; the fields are {fields}"
    if problem:
        raise ArgumentError("output", f"is {text}; {problem}")


def _is_read_only(folder: Path) -> bool:
    """Return whether a folder is on a read-only file system."""
    return sys.platform != "win32" and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _write_to_stdout(content: bytes) -> None:
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        raise OutputError("-: standard output is closed")
    if sys.stdout.isatty():
        raise OutputError(
            "-: standard output is a terminal, but the result is binary; redirect it to a file or a pipe"
        )
    try:
        stream.write(content)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"-: standard output cannot be written ({error.strerror})") from None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file, equal for all its names, or None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:  # reading it will report the error
        return None
    return status.st_dev, status.st_ino
