"""Collect the figures of a page: all numbers that its tables and charts show, as JSON values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fmae_edge import __version__
from fmae_edge.evaluate.bench import Bench, describe_machine
from fmae_edge.evaluate.evaluation import Evaluation
from fmae_edge.evaluate.rate_points import PACKINGS, Packing
from fmae_edge.evaluate.records import recorded_figures, verdict_sentences
from fmae_edge.evaluate.report.latent_map import LatentMap
from fmae_edge.evaluate.report.reconstructions import Measured, Pass, absolute_error, by_psnr, pooled_psnr_of
from fmae_edge.runtime.bundle.manifest import Manifest

IN_GALLERY = 8
_BIN_DB = 0.5
_MOST_BINS = 60
_EXACT_PIXELS = 64 * 64  # the errors of more pixels are rounded, because the page contains them as text


def build_figures(
    manifest: Manifest,
    measured: Measured | None,
    latent_map: LatentMap | None,
    evaluation: Evaluation | None,
    bench: Bench,
) -> dict[str, Any]:
    """Return the figures of a page; parts without a measurement and numbers that are not finite are None."""
    verdict = None if evaluation is None else evaluation.verdict
    recorded = recorded_figures(manifest.record)
    figures = {
        "bundle": _bundle(manifest),
        "machine": {"fmae_edge": __version__, **describe_machine()},
        "recorded": recorded,
        "verdict": recorded["verdict"] if verdict is None else verdict_sentences(verdict),
        "measured": None if measured is None else _measured(measured),
        "map": None if measured is None or latent_map is None else _map(measured, latent_map),
        "rate": None if evaluation is None else _rate(evaluation),
        "speed": _speed(bench),
    }
    finite: dict[str, Any] = _finite(figures)
    return finite


def _bundle(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "bundle_id": manifest.bundle_id,
        "height": manifest.image_height,
        "width": manifest.image_width,
        "channels": manifest.image_channels,
        "pixels": manifest.image_height * manifest.image_width,
        "latent_size": manifest.latent_size,
        "has_prior": manifest.qualities is not None,
        "files": [{"name": name, "bytes": entry.size} for name, entry in manifest.files.items()],
        "total_bytes": sum(entry.size for entry in manifest.files.values()),
    }


def _measured(measured: Measured) -> dict[str, Any]:
    shown, error = measured.shown, absolute_error(measured.images, measured.shown.decoded)
    return {
        "images": len(measured.images),
        "passes": [_pass(done) for done in measured.passes],
        "shown": _pass(shown),
        "histogram": _histogram(shown),
        "gallery": _gallery(shown),
        "error_map": {
            "mean_absolute": (error if error.size <= _EXACT_PIXELS else error.round(2)).tolist(),
            "mean": float(error.mean()),
            "smallest": float(error.min()),
            "largest": float(error.max()),
        },
    }


def _pass(done: Pass) -> dict[str, Any]:
    return {
        "name": done.name,
        "bytes_per_image": None if done.file_bytes is None else float(done.file_bytes.mean()),
        "mse": float(done.mse.mean()),
        "psnr_pooled": pooled_psnr_of(done),
        "psnr_per_image": float(done.psnr.mean()),
        "ssim": float(done.ssim.mean()),
    }


def _histogram(done: Pass) -> dict[str, Any]:
    finite = done.psnr[np.isfinite(done.psnr)]
    figures: dict[str, Any] = {"exact": len(done.psnr) - len(finite), "edges": [], "counts": []}
    if len(finite):
        low, high = math.floor(finite.min()), math.ceil(finite.max())
        bins = min(max(round((high - low) / _BIN_DB), 1), _MOST_BINS)
        counts, edges = np.histogram(finite, bins, (low, max(high, low + 1)))
        figures |= {"edges": edges.tolist(), "counts": counts.tolist()}
    levels = np.sort(done.psnr)  # quantiles are not interpolated, because a PSNR may be infinite
    names = {"worst": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "best": 1.0}
    quantiles = {name: float(levels[round(share * (len(levels) - 1))]) for name, share in names.items()}
    return {**figures, "mean": float(done.psnr.mean()), "pooled": pooled_psnr_of(done), **quantiles}


def _gallery(done: Pass) -> list[dict[str, Any]]:
    order = by_psnr(done)
    middle = max((len(order) - IN_GALLERY) // 2, 0)
    rows = {
        "best": order[::-1][:IN_GALLERY],
        "median": order[middle : middle + IN_GALLERY],
        "worst": order[:IN_GALLERY],
    }
    return [
        {"name": name, "images": [_image(done, int(index)) for index in indices]} for name, indices in rows.items()
    ]


def _image(done: Pass, index: int) -> dict[str, Any]:
    return {
        "index": index,
        "psnr": float(done.psnr[index]),
        "ssim": float(done.ssim[index]),
        "bytes": None if done.file_bytes is None else int(done.file_bytes[index]),
    }


def _map(measured: Measured, latent_map: LatentMap) -> dict[str, Any]:
    """Return the places and figures of all images, with more digits than the page shows."""
    shown = measured.shown
    return {
        "method": latent_map.method,
        "x": latent_map.places[:, 0].round(4).tolist(),
        "y": latent_map.places[:, 1].round(4).tolist(),
        "psnr": shown.psnr.round(4).tolist(),
        "bytes": None if shown.file_bytes is None else shown.file_bytes.tolist(),
    }


def _rate(evaluation: Evaluation) -> dict[str, Any]:
    record = evaluation.to_record()
    reference = record["bytes_at_reference"]
    differences = {(each.codec, each.anchor, each.packing): each.difference for each in evaluation.comparisons()}
    pairs = dict.fromkeys((codec, anchor) for codec, anchor, _ in differences)
    points = record["points"]
    return {
        "reference_db": record["reference_db"],
        "images": max((point["images"] for point in points), default=0),
        "machine": evaluation.machine,
        "at_reference": [
            {
                "codec": codec,
                **{packing: sizes.get(codec) for packing, sizes in reference.items()},
                **{f"{packing}_db": _levels(evaluation, codec, packing) for packing in PACKINGS},
            }
            for codec in evaluation.codecs()
        ],
        "differences": [
            {
                "codec": codec,
                "anchor": anchor,
                **{
                    packing: None if difference is None else vars(difference)
                    for packing in reference
                    for difference in (differences[codec, anchor, packing],)
                },
            }
            for codec, anchor in pairs
        ],
        "points": points,
    }


def _levels(evaluation: Evaluation, codec: str, packing: Packing) -> list[float] | None:
    levels = evaluation.levels(codec, packing)
    return None if levels is None else list(levels)


def _speed(bench: Bench) -> dict[str, Any]:
    def named(figures: Mapping[str, float]) -> list[dict[str, Any]]:
        return [{"name": name, "value": value} for name, value in figures.items()]

    return {
        "machine": bench.machine,
        "rows": [
            {
                "task": one.task,
                "precision": one.precision,
                "threads": one.threads,
                "one_p50_us": one.p50_us,
                "one_p95_us": one.p95_us,
                "best_batch": best.batch,
                "best_p50_us": best.us_per_image,
                "best_p95_us": best.p95_us / best.batch,
                "images_per_second": best.images_per_second,
            }
            for one, best in bench.summary()
        ],
        "load_ms": named(bench.load_ms),
        "memory_mb": named(bench.memory_mb or {}),
        "cold_start_ms": named(bench.cold_start_ms),
    }


def _finite(value: Any) -> Any:
    """Replace each number that JSON cannot represent with None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list) else value
