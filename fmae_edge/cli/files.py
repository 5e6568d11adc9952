"""Which files a command reads, and where its results go."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fmae_edge.runtime.errors import FmaeError, InputError, OutputError
from fmae_edge.runtime.output import refuse_existing, write_file

STREAM = Path("-")


def expand(arguments: Sequence[Path], recursive: bool, suffixes: Sequence[str]) -> list[Path]:
    """Return the files that `arguments` name: with `recursive`, folders give the files in them that end so.

    Without it a folder stays as it is, and is an error when it is read. Raises InputError for a folder
    that has no such file.
    """
    files: list[Path] = []
    for argument in arguments:
        if recursive and argument.is_dir():
            found = sorted(path for path in argument.rglob("*") if path.suffix.lower() in suffixes)
            if not found:
                raise InputError(f"{argument}: no file in it ends in {' or '.join(suffixes)}")
            files += found
        else:
            files.append(argument)
    return files


def read(path: Path) -> bytes:
    """Return the content of a file, or of standard input for `-`. Raises InputError if there is none."""
    if path != STREAM:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; use -r to take the files in it")
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
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


class Outputs:
    """Where the results of one command go.

    `output` is the file, folder or `-` that the user gave, or None for beside the input; `suffix` is what
    the names of results end in. With `joined`, all inputs make one file. Raises OutputError if the results
    of `inputs` cannot go to `output`.
    """

    def __init__(
        self, output: Path | None, suffix: str, force: bool, inputs: Sequence[Path], joined: bool = False
    ) -> None:
        self._output, self._force = output, force
        self._written: set[Path] = set()
        self._inputs = {_identity(path) for path in inputs if path.exists()}
        self._to_folder = output is not None and output.is_dir()
        if output is None or self._to_folder:
            return
        if len(inputs) > 1 and not joined:
            raise OutputError(f"{output}: is no existing folder, which {len(inputs)} inputs need")
        if output != STREAM and output.suffix.lower() != suffix:
            raise OutputError(f"{output}: is no existing folder, and the name of a result must end in {suffix}")

    def path(self, source: Path, name: Callable[[Path], Path]) -> Path:
        """Return where the result of `source` goes.

        `name` makes the result's path from the input's without its suffix, in the folder it goes to.
        """
        if self._output is not None and not self._to_folder:
            return self._output
        if source == STREAM:
            return STREAM if self._output is None else name(self._output / "stdin")
        stem = source.with_suffix("")
        return name(stem if self._output is None else self._output / stem.name)

    def refuse(self, path: Path) -> None:
        """Raise OutputError if writing `path` would lose something."""
        if path == STREAM:
            return
        if path in self._written:
            raise OutputError(f"{path}: is the output of an earlier input of this command already")
        if path.exists() and _identity(path) in self._inputs:
            raise OutputError(f"{path}: is an input of this command, so it is not overwritten")
        refuse_existing(path, self._force)

    def write(self, path: Path, content: bytes) -> None:
        """Write a result, whole or not at all. Raises OutputError as `refuse` does, or if it cannot be written."""
        self.refuse(path)
        if path == STREAM:
            if sys.stdout is None:
                raise OutputError("-: standard output is closed")
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        else:
            write_file(path, content, self._force)
            self._written.add(path)


def _identity(path: Path) -> tuple[int, int]:
    """Tell files apart whatever their names: device and inode."""
    status = path.stat()
    return status.st_dev, status.st_ino


def for_each(sources: Sequence[Path], process: Callable[[Path], None]) -> None:
    """Process each source; report those that fail on stderr, go on with the rest, and exit with 1 at the end.

    Ctrl-C ends it with 130; what is written by then is whole.
    """
    failed = False
    for number, source in enumerate(sources, 1):
        try:
            process(source)
        except KeyboardInterrupt:
            print(f"fmae-edge: interrupted at input {number} of {len(sources)}", file=sys.stderr)
            sys.exit(130)
        except FmaeError as error:
            print(f"fmae-edge: {error}", file=sys.stderr)
            failed = True
        except BrokenPipeError:  # nobody reads what is said: not this source's fault, and no use going on
            raise
        except OSError as error:  # a folder that may not be searched, a name that is too long, ...
            print(f"fmae-edge: {source}: {error.strerror or error}", file=sys.stderr)
            failed = True
    if failed:
        sys.exit(1)
