"""`fmae-edge evaluate`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fmae_edge.commands.console import UsageError, json_line, say
from fmae_edge.commands.integers import integer
from fmae_edge.commands.options import BundleArgument, Data, Force, Json

RESULTS = ("evaluation.json", "evaluation.md", "evaluation.png")
_PLOT_RANGE = (17.0, 27.0)  # dB


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
        typer.Option(
            metavar="0-9",
            parser=integer("--effort", 0, 9),
            help="Measure the bundle with this effort too. 9 takes hours.",
        ),
    ] = 0,
    images: Annotated[
        int,
        typer.Option(
            metavar="N", parser=integer("--images", 100, 10000), help="Number of test images, a multiple of 100."
        ),
    ] = 10000,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure bytes and quality of a bundle and of other codecs.

    The others are PNG, JPEG, WebP, AVIF, JPEG XL and PCA transform coding. All codecs get the same test images, as
    single files and with 100 images per file, and the bytes are those of real files. With all images this takes an
    hour and a half, with --effort 9 two hours or more.

    Example: fmae-edge evaluate bundle -o evaluation --images 1000
    """
    if images % 100:
        raise UsageError(f"--images is {images}; expected a multiple of 100")
    from json import dumps

    from fmae_edge.commands.progress import progress_bar
    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.evaluate.evaluation import PACKINGS, to_markdown
    from fmae_edge.evaluate.evaluation import evaluate as measure
    from fmae_edge.evaluate.rate_plot import plot_rate
    from fmae_edge.measure.plots import png_of
    from fmae_edge.runtime.atomic_write import refuse_existing, write_file
    from fmae_edge.runtime.codec import Codec
    from fmae_edge.runtime.errors import OutputError

    codec = Codec(bundle, threads=1)
    targets = [output / name for name in RESULTS]
    for target in targets:  # before an hour of measuring
        refuse_existing(target, force)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot make this folder ({error.strerror})") from None
    loaded = load_fashion_mnist(data)
    with progress_bar("measuring") as on_progress:
        done = measure(codec, loaded.train, loaded.test[:images], effort, on_progress)
    curves = [[done.curve(name, packing) for name in done.codecs()] for packing in PACKINGS]
    single, amortised = ([curve for curve in panel if curve.points] for panel in curves)
    markdown = to_markdown(done)
    json_file, table, picture = targets  # the picture last: it can be drawn again from the figures
    write_file(json_file, dumps(done.to_record(), indent=1, allow_nan=False).encode() + b"\n", force)
    write_file(table, markdown.encode(), force)
    write_file(picture, png_of(plot_rate(single, amortised, _PLOT_RANGE)), force)
    typer.echo(json_line(done.to_record()) if json else markdown)
    say(f"wrote {', '.join(map(str, targets))}", sys.stderr)
