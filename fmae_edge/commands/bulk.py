"""`fmae-edge bulk compress` and `fmae-edge bulk decompress`: jobs over shards, on one machine or a cluster."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fmae_edge.commands import options
from fmae_edge.commands.console import (
    UsageError,
    as_option,
    json_line,
    print_line,
    progress_bar,
    say,
    say_error,
    shows_bars,
    verbosity,
)
from fmae_edge.runtime.errors import ArgumentError

if TYPE_CHECKING:
    from fmae_edge.bulk.shards.convert import ShardOutcome
    from fmae_edge.bulk.shards.job import ShardJob

Source = Annotated[
    Path,
    typer.Argument(
        metavar="IN", help="Folder of Parquet files, of WebDataset tar files, or of single files.", readable=False
    ),
]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the results, one per shard.")]
EngineOption = Annotated[
    Literal["local", "ray", "spark"],
    typer.Option(
        help="local: processes of this machine. ray, spark: a cluster whose nodes have the same IN and OUT."
    ),
]
Workers = Annotated[
    int | None,
    options.integer_option(
        "--workers",
        "N",
        1,
        4096,
        help="Shards that are converted at the same time. [default: CPUs of this machine]",
    ),
]
To = Annotated[
    Literal["parquet", "webdataset", "files"],
    typer.Option(help="Results: Parquet files, WebDataset tar files, or folders of single files."),
]
Force = Annotated[bool, typer.Option("--force", help="Convert finished shards again, and replace their results.")]


def bulk_app() -> typer.Typer:
    """Return the group of commands."""
    app = typer.Typer(
        help="Compress and decompress millions of images in Parquet files, WebDataset tar files or folders.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (compress, decompress):
        options.add_command(app, command)
    return app


def compress(
    source: Source,
    output: Target,
    engine: EngineOption = "local",
    workers: Workers = None,
    to: To = "parquet",
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of Parquet files with the images. [default: image]")
    ] = None,
    quality: Annotated[
        int | None,
        options.integer_option(
            "--quality", "1-9", 1, 9, help="1 for the fewest bytes, 9 for the best image. [default: 5]"
        ),
    ] = None,
    effort: Annotated[
        int,
        options.integer_option("--effort", "0-9", 0, 9, help="How long to search for fewer bytes and less error."),
    ] = 0,
    psnr: Annotated[
        bool, typer.Option("--psnr", help="Parquet: add a column with the PSNR of each image.")
    ] = False,
    fit: options.Fit = None,
    precision: options.PrecisionOption = None,
    providers: options.Providers = None,
    bundle: options.BundleOption = None,
    force: Force = False,
    json: options.Json = False,
) -> None:
    """Compress the images in Parquet files, WebDataset tar files or folders, one result per shard.

    A Parquet file becomes one of the same name. Its images, encoded or uint8 levels, are replaced by payloads; the
    other columns stay. A row that is invalid gets a status and an error, and the others are compressed. Run the
    same command again to continue a job that was stopped: finished shards are skipped.

    Example: fmae-edge bulk compress thumbnails compressed
    Example: fmae-edge bulk compress shards compressed --engine ray --quality 3 --psnr
    """
    arguments = locals()
    from fmae_edge.bulk.shards.job import compress_shards

    _run(compress_shards, arguments)


def decompress(
    source: Source,
    output: Target,
    engine: EngineOption = "local",
    workers: Workers = None,
    to: To = "parquet",
    column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of Parquet files with the payloads. [default: payload]"),
    ] = None,
    precision: options.PrecisionOption = None,
    providers: options.Providers = None,
    bundle: options.BundleOption = None,
    force: Force = False,
    json: options.Json = False,
) -> None:
    """Decompress the results of bulk compress to PNG files: in a column of Parquet files, or as single files.

    A Parquet file says in its metadata which bundle and quality it was made with. Another bundle is refused.

    Example: fmae-edge bulk decompress compressed images
    Example: fmae-edge bulk decompress compressed images --to files
    """
    arguments = locals()
    from fmae_edge.bulk.shards.job import decompress_shards

    _run(decompress_shards, arguments)


def _run(start: Callable[..., "ShardJob"], arguments: dict[str, Any]) -> None:
    """Run a job and print the outcome of each shard. Exits with 1 if a shard or a row failed."""
    json = arguments.pop("json")
    try:
        job = start(**arguments)
    except ArgumentError as error:
        raise UsageError(f"OUT {error.problem}" if error.argument == "output" else as_option(error)) from error
    lists = verbosity.verbose or not (shows_bars() and sys.stdout.isatty())
    began, counts, exit_code = time.monotonic(), Counter[str](), 0
    try:
        with progress_bar("shards", total=job.shards) as advance:
            for outcome in job:
                counts.update({outcome.status: 1, "rows": outcome.rows})
                counts.update({"failed_rows": outcome.failed_rows, "bytes": outcome.bytes})
                _print(outcome, json, lists)
                finished = counts["done"] + counts["skipped"] + counts["failed"]
                rate = counts["rows"] / (time.monotonic() - began)
                advance(finished, job.shards, details=f"{rate:,.0f} rows/s")
    except KeyboardInterrupt:
        exit_code = 130
        done = counts["done"] + counts["skipped"]
        say_error(f"interrupted after {done} of {job.shards} shards; to continue, run the same command again")
    seconds = time.monotonic() - began
    names = ("done", "skipped", "failed", "rows", "failed_rows", "bytes")
    summary = {"shards": job.shards, **{name: counts[name] for name in names}, "seconds": round(seconds, 3)}
    if json:
        print_line(json_line({"summary": summary}))
    else:
        rows = f"{counts['rows']} rows, {counts['failed_rows']} of them failed, {counts['bytes']} bytes"
        shards = f"{counts['done']} shards done, {counts['skipped']} skipped, {counts['failed']} failed"
        say(f"{shards}; {rows} in {seconds:.1f} s", sys.stderr)
    if exit_code or counts["failed"] or counts["failed_rows"]:
        sys.exit(exit_code or 1)


def _print(outcome: "ShardOutcome", json: bool, lists: bool) -> None:
    if outcome.error is not None:
        say_error(outcome.error)
    for error in outcome.errors:
        say_error(f"{outcome.input}: {error}")
    if json:
        print_line(json_line(asdict(outcome)))
    elif lists and outcome.output is not None:
        note = (
            "finished, skipped" if outcome.status == "skipped" else f"{outcome.rows} rows, {outcome.bytes} bytes"
        )
        say(f"{outcome.input} -> {outcome.output}  ({note})")
