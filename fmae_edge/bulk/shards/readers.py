"""Read the rows of a shard in batches of bounded size, as tables of Arrow.

Rows of tar files and of single files have a column `key`, the name without its suffix, and a column with the image
or the .fmae file. The other members of a sample in a tar file are columns that are named by their suffixes.
"""

import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fmae_edge.bulk.shards.find import Shard
from fmae_edge.bulk.sources import Source, read
from fmae_edge.runtime.errors import InputError, shown

KEY_COLUMN = "key"
_BYTES_AT_ONCE = 8 << 20  # of the members in a batch
_BUFFER_BYTES = 1 << 20  # pages of a column chunk are read one after the other, however large the row group is
_MOST_OTHER_BYTES = 16 << 20  # of a member that is not the image: it is copied several times until it is written
_MOST_SUFFIXES = 100  # each becomes a column
_NOT_TEXT = "{!r} is a name that is not valid UTF-8; rename the file"
_META = re.compile(r"__[^/]*__($|/)")  # WebDataset passes over such names


class Batch(NamedTuple):
    """Some rows, and sentences about those that could not be read, by their number in the batch."""

    table: pa.RecordBatch
    errors: dict[int, str]


class Reader(NamedTuple):
    """The schema of a shard and its rows; `batches` may be called once."""

    schema: pa.Schema
    batches: Callable[[], Iterator[Batch]]


class RowFiles(NamedTuple):
    """How the file of a row is found and read: its column, its suffixes, and the most bytes that it may have."""

    column: str
    suffixes: tuple[str, ...]
    most_bytes: int


def open_shard(shard: Shard, files: RowFiles, rows_at_once: int) -> Reader:
    """Return a reader of the rows of a shard. `files` is for shards other than Parquet files.

    Raises InputError if it is damaged, OSError if it cannot be read.
    """
    if shard.kind == "files":
        return _single_files(shard, files, rows_at_once)
    path = shard.paths[0]
    if not path.is_file():  # reading a pipe would wait forever
        raise InputError(f"{path}: is missing or not a regular file")
    if shard.kind == "webdataset":
        return _tar(path, files, rows_at_once)
    if not _is_text(str(path)):
        raise InputError(f"{path}: its name is not valid UTF-8, and Arrow opens no such files; rename it")
    return _parquet(path, rows_at_once)


def _is_text(name: str) -> bool:
    """Return whether a name is Unicode: those of files may have any bytes, which Python has as surrogates."""
    return not re.search("[\ud800-\udfff]", name)


def _as_text(name: str) -> str:
    return name if _is_text(name) else name.encode(errors="surrogateescape").decode(errors="replace")


def _parquet(path: Path, rows_at_once: int) -> Reader:
    try:
        file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)
    except pa.ArrowException as error:
        raise InputError(f"{path}: not a Parquet file, or damaged ({error})") from None

    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    bytes_per_row = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=0)
    at_once = max(1, min(rows_at_once, int(_BYTES_AT_ONCE / max(1, bytes_per_row))))

    def batches() -> Iterator[Batch]:
        with file:
            try:
                for table in file.iter_batches(at_once, use_threads=False):
                    yield Batch(table, {})
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{path}: damaged ({error})") from None

    return Reader(file.schema_arrow, batches)


def _single_files(shard: Shard, files: RowFiles, rows_at_once: int) -> Reader:
    schema = pa.schema([(KEY_COLUMN, pa.string()), (files.column, pa.binary())])

    def batches() -> Iterator[Batch]:
        keys: list[str] = []
        contents: list[bytes | None] = []
        errors: dict[int, str] = {}
        size = 0
        for path in shard.paths:
            if len(keys) == rows_at_once or size > _BYTES_AT_ONCE:
                yield Batch(pa.RecordBatch.from_arrays([keys, contents], schema=schema), errors)
                keys, contents, errors, size = [], [], {}, 0
            key = path.relative_to(shard.folder).with_suffix("").as_posix()
            keys.append(_as_text(key))
            try:
                if keys[-1] != key:
                    raise InputError(_NOT_TEXT.format(key))
                contents.append(read(Source(path), files.most_bytes))
            except (InputError, OSError) as error:
                contents.append(None)
                errors[len(keys) - 1] = str(error)
            size += len(contents[-1] or b"")
        yield Batch(pa.RecordBatch.from_arrays([keys, contents], schema=schema), errors)

    return Reader(schema, batches)


def _tar(path: Path, files: RowFiles, rows_at_once: int) -> Reader:
    """Return a reader of the samples of a tar file: neighbours whose names are equal up to the first dot."""
    found: set[str] = set()
    for _, suffix, _ in _members(path, None):
        if not _is_row_file(suffix, files):
            found.add(suffix)
        if len(found) > _MOST_SUFFIXES:
            raise InputError(
                f"{path}: has members with more than {_MOST_SUFFIXES} suffixes, one is .{suffix}; in WebDataset, "
                "a suffix begins at the first dot of a name"
            )
    others = sorted(found)
    for name in others:
        if not _is_text(name):
            raise InputError(f"{path}: has members that end in {name!r}, which is not valid UTF-8")
        if name in (KEY_COLUMN, files.column):
            raise InputError(f"{path}: has members that end in .{name}, which is also the name of a column")
    schema = pa.schema([(name, pa.binary()) for name in (KEY_COLUMN, files.column, *others)])
    schema = schema.set(0, pa.field(KEY_COLUMN, pa.string()))

    def batches() -> Iterator[Batch]:
        rows: list[dict[str, Any]] = []
        errors: dict[int, str] = {}
        size = 0

        def batch() -> Batch:
            for number, row in enumerate(rows):
                if files.column not in row:
                    has = ", ".join(f".{name}" for name in row if name != KEY_COLUMN)
                    errors[number] = (
                        f"sample {row[KEY_COLUMN]!r} has no member that ends in {', '.join(files.suffixes)}; it "
                        f"has {shown(has)}, from the first dot on"
                    )
                if not _is_text(row[KEY_COLUMN]):
                    errors[number] = _NOT_TEXT.format(row[KEY_COLUMN])
                    row[KEY_COLUMN] = _as_text(row[KEY_COLUMN])
            for number in errors:
                rows[number][files.column] = None
            return Batch(pa.RecordBatch.from_pylist(rows, schema), errors)

        for key, suffix, content in _members(path, files):
            if not rows or rows[-1][KEY_COLUMN] != key:
                if len(rows) == rows_at_once or size > _BYTES_AT_ONCE:
                    yield batch()
                    rows, errors, size = [], {}, 0
                rows.append({KEY_COLUMN: key})
            name = files.column if _is_row_file(suffix, files) else suffix
            if name in rows[-1]:
                errors[len(rows) - 1] = f"sample {key!r} has several members for {name!r}, one is .{suffix}"
            if name != files.column and len(content) > _MOST_OTHER_BYTES:
                content = b""
                errors[len(rows) - 1] = f"sample {key!r} has a .{suffix} of more than {_MOST_OTHER_BYTES} bytes"
            rows[-1][name] = content
            size += len(content)
        if rows:
            yield batch()

    return Reader(schema, batches)


def _members(path: Path, files: RowFiles | None) -> Iterator[tuple[str, str, bytes]]:
    """Yield key, suffix and content of each member of a tar file; without `files`, contents are empty."""
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps an object of about a kilobyte for each
                folder, slash, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                if not member.isreg() or not suffix or _META.match(member.name):
                    continue
                content = b""
                if files is not None:
                    most = files.most_bytes if _is_row_file(suffix, files) else _MOST_OTHER_BYTES
                    opened = tar.extractfile(member)
                    content = b"" if opened is None else opened.read(most + 1)
                yield f"{folder}{slash}{stem}", suffix.lower(), content
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise InputError(f"{path}: truncated: the end of the tar file is missing")
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path}: not a tar file, or damaged ({error})") from None


def _is_row_file(suffix: str, files: RowFiles) -> bool:
    return f".{suffix}" in files.suffixes
