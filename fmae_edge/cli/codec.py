"""`fmae-edge compress` and `fmae-edge decompress`, as Typer sees them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="File, folder, or - for stdout. [default: beside the input]", readable=False
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Take the files in folders too.")]
BundleOption = Annotated[
    Path | None, typer.Option(help="Folder of the bundle. [default: the one in the wheel]", readable=False)
]
BundleArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[BUNDLE]", help="Folder of the bundle. [default: the one in the wheel]", readable=False
    ),
]
PrecisionOption = Annotated[Literal["int8", "fp32"], typer.Option(help="Which graphs to run.")]
Fit = Annotated[Literal["resize"] | None, typer.Option(help="What to do with an image of another size.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a result, for programs.")]


def compress(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files, folders, or -.", readable=False)
    ],
    output: Output = None,
    dtype: Annotated[
        Literal["float32", "float16", "int8"],
        typer.Option(help="What the latent is stored as; int8: symbols in the bundle's quantiser steps."),
    ] = "float32",
    precision: PrecisionOption = "int8",
    fit: Fit = None,
    bundle: BundleOption = None,
    recursive: Recursive = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compress images to latents: img.png -> img.npy.

    Several images and an output that ends in .npy make one file with a row an image.
    """
    from fmae_edge.cli.convert import compress_files

    compress_files(images, output, dtype, precision, fit, bundle, recursive, force, json)


def decompress(
    latents: Annotated[
        list[Path], typer.Argument(metavar="LATENT...", help=".npy files, folders, or -.", readable=False)
    ],
    output: Output = None,
    precision: PrecisionOption = "int8",
    bundle: BundleOption = None,
    recursive: Recursive = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Decompress latents to images: latent.npy -> latent.png, or latent.decoded.png beside a latent.png.

    A file with a row an image gives several: all.npy -> all.0.png, all.1.png, ...
    """
    from fmae_edge.cli.convert import decompress_files

    decompress_files(latents, output, precision, bundle, recursive, force, json)
