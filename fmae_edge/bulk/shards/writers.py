"""Write the rows of a shard to a Parquet file, a WebDataset tar file or a folder of single files.

Each writer is a context manager: the result gets its name when the block ends without an error, completely or not
at all. It also stores the description of the job, by which a later run knows that the shard is finished.
"""

import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fmae_edge.bulk.rows import DONE
from fmae_edge.bulk.shards.find import Kind
from fmae_edge.bulk.shards.readers import KEY_COLUMN
from fmae_edge.runtime.atomic_write import replacing, write_error
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.image_names import as_names

if sys.platform != "win32":
    import fcntl

_JOB_KEY = "fmae_edge.job"
JOB_FILE = ".fmae-edge-job.json"
_ROWS_PER_GROUP, _BYTES_PER_GROUP = 1 << 16, 8 << 20
_TEMPORARY = ".fmae-edge-{}.folder"
_OUTCOME = ("bits", "psnr", "status", "error")  # columns that stay out of tar files

# Writes some rows, and returns a sentence for each row that could not be written
Write = Callable[[pa.RecordBatch], list[str]]


@contextmanager
def open_target(
    kind: Kind, target: Path, schema: pa.Schema, job: str, suffix: str, column: str
) -> Iterator[Write]:
    """Yield a function that writes rows of `schema`.

    In a tar file and a folder, each row that is done becomes a file KEY`suffix` with the content of `column`.
    Raises OutputError if `target` cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(f"{target}: its folder cannot be made", error) from None
    if kind == "parquet":
        with replacing(target) as file, _parquet(file, schema, job) as write:
            yield write
    elif kind == "webdataset":
        with (
            replacing(target) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={_JOB_KEY: job}) as tar,
        ):
            yield _Samples(suffix, column, lambda name, content: _add(tar, name, content), True).write
    else:
        with _new_folder(target) as folder:
            (folder / JOB_FILE).write_text(job)
            yield _Samples(suffix, column, lambda name, content: _save(folder / name, content), False).write


def job_of(kind: Kind, target: Path) -> dict[str, Any] | None:
    """Return the description of the job that wrote a result, None if it has none or cannot be read."""
    try:
        if kind == "parquet":
            text = (pq.read_schema(target).metadata or {})[_JOB_KEY.encode()]
        elif kind == "webdataset":
            with tarfile.open(target, "r:") as tar:
                text = tar.pax_headers[_JOB_KEY]
        else:
            text = (target / JOB_FILE).read_text()
        job = json.loads(text)
    except (OSError, pa.ArrowException, tarfile.TarError, LookupError, ValueError):
        return None
    return job if isinstance(job, dict) else None


@contextmanager
def _parquet(file: Any, schema: pa.Schema, job: str) -> Iterator[Write]:
    schema = schema.with_metadata({**(schema.metadata or {}), _JOB_KEY.encode(): job.encode()})
    # A dictionary of values that are all different, such as payloads, only takes time. Pages have checksums,
    # because a damaged payload decodes to a wrong image
    options = {"compression": "zstd", "use_dictionary": ["status", "error"], "write_page_checksum": True}
    with pq.ParquetWriter(file, schema, **options) as writer:
        waiting = schema.empty_table()

        def write(table: pa.RecordBatch) -> list[str]:
            nonlocal waiting
            # One table at a time: many small ones that wait for the rest of their group would divide the heap, and
            # glibc would then keep a gigabyte
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([table])]).combine_chunks()
            if len(waiting) >= _ROWS_PER_GROUP or waiting.nbytes >= _BYTES_PER_GROUP:
                writer.write_table(waiting.replace_schema_metadata(schema.metadata))
                waiting = schema.empty_table()
            return []

        yield write
        if len(waiting):
            writer.write_table(waiting.replace_schema_metadata(schema.metadata))


class _Samples:
    """Rows as files that are named by their key; `others` says whether the other columns become files too."""

    def __init__(self, suffix: str, column: str, save: Callable[[str, bytes], None], others: bool) -> None:
        self._suffix, self._column, self._save, self._others = suffix, column, save, others
        self._rows = 0
        self._names: set[str] = set()

    def write(self, table: pa.RecordBatch) -> list[str]:
        errors = []
        for row in table.to_pylist():
            key = row.get(KEY_COLUMN)
            name = f"{self._rows:09d}" if key is None else str(key)
            self._rows += 1
            if row["status"] != DONE:
                continue
            try:
                if key is not None:  # else it is a number, and no set has to grow with the shard
                    self._claim(name)
            except InputError as error:
                errors.append(str(error))
                continue
            try:
                self._save(f"{name}{self._suffix}", row[self._column])
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                errors.append(f"{name + self._suffix!r} is the name of one row, and the folder of another")
                continue
            if self._others:
                for column, value in row.items():
                    if column not in (KEY_COLUMN, self._column, *_OUTCOME) and value is not None:
                        self._save(f"{name}.{column}", _as_bytes(value))
        return errors

    def _claim(self, name: str) -> None:
        """Raise InputError if a name is not one for a file of its own below the output."""
        as_names([name], 1)
        if name in self._names:
            raise InputError(f"{name!r} is the name of two rows of the shard")
        self._names.add(name)


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value, default=str).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target`, in place of an older one, when the block ends."""
    temporary, older = (target.parent / _TEMPORARY.format(os.urandom(8).hex()) for _ in range(2))
    try:
        temporary.mkdir()
        with _locked(temporary):
            yield temporary
            # Nobody sees a part of it, even if two jobs write to the same folder
            if target.is_dir():
                with suppress(FileNotFoundError):
                    target.rename(older)
            try:
                temporary.rename(target)
            except OSError:
                if not target.is_dir():  # an engine may run a task twice, and the other one has just finished
                    raise
    except OSError as error:
        raise write_error(f"{target}: cannot be written", error) from None
    finally:
        for folder in (temporary, older):
            shutil.rmtree(folder, ignore_errors=True)


def is_temporary(folder: Path) -> bool:
    """Return whether `folder` is one that becomes a result later, or was one before."""
    return folder.match(_TEMPORARY.format("*"))


def remove_left_over_folders(folder: Path) -> None:
    """Remove the temporary folders in `folder` whose processes have ended: no process holds a lock on them."""
    for left in folder.glob(_TEMPORARY.format("*")):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, which ends with this process. Raises OSError if another process has it."""
    if sys.platform == "win32":  # Windows cannot open folders
        yield
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
