"""`fmae-edge decompress`."""

from typing import Annotated

import typer

from fmae_edge.commands import options


def decompress(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help=".npy and .fmae files, packets (.fmpk), folders (with -r), or - for stdin."
        ),
    ],
    output: options.Output = None,
    precision: options.PrecisionOption = None,
    providers: options.Providers = None,
    bundle: options.BundleOption = None,
    recursive: options.Recursive = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    dry_run: options.DryRun = False,
    jobs: options.Jobs = 1,
    keep_going: options.KeepGoing = False,
    json: options.Json = False,
    index: Annotated[
        int | None,
        options.integer_option(
            "--index", "K", 0, help="Decompress only image K of a file with several. The first one is 0."
        ),
    ] = None,
) -> None:
    """Decompress .npy and .fmae files, and packets, to images.

    img.fmae and img.npy become img.png, or img.decoded.png if img.png exists. A file with several images becomes
    one file per image, with the names that it contains, or numbered: all.0.png, all.1.png and so on. The suffix of
    the output chooses the format: .png, .webp (lossless), or .npy (an array of uint8 images).

    The packets of one set may be in any order, and some may be missing. Their images are numbered in the order in
    which they were compressed: image-0000.png, image-0001.png and so on. The last line says which are missing.

    Example: fmae-edge decompress img.fmae -o decoded.png
    Example: fmae-edge decompress -r latents -o 'decoded/{path}.webp'
    Example: fmae-edge decompress packets/*.fmpk -o images/
    """
    arguments = locals()
    from fmae_edge.bulk.decompress import decompress_files
    from fmae_edge.commands.print_outcomes import convert_and_print

    convert_and_print(decompress_files, arguments.pop("files"), **arguments)
