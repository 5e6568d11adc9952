"""Write a folder completely or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fmae_edge.runtime.atomic_write import write_error
from fmae_edge.runtime.errors import OutputError


@contextmanager
def new_folder(target: Path, force: bool, content: str, is_only_that: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the path of a scratch folder to create, which becomes `target` when the block ends.

    It is deleted if the block fails. A kill leaves it behind, so the block creates it after its long work. With
    `force`, an existing folder is replaced, but only if `is_only_that` says that it has nothing else than what is
    written: `content`, such as "a bundle". Raises OutputError if `target` exists and is not replaced, or cannot
    be written.
    """
    replaces = os.path.lexists(target)
    if replaces and (target.is_symlink() or not is_only_that(target)):
        raise OutputError(f"{target}: contains more than {content}, so it is not replaced; choose another folder")
    if replaces and not force:
        raise OutputError(f"{target}: already exists; use --force to replace it")
    try:
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
        scratch.rmdir()  # the parent folder can be written to
    except OSError as error:
        raise write_error(f"{target}: its parent folder cannot be written to", error) from None
    try:
        yield scratch
        if replaces:
            replaced = scratch.with_suffix(".old")
            target.rename(replaced)
            scratch.rename(target)
            shutil.rmtree(replaced)
        else:
            scratch.rename(target)
    except OSError as error:
        raise write_error(f"{target}: cannot be written", error) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
