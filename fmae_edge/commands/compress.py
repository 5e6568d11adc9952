"""`fmae-edge compress`."""

from typing import Annotated, Literal

import typer

from fmae_edge.commands import options


def compress(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE", help="Image files, folders (with -r), or - for stdin.")
    ],
    output: options.Output = None,
    quality: Annotated[
        int | None,
        options.integer_option(
            "--quality", "1-9", 1, 9, help=".fmae: 1 for the fewest bytes, 9 for the best image. [default: 5]"
        ),
    ] = None,
    effort: Annotated[
        int | None,
        options.integer_option(
            "--effort",
            "0-9",
            0,
            9,
            help=".fmae: how long to search for fewer bytes and less error, from about 1 ms per image at 1 to "
            "about 15 ms at 9 with the default bundle. [default: 0, no search]",
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        options.integer_option("--max-bytes", "N", 1, help=".fmae: the best PSNR in at most N bytes per file."),
    ] = None,
    min_psnr: Annotated[
        float | None,
        options.decibel_option(
            "--min-psnr",
            help=".fmae: the lowest quality that gives each image at least this PSNR; images that no quality "
            "reproduces are stored exactly.",
        ),
    ] = None,
    packet: Annotated[
        int | None,
        options.integer_option(
            "--packet",
            "N",
            16,
            1024,
            help="Write packets of at most N bytes to the folder of -o, with as many images in each as fit. Each "
            "one can be decompressed alone. --max-bytes then limits each image.",
        ),
    ] = None,
    fill: Annotated[
        bool,
        typer.Option(
            "--fill", help="--packet: where a packet has room, raise its quality as far as the same images fit."
        ),
    ] = False,
    names: Annotated[bool, typer.Option("--names", help=".fmae of several images: store their names.")] = False,
    dtype: Annotated[
        Literal["float32", "float16", "int8"] | None,
        typer.Option(
            help=".npy: data type of the latent. int8 stores multiples of the bundle's quantiser steps. "
            "[default: float32]"
        ),
    ] = None,
    precision: options.PrecisionOption = None,
    providers: options.Providers = None,
    fit: options.Fit = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Decompress each result, and print the PSNR of its image.")
    ] = False,
    bundle: options.BundleOption = None,
    recursive: options.Recursive = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    dry_run: options.DryRun = False,
    jobs: options.Jobs = 1,
    keep_going: options.KeepGoing = False,
    json: options.Json = False,
) -> None:
    """Compress images to latents or to files of about 30 bytes.

    By default img.png becomes img.npy, the latent as a numpy array. With an output that ends in .fmae, or with
    --quality, --effort, --max-bytes, --min-psnr or --names, it becomes img.fmae, the smallest file. Several images
    go into one file if -o is the name of a .npy or .fmae file.

    Example: fmae-edge compress img.png -o img.fmae
    Example: fmae-edge compress -r photos -o 'latents/{path}.fmae' --skip-existing
    Example: fmae-edge compress photos/*.png --packet 51 --max-bytes 30 -o packets/
    Example: fmae-edge compress img.png --min-psnr 30 --verify
    Example: cat img.png | fmae-edge compress - --max-bytes 30 > img.fmae
    """
    arguments = locals()
    from fmae_edge.bulk.compress import compress_files
    from fmae_edge.commands.print_outcomes import convert_and_print

    convert_and_print(compress_files, arguments.pop("images"), **arguments)
