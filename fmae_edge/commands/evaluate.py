"""`fmae-edge evaluate`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fmae_edge.commands.console import UsageError, json_line, print_line, progress_bar, say
from fmae_edge.commands.options import BundleArgument, Data, Force, Json, integer_option


def evaluate(
    bundle: BundleArgument = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for evaluation.json, evaluation.md and evaluation.png.",
            readable=False,
        ),
    ] = Path("evaluation"),
    data: Data = None,
    effort: Annotated[
        int,
        integer_option("--effort", "0-9", 0, 9, help="Measure the bundle also with this effort. 9 takes hours."),
    ] = 0,
    images: Annotated[
        int, integer_option("--images", "N", 100, 10000, help="Number of test images, a multiple of 100.")
    ] = 10000,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure bytes and quality of a bundle and of other codecs.

    The other codecs are PNG, JPEG, WebP, AVIF, JPEG XL and PCA transform coding. All codecs get the same test
    images, as single files and with 100 images per file, and the bytes are those of real files. With all images
    this takes an hour and a half, with --effort 9 two hours or more.

    Example: fmae-edge evaluate bundle -o evaluation --images 1000
    """
    if images % 100:
        raise UsageError(f"--images is {images}; expected a multiple of 100")

    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.evaluate.evaluation import evaluate as measure
    from fmae_edge.evaluate.evaluation_files import prepare_results, to_markdown, write_results
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
    from fmae_edge.runtime.codec import Codec

    codec = Codec.from_bundle(read_bundle(bundle or DEFAULT_BUNDLE), threads=1)
    targets = prepare_results(output, force)  # before an hour of measuring
    loaded = load_fashion_mnist(data)
    with progress_bar("measuring") as on_progress:
        done = measure(codec, loaded.train, loaded.test[:images], effort, on_progress)
    write_results(done, targets, force)
    print_line(json_line(done.to_record()) if json else to_markdown(done))
    say(f"wrote {', '.join(map(str, targets))}", sys.stderr)
