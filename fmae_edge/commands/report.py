"""`fmae-edge report`."""

import sys
from pathlib import Path
from typing import Annotated

from fmae_edge.bulk.sources import STREAM, Source, read
from fmae_edge.commands.console import print_line, progress_bar, say
from fmae_edge.commands.options import BundleArgument, Force, Json, RunData, file_option


def report(
    bundle: BundleArgument = None,
    output: Annotated[Path, file_option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
    data: RunData = None,
    evaluation: Annotated[
        Path | None,
        file_option(
            "--evaluation",
            help="The evaluation.json of fmae-edge evaluate. [default: measure fewer codecs on 500 images]",
        ),
    ] = None,
    bench: Annotated[
        Path | None,
        file_option("--bench", help="The output of fmae-edge bench --json. [default: measure with fewer rounds]"),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write an HTML report about a bundle.

    The report is one self-contained file: the verdict of fmae-edge evaluate if there is one, the bundle and its
    training, bytes and quality compared with other codecs, parity, speed, the best and worst images, the error of
    each pixel, and a map of the latents. --json prints the figures of the report.

    Example: fmae-edge report bundle -o report.html
    """
    from fmae_edge.data.image_data import find_image_data
    from fmae_edge.evaluate.bench import read_bench
    from fmae_edge.evaluate.evaluation import read_evaluation
    from fmae_edge.evaluate.image_choice import training_recipe
    from fmae_edge.evaluate.report.page import make_report, to_json
    from fmae_edge.runtime.atomic_write import refuse_existing, write_file
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
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
    with progress_bar("reading images") as on_progress:
        images = find_image_data(training_recipe(manifest.record), data or (), on_progress=on_progress)
    figures, page = make_report(path, manifest, images.train, images.held_out, compared, timed, progress_bar)
    write_file(output, page, force)
    if json:
        print_line(to_json(figures))
    say(f"wrote {output}", sys.stderr)
