"""Where the results of a command go: beside the inputs, to a file, a folder, a pattern, or standard output."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from fmae_edge.cli.console import ClosedOutput
from fmae_edge.cli.files import STREAM, Source
from fmae_edge.runtime.errors import InputError, OutputError
from fmae_edge.runtime.output import refuse_existing, write_file

_FIELD = re.compile(r"\{(\w*)\}")
_FIELDS = ("folder", "path", "stem")


def asked_suffix(output: Path | None) -> str:
    """Return what the name of a result ends in by `output`, or nothing if that names a folder or no file."""
    return "" if output is None or output.is_dir() else output.suffix.lower()


def is_pattern(output: Path) -> bool:
    """Whether `output` has a field in it that stands for a part of an input's name."""
    return _FIELD.search(str(output)) is not None and not output.is_dir()


class Outputs:
    """Where the results of one command go.

    `output` is what the user gave, or None for beside the inputs: a file whose name ends in `suffix`; `-`; a
    folder, which is one that exists or a name without a suffix, and in which the results lie as their inputs do
    below the folder given with -r; or a pattern with {stem}, {path} or {folder} in it. With `joined`, all inputs
    make one file. Folders that are missing are made, but not for a file. Results that exist are skipped with
    `skip_existing`, overwritten with `force`, else refused.

    Raises OutputError if the results of `inputs` cannot go to `output`.
    """

    def __init__(
        self,
        output: Path | None,
        suffix: str,
        force: bool,
        inputs: Sequence[Source],
        joined: bool = False,
        skip_existing: bool = False,
    ) -> None:
        self._output, self.suffix, self._force, self._skip = output, suffix, force, skip_existing
        self._claimed: set[Path] = set()
        self._made: set[Path] = set()
        self._inputs = {_identity(source.path) for source in inputs} - {None}
        by_pattern = output is not None and is_pattern(output)
        self._to_folder = output is not None and (
            output.is_dir() or not (by_pattern or output.suffix or output == STREAM)
        )
        self._makes_folders = by_pattern or self._to_folder
        if output is None or self._to_folder:
            return
        if by_pattern:
            for field in _FIELD.findall(str(output)):
                if field not in _FIELDS:
                    raise InputError(f"{output}: {{{field}}} stands for nothing; use {{{'}, {'.join(_FIELDS)}}}")
        elif len(inputs) > 1 and not joined:
            raise OutputError(f"{output}: is one file, and {len(inputs)} inputs need a folder or {{stem}} in it")
        if output != STREAM and output.suffix.lower() != suffix:
            raise OutputError(f"{output}: is no folder, and the name of a result must end in {suffix}")

    def path(self, source: Source, stem: str | None = None) -> Path:
        """Return where a result of `source` goes, with `stem` as its name if that is not the input's own."""
        if source.path == STREAM:
            if self._output is None:
                return STREAM
            source = Source(Path("stdin"))
        stem = source.path.stem if stem is None else stem
        if self._output is None:
            return source.path.with_name(stem + self.suffix)
        if self._to_folder:
            return self._output / source.below / (stem + self.suffix)
        values = {"folder": source.path.parent, "path": source.below / stem, "stem": stem}
        return Path(_FIELD.sub(lambda field: str(values[field[1]]), str(self._output)))

    def is_taken(self, path: Path) -> bool:
        """Whether a file that is no result of this command has the name."""
        return path != STREAM and path not in self._claimed and os.path.lexists(path)

    def claim(self, path: Path) -> bool:
        """Take `path` for a result and return True, or False if it is to be skipped because it exists.

        Raises OutputError if writing it would lose something.
        """
        if path == STREAM:
            return True
        if path in self._claimed:
            raise OutputError(f"{path}: is the output of an earlier input of this command already")
        if self._skip and self.is_taken(path):
            return False
        if os.path.lexists(path):
            if _identity(path) in self._inputs:
                raise OutputError(f"{path}: is an input of this command, so it is not overwritten")
            refuse_existing(path, self._force)
        self._claimed.add(path)
        return True

    def write(self, path: Path, content: bytes) -> None:
        """Write a claimed result, whole or not at all. Raises OutputError if it cannot be written."""
        if path == STREAM:
            if isinstance(sys.stdout, ClosedOutput):
                raise OutputError("-: standard output is closed")
            try:
                sys.stdout.buffer.write(content)
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OutputError(f"-: standard output cannot be written ({error.strerror})") from None
            return
        if self._makes_folders and path.parent not in self._made:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{path.parent}: cannot be made ({error.strerror})") from None
            self._made.add(path.parent)
        write_file(path, content, self._force)


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell files apart whatever their names: device and inode, None if there is no file."""
    try:
        status = path.stat()
    except OSError:  # reading it will say why
        return None
    return status.st_dev, status.st_ino
