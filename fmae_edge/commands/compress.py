"""`fmae-edge compress`."""

from typing import Annotated, Literal

import typer

from fmae_edge.commands.options import (
    BundleOption,
    DryRun,
    Fit,
    Force,
    Jobs,
    Json,
    KeepGoing,
    Output,
    PrecisionOption,
    Recursive,
    SkipExisting,
    integer,
)


def compress(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE", help="Image files, folders (with -r), or - for stdin.")
    ],
    output: Output = None,
    quality: Annotated[
        int | None,
        typer.Option(
            metavar="1-9",
            parser=integer("--quality", 1, 9),
            help=".fmae: 1 for the fewest bytes, 9 for the best image. [default: 5]",
        ),
    ] = None,
    effort: Annotated[
        int | None,
        typer.Option(
            metavar="0-9",
            parser=integer("--effort", 0, 9),
            help=".fmae: rounds of search for fewer bytes, each of some milliseconds per image. [default: 0]",
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=integer("--max-bytes", 1),
            help=".fmae: the best PSNR in at most N bytes per file.",
        ),
    ] = None,
    names: Annotated[bool, typer.Option("--names", help=".fmae of several images: store their names.")] = False,
    dtype: Annotated[
        Literal["float32", "float16", "int8"] | None,
        typer.Option(
            help=".npy: data type of the latent. int8 stores whole quantiser steps of the bundle. "
            "[default: float32]"
        ),
    ] = None,
    precision: PrecisionOption = "int8",
    fit: Fit = None,
    bundle: BundleOption = None,
    recursive: Recursive = False,
    force: Force = False,
    skip_existing: SkipExisting = False,
    dry_run: DryRun = False,
    jobs: Jobs = 1,
    keep_going: KeepGoing = False,
    json: Json = False,
) -> None:
    """Compress images to latents or to files of about 30 bytes.

    By default img.png becomes img.npy, the latent as a numpy array. An output that ends in .fmae, and each of
    --quality, --effort, --max-bytes and --names, makes the smallest file instead: img.fmae. Several images go
    into one file if -o names a .npy or .fmae file.

    Example: fmae-edge compress img.png -o img.fmae
    Example: fmae-edge compress -r photos -o 'latents/{path}.fmae' --skip-existing
    Example: cat img.png | fmae-edge compress - --max-bytes 30 > img.fmae
    """
    from fmae_edge.bulk.compress import compress_files
    from fmae_edge.commands.print_outcomes import convert_and_print

    convert_and_print(
        compress_files,
        images,
        output,
        quality=quality,
        effort=effort,
        max_bytes=max_bytes,
        names=names,
        dtype=dtype,
        precision=precision,
        fit=fit,
        bundle=bundle,
        recursive=recursive,
        force=force,
        skip_existing=skip_existing,
        dry_run=dry_run,
        jobs=jobs,
        keep_going=keep_going,
        json=json,
    )
