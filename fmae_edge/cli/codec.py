"""`fmae-edge compress` and `fmae-edge decompress`."""

import json as json_format
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fmae_edge.cli.files import STREAM, Outputs, expand, for_each, read
from fmae_edge.runtime.errors import InputError, OutputError

if TYPE_CHECKING:
    from fmae_edge.runtime.manifest import Manifest

LATENT_SUFFIX = ".npy"

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
    from fmae_edge.cli.image_file import SUFFIXES, load_gray
    from fmae_edge.runtime.codec import Codec
    from fmae_edge.runtime.latent_file import dump_latents

    sources = expand(images, recursive, SUFFIXES)
    codec = Codec(bundle, precision=precision)
    size = gray_image_size(codec.manifest)

    if len(sources) > 1 and output is not None and output.suffix == LATENT_SUFFIX and not output.is_dir():
        # One bad image fails all: the rows of the others would move.
        loaded = [load_gray(read(source), str(source), size, fit) for source in sources]
        content = dump_latents(codec.encode([pixels for pixels, _ in loaded], dtype))
        Outputs(output, LATENT_SUFFIX, force, sources, joined=True).write(output, content)
        for row, (source, (_, notes)) in enumerate(zip(sources, loaded, strict=True)):
            _say(str(source), f"{output}[{row}]", notes, json)
        return

    outputs = Outputs(output, LATENT_SUFFIX, force, sources)

    def compress_one(source: Path) -> None:
        pixels, notes = load_gray(read(source), str(source), size, fit)
        target = outputs.path(source, lambda stem: stem.with_name(stem.name + LATENT_SUFFIX))
        outputs.write(target, dump_latents(codec.encode(pixels, dtype)))
        _say(str(source), str(target), notes, json)

    for_each(sources, compress_one)


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
    from fmae_edge.cli.image_file import png_bytes
    from fmae_edge.runtime.codec import Codec
    from fmae_edge.runtime.latent_file import load_latents

    sources = expand(latents, recursive, (LATENT_SUFFIX,))
    codec = Codec(bundle, precision=precision)
    gray_image_size(codec.manifest)
    outputs = Outputs(output, ".png", force, sources)

    def decompress_one(source: Path) -> None:
        rows = codec.decode(load_latents(read(source), codec.manifest.latent_size, str(source)))
        if rows.ndim == 2:
            target = outputs.path(source, _name_decoded)
            outputs.write(target, png_bytes(rows))
            _say(str(source), str(target), [], json)
            return
        digits = len(str(len(rows) - 1))
        targets = [outputs.path(source, partial(_name_row, row=f"{row:0{digits}d}")) for row in range(len(rows))]
        if len(set(targets)) < len(targets):
            raise OutputError(f"{source}: holds {len(rows)} images, so its output must be an existing folder")
        for target in targets:  # all before the first is written
            outputs.refuse(target)
        for row, (target, pixels) in enumerate(zip(targets, rows, strict=True)):
            outputs.write(target, png_bytes(pixels))
            _say(f"{source}[{row}]", str(target), [], json)

    for_each(sources, decompress_one)


def gray_image_size(manifest: "Manifest") -> tuple[int, int]:
    """Return (height, width) of a bundle's images. Raises InputError if they are not grayscale."""
    if manifest.image_channels != 1:
        raise InputError(
            f"bundle {manifest.name} is for images of {manifest.image_channels} channels; "
            "the command line handles grayscale, use fmae_edge.Codec"
        )
    return manifest.image_height, manifest.image_width


def _name_decoded(stem: Path) -> Path:
    """Name a decoded image so that the original it may have come from stays."""
    plain = stem.with_name(f"{stem.name}.png")
    return stem.with_name(f"{stem.name}.decoded.png") if plain.exists() else plain


def _name_row(stem: Path, row: str) -> Path:
    return stem.with_name(f"{stem.name}.{row}.png")


def _say(source: str, target: str, notes: list[str], json: bool) -> None:
    if json:
        line = json_format.dumps({"input": source, "output": target, "notes": notes})
    else:
        line = f"{source} -> {target}" + (f"  ({'; '.join(notes)})" if notes else "")
    typer.echo(line, err=target == str(STREAM))
