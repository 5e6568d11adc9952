"""Render the page from a template, figures and images. It loads nothing from the network."""

import base64
import hashlib
import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fmae_edge.evaluate.bench import Bench, run_bench
from fmae_edge.evaluate.codec_settings import general_ladders
from fmae_edge.evaluate.evaluation import Evaluation, evaluate
from fmae_edge.evaluate.image_choice import MOST_IMAGES, at_equal_distances, with_at_most
from fmae_edge.evaluate.rate_points import IMAGES_IN_ATLAS
from fmae_edge.evaluate.report import charts, data_uris
from fmae_edge.evaluate.report.latent_map import LatentMap, draw_map, map_latents
from fmae_edge.evaluate.report.page_data import build_figures
from fmae_edge.evaluate.report.reconstructions import Measured, measure_reconstructions
from fmae_edge.measure.equal_rows import merge_equal_rows
from fmae_edge.runtime.bundle.manifest import Manifest
from fmae_edge.runtime.codec import Codec

ABSENT = "\N{EN DASH}"
_IMAGES_COMPARED = 500
_MOST_NUMBERS_COMPARED = 500 * 64 * 64
# Those of the images on the page, which contains them: all 10,000 of Fashion-MNIST, 122 RGB images of 256x256
_MOST_NUMBERS = 24_000_000
_ROUNDS = 10

Pixels = NDArray[np.uint8]
ProgressBar = Callable[[str], AbstractContextManager[Callable[..., None]]]


def render_page(
    figures: dict[str, Any],
    measured: Measured | None,
    latent_map: LatentMap | None,
    evaluation: Evaluation | None,
    sources: dict[str, str],
) -> bytes:
    """Return the HTML of a page with `figures`, the result of `build_figures` for the other arguments.

    `sources` maps "rate" and "speed" to the command that measured these figures.
    """
    environment = Environment(
        loader=PackageLoader("fmae_edge.evaluate.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def figure(path: str, spec: str = "", unit: str = "") -> Markup:
        return _figure(figures, path, spec, unit)

    script, style = (files(__package__).joinpath(name).read_text("utf-8") for name in ("page.js", "page.css"))
    page = environment.get_template("page.html.jinja").render(
        figures=figures,
        f=figure,
        data=htmlsafe_json_dumps(figures, json.dumps, allow_nan=False, separators=(",", ":")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(style),
        charts=_charts(figures, evaluation),
        contents=_contents(figures),
        parity_rows=_parity_rows(figures["recorded"]["parity"]),
        pictures=None if measured is None else _pictures(figures, measured, latent_map),
        largest_difference=data_uris.LARGEST_DIFFERENCE,
        sources=sources,
    )
    return page.encode("utf-8", "replace")  # the name of a bundle may contain lone surrogates


def to_json(figures: dict[str, Any]) -> str:
    """Return the figures as one line of JSON."""
    return json.dumps(figures, allow_nan=False)


def _figure(figures: dict[str, Any], path: str, spec: str, unit: str) -> Markup:
    """Return an element for the figure at a path such as "measured.passes.0.ssim", with its exact value."""
    value: Any = figures
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    shown = ABSENT if value is None else format(value, spec) + unit
    kind = Markup(' class="number"') if isinstance(value, int | float) else ""
    element = Markup('<span{} data-figure="{}" data-value="{}">{}</span>')
    return element.format(kind, path, json.dumps(value), shown)


def _contents(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the id and the title of each section that is not empty."""
    recorded, measured = figures["recorded"], figures["measured"]
    sections = (
        ("verdict", "Verdict", figures["verdict"]),
        ("model", "Model", True),
        ("training", "Training", recorded["training"]),
        ("quality", "Quality", measured or recorded["quality"] or recorded["rate"]),
        ("rate", "Other codecs", figures["rate"]),
        ("images", "Best and worst", measured),
        ("error", "Errors", measured),
        ("map", "Map", figures["map"]),
        ("parity", "Parity", recorded["parity"]),
        ("speed", "Speed", True),
    )
    return [(name, title) for name, title, has_content in sections if has_content]


def _parity_rows(parity: dict[str, Any] | None) -> list[dict[str, str]]:
    """Return the cells of the parity table; rows that differ only in batch size or optimisation are merged."""
    settings = dict.fromkeys(("precision", "batch", "optimised"), "")
    specs = {**settings, "latent_max": ".1e", "pixel_max": ".1e", "psnr": ".3f", "loss_db": "+z.4f"}
    rows = [
        {name: ABSENT if row[name] is None else format(row[name], spec) for name, spec in specs.items()}
        for row in (parity["rows"] if parity else [])
    ]
    return merge_equal_rows(rows, ("batch", "optimised"))


def _charts(figures: dict[str, Any], evaluation: Evaluation | None) -> dict[str, Any]:
    training, measured = figures["recorded"]["training"], figures["measured"]
    counted = measured and measured["histogram"]["counts"]  # empty if every reconstruction is exact
    drawn = {
        "training": list(charts.training_charts(training).values()) if training else [],
        "rate": charts.rate_charts(evaluation) if evaluation else [],
        "histogram": [charts.histogram_chart(measured["histogram"])] if counted else [],
    }
    return {name: [Markup(svg) for svg in each] for name, each in drawn.items()}


def _pictures(figures: dict[str, Any], measured: Measured, latent_map: LatentMap | None) -> dict[str, Any]:
    """Return all images of the page as data URIs."""
    shown, error = measured.shown, figures["measured"]["error_map"]
    histogram = figures["measured"]["histogram"]
    drawn: dict[str, Any] = {
        "strips": {
            image["index"]: data_uris.strip(measured.images[image["index"]], shown.decoded[image["index"]])
            for row in figures["measured"]["gallery"]
            for image in row["images"]
        },
        "mean_image": data_uris.png(np.rint(measured.images.mean(axis=0)).astype(np.uint8)),
        "error_map": data_uris.png(data_uris.in_colours(np.array(error["mean_absolute"]), 0, error["largest"])),
        "error_scale": data_uris.error_scale(),
    }
    if latent_map is not None:
        colours = data_uris.psnr_colours(shown.psnr, *(histogram[name] or 0.0 for name in ("p05", "p95")))
        drawn |= {
            "map": data_uris.map_picture(draw_map(measured.images, latent_map.places, colours)),
            "originals": data_uris.atlas(measured.images),
            "decoded": data_uris.atlas(shown.decoded),
            "columns": data_uris.atlas_columns(len(measured.images)),
            "psnr_scale": data_uris.psnr_scale(),
        }
    return drawn


def _shown(held_out: Pixels) -> Pixels:
    """Return the images (N, height, width[, 3]) that the page shows: all, or some at equal distances."""
    return at_equal_distances(with_at_most(held_out, _MOST_NUMBERS), MOST_IMAGES)


def make_report(
    bundle: Path,
    manifest: Manifest,
    train_images: Pixels,
    held_out: Pixels,
    evaluation: Evaluation | None,
    bench: Bench | None,
    progress_bar: ProgressBar,
) -> tuple[dict[str, Any], bytes]:
    """Measure a bundle and return the figures of the report and its page.

    The page shows the `held_out` images (N, height, width[, 3]) of the run, of many large images those at equal
    distances. Without an `evaluation`, fewer codecs are compared on at most 500 images; without a `bench`, speed
    is measured in fewer rounds. `progress_bar` is called with a description and yields a function to call with
    (done, total).
    """
    measured = latent_map = None
    if manifest.image_shape == held_out.shape[1:] and len(held_out):
        # One thread: the many small products of the prior are slower with two
        with progress_bar("test images and map") as on_progress, threadpool_limits(1):
            measured = measure_reconstructions(Codec(bundle), _shown(held_out))
            on_progress(1, 2)
            latent_map = map_latents(measured.latents)
    sources = {
        "rate": "fmae-edge evaluate" if evaluation else "fmae-edge report",
        "speed": "fmae-edge bench" if bench else "fmae-edge report",
    }
    most = min(_IMAGES_COMPARED, max(_MOST_NUMBERS_COMPARED // math.prod(manifest.image_shape), IMAGES_IN_ATLAS))
    count = min(most, len(held_out)) // IMAGES_IN_ATLAS * IMAGES_IN_ATLAS
    if evaluation is None and measured is not None and manifest.qualities is not None and count:
        shape = manifest.image_shape
        quick = [each for each in general_ladders(shape) if each.name in ("JPEG", "WebP") and not each.lossless]
        with progress_bar("other codecs") as on_progress, threadpool_limits(1):  # times are those of one CPU
            codec = Codec(bundle, threads=1)
            compared = at_equal_distances(held_out, count)
            evaluation = evaluate(codec, train_images, compared, 0, on_progress, quick)
    if bench is None:
        with progress_bar("speed") as on_progress:
            bench = run_bench(bundle, _ROUNDS, on_progress)
    figures = build_figures(manifest, measured, latent_map, evaluation, bench)
    return figures, render_page(figures, measured, latent_map, evaluation, sources)
