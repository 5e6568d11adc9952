"""Declare `fmae-edge compress` and `fmae-edge decompress` for Typer, and the options that commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fmae_edge.bulk.destination import Destination
from fmae_edge.bulk.sources import as_path
from fmae_edge.bulk.usage import UsageError
from fmae_edge.commands.integers import integer

Output = Annotated[
    Destination | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        parser=Destination.parse,
        help="Where to write: a file, a folder, - for stdout, or a pattern with {stem} (the name of the input), "
        "{path} (the same with its folders below the one given with -r) or {folder} (the folder of the input). "
        "[default: next to the input]",
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Include the files in folders.")]
_BUNDLE = "Bundle folder. [default: the built-in bundle]"
BundleOption = Annotated[Path | None, typer.Option(metavar="FOLDER", help=_BUNDLE, readable=False)]
BundleArgument = Annotated[Path | None, typer.Argument(metavar="BUNDLE", help=_BUNDLE, readable=False)]
PrecisionOption = Annotated[Literal["int8", "fp32"], typer.Option(help="Graphs of the bundle to run.")]
Fit = Annotated[
    Literal["resize"] | None,
    typer.Option(help="Resize images that do not have the size of the bundle. [default: refuse them]"),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder with the Fashion-MNIST files. [default: the Debian package, or a download]",
        readable=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing outputs.")]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="One file of several inputs: write it without the inputs that fail.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one object per line.")]
SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Skip inputs whose output exists.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read and convert the inputs and list the outputs, but write nothing.")
]
Jobs = Annotated[
    int,
    typer.Option(
        "-j",
        "--jobs",
        metavar="N",
        parser=integer("--jobs", 1, 1024),
        help="Threads that read and write files. More help with slow or remote disks.",
    ),
]


def compress(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE", help="Image files, folders (with -r), or - for stdin.", parser=as_path),
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
    from fmae_edge.bulk.compress import FmaeOptions, compress_files
    from fmae_edge.bulk.options import FileOptions

    if quality is not None and max_bytes is not None:
        raise UsageError("--max-bytes chooses the quality; give it or --quality, not both")
    fmae = FmaeOptions(quality, effort, max_bytes, names)
    options = FileOptions(
        output, precision, bundle, recursive, force, skip_existing, dry_run, jobs, json, keep_going
    )
    compress_files(images, options, dtype, fit, fmae)


def decompress(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help=".npy and .fmae files, folders (with -r), or - for stdin.", parser=as_path
        ),
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
    from fmae_edge.bulk.options import FileOptions

    options = FileOptions(
        output, precision, bundle, recursive, force, skip_existing, dry_run, jobs, json, keep_going
    )
    decompress_files(files, options, index)
