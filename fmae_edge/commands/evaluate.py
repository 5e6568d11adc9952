"""`fmae-edge evaluate`."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fmae_edge.commands.console import UsageError, json_line, print_line, progress_bar, say, say_error
from fmae_edge.commands.options import BundleArgument, Force, Json, RunData, integer_option

_ATLAS = 100


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
    data: RunData = None,
    effort: Annotated[
        int,
        integer_option(
            "--effort", "0-9", 0, 9, help="Measure the bundle also with this effort; the verdict is about it."
        ),
    ] = 0,
    images: Annotated[
        int | None,
        integer_option(
            "--images",
            "N",
            100,
            10000,
            help="Most held-out images to measure, a multiple of 100. [default: as many as take about 20 "
            "minutes on two CPUs; all 10,000 of Fashion-MNIST]",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure bytes and quality of a bundle and of other codecs.

    The other codecs are PNG, JPEG, WebP, AVIF, JPEG XL and PCA transform coding. All codecs get the same images,
    which were held out from the training, as single files and with 100 images per file, and the bytes are those of
    real files. With all images of Fashion-MNIST this takes an hour and a half, with --effort 9 two hours or more.

    The last lines are the verdict: how many per cent fewer or more bytes the bundle needs than the best other
    codec at equal PSNR, and whether it had enough training images. The manifest of BUNDLE keeps them, except in a
    built-in bundle.

    Example: fmae-edge evaluate bundle -o evaluation --images 1000
    """
    if images is not None and images % _ATLAS:
        raise UsageError(f"--images is {images}; expected a multiple of {_ATLAS}")

    from fmae_edge.data.image_data import find_image_data
    from fmae_edge.evaluate.evaluation import evaluate as measure
    from fmae_edge.evaluate.evaluation_files import keep_verdict, prepare_results, to_markdown, write_results
    from fmae_edge.evaluate.image_choice import (
        at_equal_distances,
        count_to_measure,
        require_images,
        training_recipe,
    )
    from fmae_edge.evaluate.training_gap import measure_training_gap
    from fmae_edge.evaluate.verdict import curves_of, judge
    from fmae_edge.runtime.bundle.built_in import is_built_in
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
    from fmae_edge.runtime.codec import Codec
    from fmae_edge.runtime.errors import FmaeError

    codec = Codec.from_bundle(read_bundle(bundle or DEFAULT_BUNDLE), threads=1)
    targets = prepare_results(output, force)  # before minutes of measuring
    recipe = training_recipe(codec.manifest.record)
    with progress_bar("reading images") as on_progress:
        found = find_image_data(recipe, data or (), on_progress=on_progress)
    require_images(codec.manifest, found.held_out)
    count = count_to_measure(recipe, found.held_out, images)
    measured = at_equal_distances(found.held_out, count)
    if count < len(found.held_out):
        say(f"measuring {count:,} of {len(found.held_out):,} held-out images; more: --images N", sys.stderr)
    with progress_bar("measuring") as on_progress:
        done = measure(codec, found.train, measured, effort, on_progress)
        gap = measure_training_gap(codec, found.train, measured)
    verdict = judge(curves_of(done.points, effort), count, gap, effort).to_record()
    done = replace(done, verdict=verdict)
    write_results(done, targets, force)
    print_line(json_line(done.to_record()) if json else to_markdown(done))
    say(f"wrote {', '.join(map(str, targets))}", sys.stderr)
    if bundle is not None and not is_built_in(bundle):
        try:
            keep_verdict(bundle, codec.manifest.bundle_id, verdict)
            say(f"wrote the verdict to the manifest of {bundle}", sys.stderr)
        except FmaeError as error:
            say_error(f"the manifest does not keep the verdict: {error}", error)
