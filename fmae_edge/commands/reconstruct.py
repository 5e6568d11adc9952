"""`fmae-edge reconstruct`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmae_edge.bulk.sources import STREAM, as_path, expand
from fmae_edge.commands.console import json_line, say
from fmae_edge.commands.options import BundleOption, Data, Fit, Force, Json, PrecisionOption, Recursive
from fmae_edge.commands.table import format_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TEST_IMAGES = 5


def reconstruct(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE",
            help="Image files, folders (with -r), or - for stdin. [default: the first five test images]",
            parser=as_path,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="PATH", parser=as_path, help="PNG file to write, or - for stdout."),
    ] = Path("reconstructions.png"),
    precision: PrecisionOption = "int8",
    fit: Fit = None,
    data: Data = None,
    bundle: BundleOption = None,
    recursive: Recursive = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw images above their reconstructions.

    The picture shows the PSNR and SSIM of each image. Latents stay float32, without the quantiser of .fmae files:
    use `compare` to see what .fmae files give.

    Example: fmae-edge reconstruct img.png -o reconstructions.png
    """
    import numpy as np

    from fmae_edge.bulk.gray_images import open_gray_codec
    from fmae_edge.commands.pictures import load_pictures, picture_output
    from fmae_edge.data.image_file import SUFFIXES
    from fmae_edge.measure.figure import draw_reconstructions, to_png
    from fmae_edge.measure.quality import measure_each

    sources, _ = expand(images or [], recursive, SUFFIXES)
    outputs = picture_output(output, force, sources)
    codec = open_gray_codec(bundle, precision)
    if sources:
        loaded = load_pictures(sources, codec, fit)
        if not loaded:
            raise typer.Exit(1)
        originals = np.stack([pixels for _, pixels in loaded])
        names = [str(source) for source, _ in loaded]
    else:
        originals = _first_test_images(data)
        names = [f"test image {index}" for index in range(len(originals))]
    decoded = codec.decode(codec.encode(originals))
    qualities = measure_each(originals, decoded)
    outputs.write(output, to_png(draw_reconstructions(originals, decoded, qualities)))
    if json:
        for name, quality in zip(names, qualities, strict=True):
            finite = None if quality.mse == 0 else quality.psnr_pooled
            line = json_line({"image": name, "psnr": finite, "ssim": quality.ssim, "output": str(output)})
            typer.echo(line, err=output == STREAM)
    else:
        rows = [
            (name, f"{quality.psnr_pooled:.2f} dB", f"{quality.ssim:.4f}")
            for name, quality in zip(names, qualities, strict=True)
        ]
        typer.echo(format_table(("image", "PSNR", "SSIM"), rows), err=output == STREAM)
        if output != STREAM:
            say(f"wrote {output}")
    if len(names) < len(sources):
        raise typer.Exit(1)


def _first_test_images(data: Path | None) -> "NDArray[np.uint8]":
    from fmae_edge.data.fashion_mnist import load_fashion_mnist

    return load_fashion_mnist(data).test[:_TEST_IMAGES]
