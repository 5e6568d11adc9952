"""Compress and decompress on Spark: data frames, or the shards of a job as tasks of a cluster.

A task whose worker dies runs again, as often as spark.task.maxFailures says. Spark sets OMP_NUM_THREADS to
spark.task.cpus for its Python workers. The workers need fmae-edge and pyarrow, and the bundle by the same path or
name; spark.python.worker.reuse, which is on by default, keeps their graphs open between tasks.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from fmae_edge.bulk.arrow_rows import ArrowRows
from fmae_edge.bulk.payload_format import KEY, require_quality
from fmae_edge.bulk.rows import Compress, Decompress
from fmae_edge.bulk.shards.convert import ShardOutcome, ShardTask, convert_shard
from fmae_edge.data.image_conversion import Fit
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.engine.graphs import Precision
from fmae_edge.runtime.errors import FmaeError
from fmae_edge.runtime.extras import needs_extra

with needs_extra("spark"):
    from py4j.protocol import Py4JError
    from pyspark import SparkConf
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import BinaryType, DoubleType, LongType, StringType, StructField, StructType

_ATTEMPTS = 4  # of a task on this machine, as spark.task.maxFailures is on a cluster
_TYPES = {pa.binary(): BinaryType(), pa.int64(): LongType(), pa.float64(): DoubleType(), pa.string(): StringType()}


def compress_dataset(
    df: DataFrame,
    bundle: str | Path | None = None,
    *,
    column: str = "image",
    quality: int | None = None,
    effort: int = 0,
    psnr: bool = False,
    fit: Fit | None = None,
    precision: Precision = "int8",
) -> DataFrame:
    """Return a data frame in which the images of `column` are replaced by payloads; it is lazy, as all are.

    The images are encoded or levels. The columns that are added are those of `Compress`, and so are the options.
    The metadata of the column `payload` says which bundle and quality it has; Spark keeps that in Parquet. The
    number of rows in a batch is spark.sql.execution.arrow.maxRecordsPerBatch.

    Raises as `Compress` does, and InputError if there is no `column`.
    """
    rows = Compress(bundle, column=column, quality=quality, effort=effort, psnr=psnr, fit=fit, precision=precision)
    return _mapped(df, rows).withMetadata("payload", {KEY.decode(): rows.format.to_json()})


def decompress_dataset(
    df: DataFrame,
    bundle: str | Path | None = None,
    *,
    column: str = "payload",
    quality: int | None = None,
    precision: Precision = "int8",
) -> DataFrame:
    """Return a data frame in which the payloads of `column` are replaced by PNG files in a column `image`.

    `quality` is only needed if the metadata of the column does not say it.

    Raises InputError if the payloads were made with another bundle, or their quality is unknown.
    """
    rows = Decompress(bundle, column=column, png=True, precision=precision)
    said = df.schema[column].metadata.get(KEY.decode()) if column in df.columns else None
    metadata = {} if said is None else {KEY: str(said).encode()}
    return _mapped(df, rows.at_quality(require_quality(metadata, "the data frame", rows.bundle_id, quality)))


def _mapped(df: DataFrame, rows: Compress | Decompress) -> DataFrame:
    convert = ArrowRows(rows)
    # Arrow decides which columns there are, and Spark keeps the types of those that were there
    result = convert.schema(pa.schema([(name, pa.null()) for name in df.columns]))
    given = {field.name: field for field in df.schema}
    fields = [
        StructField(field.name, _TYPES[field.type]) if field.type in _TYPES else given[field.name]
        for field in result
    ]

    def convert_all(tables: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return map(convert, tables)

    return df.mapInArrow(convert_all, StructType(fields))


def run_tasks(tasks: Sequence[ShardTask], workers: int | None) -> Iterator[ShardOutcome]:
    """Yield the outcome of each task, when all have ended; `workers` run at the same time on this machine.

    The session is the one that spark-submit or the application made, which then decides how many run; else a new
    one on this machine, with one worker per CPU by default.
    """
    try:
        yield from _session(workers).sparkContext.parallelize(tasks, len(tasks)).map(convert_shard).collect()
    except (PySparkException, Py4JError) as error:
        reason = next((line for line in str(error).splitlines() if line), type(error).__name__)
        raise FmaeError(f"Spark gave up: {reason}; run the same job again to continue") from error


def _session(workers: int | None) -> SparkSession:
    session = SparkSession.getActiveSession()
    if session is not None or SparkConf().contains("spark.master"):  # spark-submit has set it
        return session or SparkSession.builder.getOrCreate()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # Spark's own default is any python3
    master = f"local[{workers or available_cpus()},{_ATTEMPTS}]"
    session = SparkSession.builder.master(master).appName("fmae-edge").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
