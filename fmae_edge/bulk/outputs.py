"""Choose and write the outputs of a command: next to the inputs, a file, a folder, a pattern, or stdout."""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from fmae_edge.bulk.destination import Destination
from fmae_edge.bulk.sources import STREAM, Source, place_finder
from fmae_edge.bulk.usage import UsageError
from fmae_edge.commands.console import ClosedOutput, drop_unwritten
from fmae_edge.runtime.atomic_write import final_path, refuse_existing, refuse_special, write_error, write_file
from fmae_edge.runtime.errors import OutputError


class Outputs:
    """The outputs of one command.

    `output` is what the user gave, or None to write next to the inputs. Results in a folder keep the subfolders
    below the folder given with -r. With `joined`, all inputs make one file. Names end in `suffix`, which is one of
    `suffixes`. Missing folders are made, but not for a file that was named. Existing results are skipped with
    `skip_existing`, overwritten with `force`, else refused. Messages go to `stream`.

    Raises UsageError if the results of `inputs` cannot go to `output`, OutputError if it is a pipe or a device.
    """

    def __init__(
        self,
        output: Destination | None,
        suffix: str,
        force: bool,
        inputs: Sequence[Source],
        joined: bool = False,
        skip_existing: bool = False,
        suffixes: Sequence[str] = (),
    ) -> None:
        self._output, self.suffix, self._force, self._skip = output, suffix, force, skip_existing
        self._claimed: dict[tuple[str, str], str] = {}
        self._place = place_finder()
        self._found: set[Path] = set()
        self._inputs = {_identity(source.path) for source in inputs} - {None}
        to_stdout = any(source.path == STREAM for source in inputs) if output is None else output.path == STREAM
        self.stream: TextIO = sys.stderr if to_stdout else sys.stdout
        self._makes_folders = output is None or output.is_folder or output.is_pattern
        if output is not None and output.path != STREAM:
            refuse_special(output.path)
        if output is None or output.is_folder:
            return
        if len(inputs) > 1 and not (joined or output.is_pattern):
            if output.path == STREAM:
                raise UsageError(f"-: standard output takes one result, but there are {len(inputs)} inputs")
            raise UsageError(
                f"{output}: is one file, but {len(inputs)} inputs need a folder or a pattern with {{stem}}"
            )
        if output.path != STREAM and output.suffix != suffix:
            allowed = " or ".join(suffixes or [suffix])
            raise UsageError(f"{output}: the name of a file must end in {allowed}, and of a folder in /")
        if output.path.name.lower() == suffix:
            raise UsageError(f"{output}: has no name before its {suffix}")

    def path(self, source: Source, stem: str | None = None) -> Path:
        """Return the path of a result of `source`, with `stem` as its name if it is not that of the input.

        Raises OutputError if a pattern leads out of the folder that it begins with.
        """
        if source.path == STREAM:
            if self._output is None:
                return STREAM
            source = Source(Path("stdin"))
        stem = source.path.stem if stem is None else stem
        if self._output is None:
            return source.path.parent / (stem + self.suffix)
        if self._output.is_folder:
            return self._output.path / source.below / (stem + self.suffix)
        filled = self._output.fill({"folder": source.path.parent, "path": source.below / stem, "stem": stem})
        if filled.parts.count("..") > self._output.path.parts.count(".."):
            raise OutputError(f"{filled}: is not in the folder of {self._output}; use {{path}} or {{stem}}")
        return filled

    def is_taken(self, path: Path) -> bool:
        """Whether `path` exists and is not a result of this command."""
        return path != STREAM and self._place_of(path) not in self._claimed and os.path.lexists(path)

    def claim(self, path: Path, who: str = "") -> bool:
        """Reserve `path` for a result of `who` and return True, or False to skip it because it exists.

        Raises OutputError if writing it would destroy another file.
        """
        if path == STREAM:
            return True
        place = self._place_of(path)
        if place in self._claimed:
            raise OutputError(
                f"{path}: {self._claimed[place]} is already written to this path; use separate runs, or "
                "{path} or {folder} in -o"
            )
        exists = os.path.lexists(path)
        skipped = exists and self._skip and not path.is_dir()
        if skipped:
            refuse_special(path)
        elif exists:
            if _identity(path) in self._inputs:
                raise OutputError(f"{path}: is an input of this command, so it is not overwritten")
            refuse_existing(path, self._force)
        self._claimed[place] = who
        return not skipped

    def rehearse(self, path: Path) -> None:
        """Raise OutputError if it is clear without writing that a claimed result cannot be written."""
        if path != STREAM:
            folder = self._find_folder(path)
            if not os.access(folder, os.W_OK):
                reason = errno.EROFS if _is_read_only(folder) else errno.EACCES
                raise write_error(f"{path}: {folder} cannot be written to", OSError(reason, os.strerror(reason)))

    def write(self, path: Path, content: bytes) -> bool:
        """Write a claimed result, whole or not at all, and return True.

        Returns False if another process has made it meanwhile and existing results are skipped. Raises OutputError
        if it cannot be written.
        """
        if path == STREAM:
            _write_to_stdout(content)
            return True
        if self._makes_folders and path.parent not in self._found:
            self._find_folder(path)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise write_error(f"{path.parent}: cannot be made", error) from None
            self._found.add(path.parent)
        try:
            write_file(path, content, self._force)
        except OutputError:
            if self._skip and path.is_file():
                return False
            raise
        return True

    def _place_of(self, path: Path) -> tuple[str, str]:
        """Return a key of the file that is written. With --force, two links to one file have the same key."""
        return self._place(final_path(path, self._force))

    def _find_folder(self, path: Path) -> Path:
        """Return the folder of `path`, or its nearest existing parent if it will be made. Raises OutputError."""
        nearest = final_path(path, self._force).parent
        while self._makes_folders and not os.path.lexists(nearest):
            nearest = nearest.parent
        if not nearest.exists():
            raise OutputError(f"{path}: its folder {nearest} does not exist")
        if not nearest.is_dir():
            raise OutputError(f"{path}: {nearest} is a file, not a folder")
        return nearest


def _is_read_only(folder: Path) -> bool:
    """Whether a folder is on a file system that takes no files from anybody."""
    return sys.platform != "win32" and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _write_to_stdout(content: bytes) -> None:
    if isinstance(sys.stdout, ClosedOutput):
        raise OutputError("-: standard output is closed")
    if sys.stdout.isatty():
        raise OutputError(
            "-: standard output is a terminal, but the result is binary; redirect it to a file or a pipe"
        )
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_unwritten()
        raise OutputError(f"-: standard output cannot be written ({error.strerror})") from None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file whatever its name, None if it does not exist."""
    try:
        status = path.stat()
    except OSError:  # reading it will say why
        return None
    return status.st_dev, status.st_ino
