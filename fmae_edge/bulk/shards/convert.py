"""Convert one shard: the unit of work of every engine."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from fmae_edge.bulk.arrow_rows import ArrowRows, with_columns
from fmae_edge.bulk.payload_format import require_quality
from fmae_edge.bulk.rows import DONE, FAILED, Compress, Decompress
from fmae_edge.bulk.shards.find import Kind, Shard
from fmae_edge.bulk.shards.readers import Batch, RowFiles, open_shard
from fmae_edge.bulk.shards.writers import open_target
from fmae_edge.runtime.errors import FmaeError
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX
from fmae_edge.runtime.format.fmae_file import pack_one
from fmae_edge.runtime.images import fewer_if_larger

_ROWS_AT_ONCE = 1024  # of 28x28 images; fewer larger ones, which bounds memory
_ERRORS_KEPT = 3  # of the rows of a shard; a Parquet file has all of them in a column


@dataclass(frozen=True)
class ShardTask:
    """A shard to convert with `rows` to `target`; `job` describes everything that decides the result."""

    shard: Shard
    target: Path
    kind: Kind
    rows: Compress | Decompress
    files: RowFiles
    job: str


@dataclass(frozen=True)
class ShardOutcome:
    """The outcome of a shard.

    A shard that is done has `rows`, of which `failed_rows` failed; `errors` are the first few of their reasons.
    `bytes` counts all payloads, or all decoded images. A shard that failed has no output, and `error` says why.
    """

    input: str
    output: str | None
    status: Literal["done", "skipped", "failed"]
    rows: int = 0
    failed_rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    errors: tuple[str, ...] = ()
    error: str | None = None


def convert_shard(task: ShardTask) -> ShardOutcome:
    """Convert a shard and return its outcome; a shard that cannot be read or written is a failed one.

    Running it again gives the same result, so an engine may do that if a worker dies.
    """
    began = time.monotonic()
    try:
        rows, failed, size, errors = _convert(task)
    except (FmaeError, OSError, MemoryError, pa.ArrowException) as error:
        return failed_shard(task, error)
    except Exception as error:  # an engine would try the shard again, and blame the worker
        return failed_shard(task, f"unexpected error ({type(error).__name__}: {error})")
    seconds = round(time.monotonic() - began, 3)
    return ShardOutcome(str(task.shard), str(task.target), "done", rows, failed, size, seconds, errors)


def failed_shard(task: ShardTask, error: BaseException | str) -> ShardOutcome:
    """Return the outcome of a shard that failed, with the reason in a sentence that names the shard."""
    where = str(task.shard)
    sentence = str(error)
    if isinstance(error, MemoryError):
        sentence = "needs more memory than is available"
    elif isinstance(error, OSError) and error.strerror:
        sentence = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    paths = (where, str(task.shard.paths[0]), str(task.target))
    return ShardOutcome(
        where, None, "failed", error=sentence if sentence.startswith(paths) else f"{where}: {sentence}"
    )


def _convert(task: ShardTask) -> tuple[int, int, int, tuple[str, ...]]:
    at_once = fewer_if_larger(_ROWS_AT_ONCE, math.prod(task.rows.image_shape))
    reader = open_shard(task.shard, task.files, at_once)
    convert = ArrowRows(_rows_for(task, reader.schema))
    schema = convert.schema(reader.schema)
    compresses = isinstance(task.rows, Compress)
    column, suffix = ("payload", FMAE_SUFFIX) if compresses else ("image", ".png")
    rows = failed = size = 0
    errors: list[str] = []
    with open_target(task.kind, task.target, schema, task.job, suffix, column) as write:
        for batch in reader.batches():
            table = _with_read_errors(convert(batch.table), batch)
            reasons = [reason for reason in table.column("error").to_pylist() if reason]
            if isinstance(task.rows, Compress) and task.kind != "parquet":
                table = _as_files(table, task.rows)
            reasons += write(table)
            rows, failed = rows + len(table), failed + len(reasons)
            size += sum(len(value) for value in table.column(column).to_pylist() if value is not None)
            errors += reasons[: _ERRORS_KEPT - len(errors)]
    return rows, failed, size, tuple(errors)


def _rows_for(task: ShardTask, schema: pa.Schema) -> Compress | Decompress:
    """Return what converts the rows of a shard: payloads in a Parquet file have the quality that the file says.

    Raises InputError if the file does not say the bundle and quality of its payloads, or if the bundle is another.
    """
    if isinstance(task.rows, Compress) or task.shard.kind != "parquet":
        return task.rows
    return task.rows.at_quality(require_quality(schema.metadata, str(task.shard), task.rows.bundle_id))


def _with_read_errors(table: pa.RecordBatch, batch: Batch) -> pa.RecordBatch:
    """Return `table` with the reasons why rows of `batch` could not be read."""
    if not batch.errors:
        return table
    replaced = {
        "status": [
            FAILED if row in batch.errors else each for row, each in enumerate(table["status"].to_pylist())
        ],
        "error": [batch.errors.get(row, each) for row, each in enumerate(table["error"].to_pylist())],
    }
    return with_columns(table, replaced, table.schema)


def _as_files(table: pa.RecordBatch, rows: Compress) -> pa.RecordBatch:
    """Return `table` with payloads as .fmae files, which name their bundle and quality and detect damage."""
    pairs = zip(table["payload"].to_pylist(), table["status"].to_pylist(), strict=True)
    made = rows.format
    contents = [pack_one(each, made.quality, made.bundle_id) if status == DONE else None for each, status in pairs]
    return with_columns(table, {"payload": contents}, table.schema)
