"""Compress and decompress on Ray: data sets of Ray Data, or the shards of a job as tasks of a cluster.

A worker that dies is replaced, and its rows are converted again. Ray sets OMP_NUM_THREADS to the CPUs of an actor
or a task, so a worker uses as many threads as Ray allots it. The workers need fmae-edge, and the bundle by the
same path or name.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fmae_edge.bulk.arrow_rows import ArrowRows
from fmae_edge.bulk.payload_format import require_quality
from fmae_edge.bulk.rows import Compress, Decompress
from fmae_edge.bulk.shards.convert import ShardOutcome, ShardTask, convert_shard, failed_shard
from fmae_edge.data.image_conversion import Fit
from fmae_edge.runtime.arguments import as_integer
from fmae_edge.runtime.engine.graphs import Precision
from fmae_edge.runtime.errors import ArgumentError
from fmae_edge.runtime.extras import needs_extra

with needs_extra("ray"):
    import ray

_RETRIES = 3  # of a task whose worker died: a shard may be what kills it
_BATCH_ROWS = 1024


def compress_dataset(
    ds: "ray.data.Dataset",
    bundle: str | Path | None = None,
    *,
    column: str = "image",
    quality: int | None = None,
    effort: int = 0,
    psnr: bool = False,
    fit: Fit | None = None,
    precision: Precision = "int8",
    batch_size: int = _BATCH_ROWS,
    workers: int | None = None,
    cpus: float = 1,
) -> "ray.data.Dataset":
    """Return a data set in which the images of `column` are replaced by payloads; it is computed when it is read.

    The columns that are added are those of `Compress`, and so are the options. Its schema says which bundle and
    quality the payloads have; `write_parquet` keeps that. `workers` is the largest number of actors, by default as
    many as the cluster has room for; each gets `cpus` CPUs and batches of `batch_size` rows.

    Raises as `Compress` does. A batch without `column` ends the computation with its error.
    """
    rows = Compress(bundle, column=column, quality=quality, effort=effort, psnr=psnr, fit=fit, precision=precision)
    return _mapped(ds, rows, batch_size, workers, cpus)


def decompress_dataset(
    ds: "ray.data.Dataset",
    bundle: str | Path | None = None,
    *,
    column: str = "payload",
    quality: int | None = None,
    precision: Precision = "int8",
    batch_size: int = _BATCH_ROWS,
    workers: int | None = None,
    cpus: float = 1,
) -> "ray.data.Dataset":
    """Return a data set in which the payloads of `column` are replaced by PNG files in a column `image`.

    `quality` is only needed if the schema does not say it. Other arguments are those of `compress_dataset`. Use
    `ds.map_batches(Decompress(quality=...))` for arrays.

    Raises InputError if the payloads were made with another bundle, or their quality is unknown.
    """
    rows = Decompress(bundle, column=column, png=True, precision=precision)
    schema = ds.schema()
    metadata = getattr(schema.base_schema, "metadata", None) if schema is not None else None
    rows = rows.at_quality(require_quality(metadata, "the data set", rows.bundle_id, quality))
    return _mapped(ds, rows, batch_size, workers, cpus)


def _mapped(
    ds: "ray.data.Dataset", rows: Compress | Decompress, batch_size: int, workers: int | None, cpus: float
) -> "ray.data.Dataset":
    if workers is not None and as_integer("workers", workers) < 1:
        raise ArgumentError("workers", f"is {workers}; expected an integer of at least 1")
    if not cpus >= 0:
        raise ArgumentError("cpus", f"is {cpus}; expected a number of at least 0")
    total = ray.cluster_resources().get("CPU", 0)
    if 0 < total <= cpus:
        raise ArgumentError(
            "cpus", f"is {cpus}, but the cluster has {total:g}, and reading needs some; use 0.5 of them"
        )
    # A pool of fixed size could take all CPUs, and then wait forever for the tasks that read
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
    return ds.map_batches(
        ArrowRows,  # a class, so that actors keep its graphs open between batches
        fn_constructor_args=(rows,),
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=pool,
        num_cpus=cpus,
    )


def run_tasks(tasks: Sequence[ShardTask], workers: int | None) -> Iterator[ShardOutcome]:
    """Yield the outcome of each task, in the order in which they end; `workers` run at the same time.

    By default that is the number of CPUs of the cluster: the one that is connected, that of RAY_ADDRESS, or a new
    one on this machine.
    """
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    most = workers or int(ray.cluster_resources().get("CPU", 1))
    convert: Any = ray.remote(num_cpus=1, max_retries=_RETRIES)(convert_shard)
    waiting, running = deque(tasks), dict[Any, ShardTask]()
    try:
        while waiting or running:
            while waiting and len(running) < most:
                task = waiting.popleft()
                running[convert.remote(task)] = task
            (ended, *_), _ = ray.wait(list(running))
            task = running.pop(ended)
            try:
                yield ray.get(ended)
            except ray.exceptions.RayError as error:
                yield failed_shard(task, f"Ray gave up on it: {str(error).splitlines()[0]}")
    finally:
        for left in running:
            ray.cancel(left, force=True)
