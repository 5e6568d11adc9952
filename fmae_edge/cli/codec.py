"""`fmae-edge compress` and `fmae-edge decompress`, as Typer sees them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fmae_edge.cli.destination import Destination

Output = Annotated[
    Destination | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        parser=Destination.parse,
        help="File, - for stdout, folder, or pattern with {stem}, {path} (as below a folder given with -r) or "
        "{folder}. [default: beside the input]",
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Take the files in folders too.")]
BundleOption = Annotated[
    Path | None, typer.Option(help="Folder of the bundle. [default: the one in the wheel]", readable=False)
]
BundleArgument = Annotated[
    Path | None,
    typer.Argument(metavar="BUNDLE", help="Folder of the bundle. [default: the one in the wheel]", readable=False),
]
PrecisionOption = Annotated[Literal["int8", "fp32"], typer.Option(help="Which graphs to run.")]
Fit = Annotated[
    Literal["resize"] | None, typer.Option(help="What to do with an image of another size. [default: refuse it]")
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the Fashion-MNIST files. [default: Debian's package of them, else a download]",
        readable=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="One file of several inputs: write it without those that fail.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave outputs that exist, and go on with the rest.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and convert, but write nothing: say what would be.")]
Jobs = Annotated[
    int,
    typer.Option("-j", "--jobs", min=1, max=1024, help="Threads that read and write; more for files far away."),
]


def compress(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE", help="Image files, folders, or -.", readable=False)
    ],
    output: Output = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=9, help=".fmae: 1 (fewest bytes) to 9. [default: 5]")
    ] = None,
    effort: Annotated[
        int | None, typer.Option(min=0, max=9, help=".fmae: rounds of search for fewer bytes. [default: 0]")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=".fmae: the best PSNR in at most N bytes per file.")
    ] = None,
    names: Annotated[bool, typer.Option("--names", help=".fmae of several images: keep their names.")] = False,
    dtype: Annotated[
        Literal["float32", "float16", "int8"] | None,
        typer.Option(
            help=".npy: what the latent is stored as; int8: symbols in the bundle's quantiser steps. "
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
    """Compress images to latents or to files of some 30 bytes.

    img.png -> img.npy, the latent as an array; or img.fmae, the smallest file, if -o ends so or one of --quality,
    --effort, --max-bytes and --names is given. Several images make one file of all where -o is a .npy or .fmae.
    A round of --effort takes milliseconds an image.

    Example: fmae-edge compress img.png -o img.fmae
    Example: fmae-edge compress -r photos -o 'latents/{path}.fmae' --skip-existing
    Example: cat img.png | fmae-edge compress - --max-bytes 30 > img.fmae
    """
    from fmae_edge.cli.compress import FmaeOptions, compress_files
    from fmae_edge.cli.options import FileOptions

    if quality is not None and max_bytes is not None:
        raise typer.BadParameter("--max-bytes finds the quality; give it or --quality, not both")
    fmae = FmaeOptions(quality, effort, max_bytes, names)
    options = FileOptions(
        output, precision, bundle, recursive, force, skip_existing, dry_run, jobs, json, keep_going
    )
    compress_files(images, options, dtype, fit, fmae)


def decompress(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help=".npy and .fmae files, folders, or -.", readable=False)
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
        int | None, typer.Option(min=0, metavar="K", help="Of a file of several images, only this, from 0.")
    ] = None,
) -> None:
    """Decompress .npy and .fmae files to images.

    img.fmae or img.npy -> img.png, or img.decoded.png beside an img.png.
    A file of several images gives several: all.fmae -> all.0.png, all.1.png, ..., or their names if it has them.
    An output that ends in .webp is lossless WebP, one in .npy an array of the uint8 images.

    Example: fmae-edge decompress img.fmae -o decoded.png
    Example: fmae-edge decompress -r latents -o 'decoded/{path}.webp'
    """
    from fmae_edge.cli.decompress import decompress_files
    from fmae_edge.cli.options import FileOptions

    options = FileOptions(
        output, precision, bundle, recursive, force, skip_existing, dry_run, jobs, json, keep_going
    )
    decompress_files(files, options, index)
