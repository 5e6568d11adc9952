"""`fmae-edge report`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmae_edge.bulk.sources import STREAM, Source, as_path, read
from fmae_edge.commands.console import say
from fmae_edge.commands.options import BundleArgument, Data, Force, Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmae_edge.evaluate.evaluation import Evaluation
    from fmae_edge.runtime.codec import Codec

_IMAGES_COMPARED = 500
_ROUNDS = 10


def report(
    bundle: BundleArgument = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PATH", parser=as_path, help="HTML file to write.")
    ] = Path("report.html"),
    data: Data = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=as_path,
            help="The evaluation.json of fmae-edge evaluate. [default: measure fewer codecs on 500 images]",
        ),
    ] = None,
    bench: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=as_path,
            help="The output of fmae-edge bench --json. [default: measure with fewer rounds]",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write an HTML report about a bundle.

    The report is one self-contained file: the bundle and its training, bytes and quality compared with other
    codecs, parity, speed, the best and worst images, where the error lies, and a map of the latents. --json
    prints the figures of the report.

    Example: fmae-edge report bundle -o report.html
    """
    from threadpoolctl import threadpool_limits

    from fmae_edge.commands.progress import progress_bar
    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.evaluate.bench import run_bench
    from fmae_edge.evaluate.report.figures import build_figures
    from fmae_edge.evaluate.report.given import read_bench, read_evaluation
    from fmae_edge.evaluate.report.latent_map import map_latents
    from fmae_edge.evaluate.report.measure import measure
    from fmae_edge.evaluate.report.page import render_page, to_json
    from fmae_edge.runtime.atomic_write import refuse_existing, write_file
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
    from fmae_edge.runtime.codec import Codec
    from fmae_edge.runtime.errors import OutputError

    if output == STREAM or not output.parent.is_dir():  # before minutes of measuring
        raise OutputError(f"{output}: the report must be a file in an existing folder")
    refuse_existing(output, force)
    path = bundle or DEFAULT_BUNDLE
    manifest = read_bundle(path).manifest
    compared = timed = None
    if evaluation is not None:
        compared = read_evaluation(read(Source(evaluation)), str(evaluation), manifest.bundle_id)
    if bench is not None:
        timed = read_bench(read(Source(bench)), str(bench), manifest.bundle_id)
    loaded = load_fashion_mnist(data)
    train, test = loaded.train, loaded.test
    measured = latent_map = None
    if manifest.image_shape == test.shape[1:]:
        # One thread: the many small products of the prior are slower with two
        with progress_bar("test images and map") as on_progress, threadpool_limits(1):
            measured = measure(Codec(path), test)
            on_progress(1, 2)
            latent_map = map_latents(measured.latents)
    sources = {
        "rate": "fmae-edge evaluate" if compared else "fmae-edge report",
        "speed": "fmae-edge bench" if timed else "fmae-edge report",
    }
    if compared is None and measured is not None and manifest.qualities is not None:
        with threadpool_limits(1):  # so that times are those of one CPU
            compared = _compare(Codec(path, threads=1), train, test)
    if timed is None:
        with progress_bar("speed") as on_progress:
            timed = run_bench(path, _ROUNDS, on_progress)
    figures = build_figures(manifest, measured, latent_map, compared, timed)
    write_file(output, render_page(figures, measured, latent_map, compared, sources), force)
    if json:
        typer.echo(to_json(figures))
    say(f"wrote {output}", sys.stderr)


def _compare(codec: "Codec", train: "NDArray[np.uint8]", test: "NDArray[np.uint8]") -> "Evaluation | None":
    """Measure the bundle, PCA, and the codecs that do not take minutes, on some of the test images."""
    from fmae_edge.commands.progress import progress_bar
    from fmae_edge.evaluate.evaluation import evaluate
    from fmae_edge.evaluate.general_codecs import LOSSY_CODECS
    from fmae_edge.evaluate.rate import IMAGES_IN_ATLAS

    images = min(_IMAGES_COMPARED, len(test)) // IMAGES_IN_ATLAS * IMAGES_IN_ATLAS
    if images == 0:
        return None
    quick = [each for each in LOSSY_CODECS if each.name in ("JPEG", "WebP")]
    with progress_bar("other codecs") as on_progress:
        return evaluate(codec, train, test[:images], 0, on_progress, quick)
