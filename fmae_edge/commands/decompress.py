"""`fmae-edge decompress`."""

from typing import Annotated

import typer

from fmae_edge.commands.options import (
    BundleOption,
    DryRun,
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


def decompress(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help=".npy and .fmae files, folders (with -r), or - for stdin."),
    ],
    output: Output = None,
    precision: PrecisionOption = "int8",
    bundle: BundleOption = None,
    recursive: Recursive = False,
    force: Force = False,
    skip_existing: SkipExisting = False,
    dry_run: DryRun = False,
    jobs: Jobs = 1,
    keep_going: KeepGoing = False,
    json: Json = False,
    index: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            parser=integer("--index", 0),
            help="Decompress only image K of a file with several. The first one is 0.",
        ),
    ] = None,
) -> None:
    """Decompress .npy and .fmae files to images.

    img.fmae and img.npy become img.png, or img.decoded.png if img.png exists. A file with several images gives
    one file per image: all.0.png, all.1.png and so on, or the names stored in it. The suffix of the output
    chooses the format: .png, .webp (lossless), or .npy (an array of uint8 images).

    Example: fmae-edge decompress img.fmae -o decoded.png
    Example: fmae-edge decompress -r latents -o 'decoded/{path}.webp'
    """
    from fmae_edge.bulk.decompress import decompress_files
    from fmae_edge.commands.print_outcomes import convert_and_print

    convert_and_print(
        decompress_files,
        files,
        output,
        index=index,
        precision=precision,
        bundle=bundle,
        recursive=recursive,
        force=force,
        skip_existing=skip_existing,
        dry_run=dry_run,
        jobs=jobs,
        keep_going=keep_going,
        json=json,
    )
