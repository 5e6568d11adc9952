"""Read the record in a manifest, which may contain anything: each part is complete, or None."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from fmae_edge.evaluate.records import count, number, text

_Found = TypeVar("_Found")

_METRICS = (
    "train_loss",
    "train_bytes",
    "test_mse",
    "test_psnr_pooled",
    "test_psnr_per_image",
    "test_ssim",
    "seconds",
)
_COMPARED = ("latent_max", "pixel_max", "psnr", "loss_db")
_QUALITY = ("bytes_per_image", "mse", "psnr_pooled", "psnr_per_image", "ssim")
_RECIPE = ("epochs", "batch_size", "lr", "seed", "rate_distortion")


def recorded_figures(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures in the record of a bundle, with None for each part that is missing or malformed."""
    parts: dict[str, Callable[[], Any]] = {
        "model": lambda: _model(record["training"]["config"]),
        "training": lambda: _training(record["training"]),
        "layers": lambda: [_layer(layer) for layer in record["quantisation"]["layers"]],
        "parity": lambda: _parity(record["parity"]),
        "quality": lambda: _qualities(record["quality"]),
        "rate": lambda: _qualities(record["rate"]),
        "tools": lambda: [{"name": text(name), "version": text(at)} for name, at in record["tools"].items()],
    }
    return {name: _or_none(build) for name, build in parts.items()}


def _or_none(build: Callable[[], _Found]) -> _Found | None:
    try:
        return build() or None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def _model(config: Any) -> dict[str, Any]:
    return {"widths": [count(width) for width in config["widths"]], "latent_size": count(config["latent_size"])}


def _training(training: Any) -> dict[str, Any]:
    recipe = _or_none(partial(_numbers, training.get("recipe"), _RECIPE))
    metrics = [{"epoch": count(row["epoch"]), **_numbers(row, _METRICS)} for row in training["metrics"]]
    return {"recipe": recipe, "metrics": metrics, "last": metrics[-1]}


def _layer(layer: Any) -> dict[str, Any]:
    named = {"name": text(layer["name"]), "precision": text(layer["precision"])}
    return {**named, **_numbers(layer, ("loss_db", "multiply_adds"))}


def _parity(parity: Any) -> dict[str, Any]:
    rows = [
        {
            "precision": text(row["precision"]),
            "batch": count(row["batch"]),
            "optimised": "on" if row["optimised"] else "off",
            **_numbers(row, _COMPARED),
        }
        for row in parity["comparisons"]
    ]
    return {
        "images": count(parity["images"]),
        "torch_psnr": number(parity["torch_psnr"]),
        "gates": _numbers(parity["gates"], ("fp32_pixel_max", "fp32_latent_max", "int8_loss_db")),
        "failures": [text(failure) for failure in parity["failures"]],
        "rows": rows,
    }


def _qualities(qualities: Any) -> list[dict[str, Any]]:
    return [{"name": text(name), **_numbers(row, _QUALITY)} for name, row in qualities.items()]


def _numbers(row: Any, names: tuple[str, ...]) -> dict[str, float | None]:
    """Return the figures `names` of a row, None for each that it lacks."""
    return {name: None if row.get(name) is None else number(row[name]) for name in names}
