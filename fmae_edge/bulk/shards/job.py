"""A job over the shards of a folder: what is finished, what is left to do, and the engine that does it."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from fmae_edge.bulk.rows import Compress, Decompress
from fmae_edge.bulk.shards.convert import ShardOutcome, ShardTask
from fmae_edge.bulk.shards.find import SUFFIX_OF, Kind, Shard, find_shards
from fmae_edge.bulk.shards.readers import RowFiles
from fmae_edge.bulk.shards.writers import JOB_FILE, is_temporary, job_of, remove_left_over_folders
from fmae_edge.data.image_conversion import Fit
from fmae_edge.data.image_limits import SUFFIXES, max_image_bytes
from fmae_edge.runtime.arguments import as_integer, require_choice
from fmae_edge.runtime.atomic_write import remove_left_over
from fmae_edge.runtime.engine.graphs import Precision
from fmae_edge.runtime.engine.providers import ProvidersLike
from fmae_edge.runtime.errors import ArgumentError, InputError, OutputError
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX

Engine = Literal["local", "ray", "spark"]
# Run tasks in a number of workers, and yield their outcomes in the order in which they end
RunTasks = Callable[[Sequence[ShardTask], int | None], Iterator[ShardOutcome]]
_MAX_FMAE_BYTES = 1 << 24  # of one image
_MOST_WORKERS = 4096


@dataclass(frozen=True)
class ShardJob:
    """A job. Iterate over it to run it: it yields the outcome of each shard, those that are finished first.

    `shards` is their number, `tasks` those that are left to do, and `finished` the others.
    """

    tasks: Sequence[ShardTask]
    finished: Sequence[ShardOutcome]
    engine: Engine
    workers: int | None

    @property
    def shards(self) -> int:
        """The number of shards of the input."""
        return len(self.tasks) + len(self.finished)

    def __iter__(self) -> Iterator[ShardOutcome]:
        yield from self.finished
        if not self.tasks:
            return
        run: RunTasks = import_module(f"fmae_edge.bulk.{self.engine}").run_tasks
        try:
            yield from run(self.tasks, self.workers)
        finally:
            _remove_left_over(self.tasks)


def compress_shards(
    source: str | Path,
    output: str | Path,
    *,
    engine: Engine = "local",
    workers: int | None = None,
    to: Kind = "parquet",
    column: str | None = None,
    quality: int | None = None,
    effort: int = 0,
    psnr: bool = False,
    fit: Fit | None = None,
    precision: Precision | None = None,
    providers: ProvidersLike = None,
    bundle: str | Path | None = None,
    force: bool = False,
) -> ShardJob:
    """Compress the images of all shards in a folder; iterate over the result to do so.

    `source` has Parquet files whose `column`, by default `image`, has images; tar files of WebDataset; or image
    files. `output` gets one result per shard: a Parquet file of payloads, or with `to` "webdataset" or "files" a
    tar file or a folder of .fmae files. Shards that are finished are skipped, without `force`. `workers` is how
    many shards are converted at a time, by default one per CPU of the machine or cluster. Other arguments are
    those of `Compress`.

    Raises ArgumentError if an argument is invalid, InputError if there are no shards, BundleError as `Codec` does,
    and OutputError if the output has shards of a job with other options.
    """
    column = column or "image"
    of_codec: dict[str, Any] = {"effort": effort, "precision": precision, "providers": providers}
    rows = Compress(bundle, column=column, quality=quality, psnr=psnr, fit=fit, **of_codec)
    height, width = rows.image_shape[:2]
    files = RowFiles(column, SUFFIXES, max_image_bytes((height, width), fit))
    settings = {"operation": "compress", "bundle": rows.format.bundle_id, "quality": rows.format.quality}
    settings |= {"effort": effort, "psnr": psnr, "fit": fit, "precision": rows.precision}
    return _plan(Path(source), Path(output), rows, files, to, engine, workers, force, settings)


def decompress_shards(
    source: str | Path,
    output: str | Path,
    *,
    engine: Engine = "local",
    workers: int | None = None,
    to: Kind = "parquet",
    column: str | None = None,
    precision: Precision | None = None,
    providers: ProvidersLike = None,
    bundle: str | Path | None = None,
    force: bool = False,
) -> ShardJob:
    """Decompress all shards in a folder to PNG files; iterate over the result to do so.

    `source` has Parquet files whose `column`, by default `payload`, has payloads as `compress_shards` writes them,
    or tar files or single files with the suffix .fmae. Other arguments and errors are those of `compress_shards`.
    A shard that was made with another bundle fails.
    """
    column = column or "payload"
    rows = Decompress(bundle, column=column, png=True, precision=precision, providers=providers)
    files = RowFiles(column, (FMAE_SUFFIX,), _MAX_FMAE_BYTES)
    settings = {"operation": "decompress", "bundle": rows.bundle_id, "precision": rows.precision}
    return _plan(Path(source), Path(output), rows, files, to, engine, workers, force, settings)


def _plan(
    source: Path,
    output: Path,
    rows: Compress | Decompress,
    files: RowFiles,
    to: Kind,
    engine: Engine,
    workers: int | None,
    force: bool,
    settings: dict[str, Any],
) -> ShardJob:
    require_choice("to", to, get_args(Kind))
    require_choice("engine", engine, get_args(Engine))
    if workers is not None and not 1 <= as_integer("workers", workers) <= _MOST_WORKERS:
        raise ArgumentError("workers", f"is {workers}; expected an integer from 1 to {_MOST_WORKERS}")
    if os.path.lexists(output) and not output.is_dir():
        raise OutputError(f"{output}: is not a folder; expected one for the shards")
    inside, outside = output.resolve(), source.resolve()
    if inside == outside or outside in inside.parents or inside in outside.parents:
        raise ArgumentError(
            "output", f"is {output}; expected a folder neither in the input {source} nor around it"
        )
    shards = find_shards(source, files.suffixes)
    tasks, finished = [], []
    targets: dict[Path, Shard] = {}
    for shard in shards:
        target = output / f"{shard.name}{SUFFIX_OF[to]}"
        settings_of_shard = {**settings, "column": files.column, "source": shard.identity}
        task = ShardTask(shard, target, to, rows, files, json.dumps(settings_of_shard, sort_keys=True))
        if target in targets:
            raise InputError(f"{shard}: its result would have the same name as that of {targets[target]}")
        targets[target] = shard
        if not force and target.exists() and _is_finished(task):
            finished.append(ShardOutcome(str(shard), str(target), "skipped"))
        else:
            tasks.append(task)
    _refuse_others(output, to, targets)
    return ShardJob(tasks, finished, engine, workers)


def _is_finished(task: ShardTask) -> bool:
    """Return whether an existing result was made of the same shard.

    Raises OutputError if it was made with other options, or by something else.
    """
    before = job_of(task.kind, task.target)
    if before is None:
        raise OutputError(
            f"{task.target}: is not a result of such a job; use another folder, or --force to replace it"
        )
    now = json.loads(task.job)
    different = [name for name, value in now.items() if before.get(name) != value]
    if not different:
        return True
    if different == ["source"]:  # the input has changed since
        return False
    name = different[0]
    raise OutputError(
        f"{task.target}: was made with {name} {before.get(name)!r}, not {now[name]!r}; use another folder, or "
        "--force to replace it"
    )


def _refuse_others(output: Path, to: Kind, targets: dict[Path, Shard]) -> None:
    """Raise OutputError if the output has results of other inputs: its readers would take them for this one."""
    found = sorted(output.rglob(JOB_FILE if to == "files" else f"*{SUFFIX_OF[to]}")) if output.is_dir() else []
    for path in found:
        result = path.parent if to == "files" else path
        if result not in targets and not is_temporary(result):
            raise OutputError(f"{result}: is not a result of this input; use another folder, or remove it")


def _remove_left_over(tasks: Sequence[ShardTask]) -> None:
    """Remove what killed workers have left in the folders of the results."""
    for folder in {task.target.parent for task in tasks}:
        remove_left_over(folder)
        remove_left_over_folders(folder)
