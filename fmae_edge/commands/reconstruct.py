"""`fmae-edge reconstruct`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fmae_edge.bulk.sources import STREAM, expand
from fmae_edge.commands import options
from fmae_edge.commands.compare import claim_picture, load_images, print_qualities
from fmae_edge.commands.console import argument_errors_as_usage

_TEST_IMAGES = 5


def reconstruct(
    images: Annotated[list[Path] | None, options.image_argument(" [default: the first five test images]")] = None,
    output: Annotated[
        Path, options.file_option("-o", "--output", help="PNG file to write, or - for stdout.")
    ] = Path("reconstructions.png"),
    precision: options.PrecisionOption = None,
    providers: options.Providers = None,
    fit: options.Fit = None,
    data: options.Data = None,
    bundle: options.BundleOption = None,
    recursive: options.Recursive = False,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Draw images above their reconstructions.

    The picture shows the PSNR and SSIM of each image. Latents stay float32, without the quantiser of .fmae files.
    To see images that were decoded from .fmae files, use `compare`.

    Example: fmae-edge reconstruct img.png -o reconstructions.png
    """
    from fmae_edge.bulk.image_input import open_codec
    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.data.image_limits import SUFFIXES
    from fmae_edge.measure.figure import draw_reconstructions, to_png
    from fmae_edge.measure.quality import measure_each
    from fmae_edge.runtime.errors import InputError

    sources, _ = expand(images or [], recursive, SUFFIXES)
    outputs = claim_picture(output, force, sources)
    with argument_errors_as_usage():
        codec = open_codec(bundle, precision, providers)
    if sources:
        names, originals = load_images(sources, codec, fit)
        if not names:
            raise typer.Exit(1)
    else:
        originals = load_fashion_mnist(data).test[:_TEST_IMAGES]
        if originals.shape[1:] != codec.manifest.image_shape:
            raise InputError(
                f"the test images have shape {originals.shape[1:]}, but bundle {codec.manifest.name} takes "
                f"{codec.manifest.image_shape}; name images of your own"
            )
        names = [f"test image {index}" for index in range(len(originals))]
    decoded = codec.decode(codec.encode(originals))
    qualities = measure_each(originals, decoded)
    outputs.write(output, to_png(draw_reconstructions(originals, decoded, qualities)))
    print_qualities(names, qualities, output, json, sys.stderr if output == STREAM else sys.stdout)
    if len(names) < len(sources):
        raise typer.Exit(1)
