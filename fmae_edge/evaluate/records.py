"""Read untrusted JSON: values, results that an earlier command wrote, the record of a manifest."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from fmae_edge.model.chosen_epoch import chosen_epoch
from fmae_edge.runtime.errors import InputError, shown

_Choice = TypeVar("_Choice", bound=str)
_Result = TypeVar("_Result")

_LARGEST = 1e15  # larger integers are not exact as floats
_LONGEST_TEXT = 200
_LONGEST_SHOWN = 40
_LONGEST_SENTENCE = 2000
_MOST_SENTENCES = 50
_METRICS = (
    "train_loss",
    "train_bytes",
    "test_mse",
    "test_psnr_pooled",
    "test_psnr_per_image",
    "test_ssim",
    "seconds",
)
_VALIDATED = tuple(name.replace("test_", "val_") for name in _METRICS)
_WITH_RATE = ("val_bytes", "val_loss")
_COMPARED = ("latent_max", "pixel_max", "psnr", "loss_db")
_QUALITY = ("bytes_per_image", "mse", "psnr_pooled", "psnr_per_image", "ssim")
_RECIPE = ("epochs", "minutes", "batch_size", "lr", "seed", "rate_distortion")


def number(value: Any, above: float = -_LARGEST) -> float:
    """Return `value` if it is a finite number greater than `above`; integers stay integers. Raises ValueError."""
    if type(value) not in (int, float) or not above < value < _LARGEST:  # NaN compares with nothing
        raise ValueError(f"{shown(value, _LONGEST_SHOWN)} is not a number in range")
    checked: float = value
    return checked


def count(value: Any) -> int:
    """Return `value` if it is an integer of 1 or more. Raises ValueError."""
    if type(value) is not int:
        raise ValueError(f"{shown(value, _LONGEST_SHOWN)} is not an integer")
    return int(number(value, above=0))


def text(value: Any, longest: int = _LONGEST_TEXT) -> str:
    """Return `value` if it is a short line of printable characters. Raises ValueError."""
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise ValueError(f"{shown(value, _LONGEST_SHOWN)} is not a short line of printable text")
    return value


def chosen(value: Any, choices: Sequence[_Choice]) -> _Choice:
    """Return `value` if it is one of `choices`. Raises ValueError."""
    for choice in choices:
        if value == choice:
            return choice
    raise ValueError(f"{shown(value, _LONGEST_SHOWN)} is not one of {', '.join(choices)}")


def verdict_sentences(verdict: Any) -> list[str]:
    """Return the sentences of a verdict's JSON. Raises KeyError, TypeError or ValueError for anything else."""
    sentences = verdict["sentences"]
    if not isinstance(sentences, list) or len(sentences) > _MOST_SENTENCES:
        raise ValueError("the sentences of its verdict are not a short list")
    return [text(each, _LONGEST_SENTENCE) for each in sentences]


def read_results(content: bytes, where: str, expected: str, build: Callable[[Any], _Result]) -> _Result:
    """Parse a file that an earlier command wrote, and return the result of `build` for its JSON.

    In messages, `where` names the file and `expected` its content. Raises InputError if the file is not JSON, or
    if `build` raises a Python exception for a missing or malformed value.
    """
    try:
        return build(json.loads(content))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise InputError(f"{where}: not valid JSON; expected the {expected}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = f" ({error})" if type(error) is ValueError else ""  # only these messages are written for users
        raise InputError(f"{where}: not the {expected}, or incomplete{reason}; run that command again") from None


def require_same_bundle(measured: str, bundle_id: str, where: str) -> None:
    """Raise InputError if the results in file `where` are of bundle `measured` instead of `bundle_id`."""
    if measured != bundle_id:
        raise InputError(
            f"{where}: was measured with bundle {measured}, but this is {bundle_id}; "
            "measure this bundle, or leave out the option"
        )


def recorded_figures(record: Mapping[str, Any]) -> dict[str, Any]:
    """Read the record in the manifest of a bundle; a part that is missing or malformed is None."""
    parts: dict[str, Callable[[], Any]] = {
        "model": lambda: _model(record["training"]["config"]),
        "training": lambda: _training(record["training"]),
        "layers": lambda: [_layer(layer) for layer in record["quantisation"]["layers"]],
        "parity": lambda: _parity(record["parity"]),
        "quality": lambda: _qualities(record["quality"]),
        "rate": lambda: _qualities(record["rate"]),
        "verdict": lambda: verdict_sentences(record["verdict"]),
        "tools": lambda: [{"name": text(name), "version": text(at)} for name, at in record["tools"].items()],
    }
    return {name: _or_none(build) for name, build in parts.items()}


def _or_none(build: Callable[[], _Result]) -> _Result | None:
    try:
        return build() or None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def _model(config: Any) -> dict[str, Any]:
    return {"widths": [count(width) for width in config["widths"]], "latent_size": count(config["latent_size"])}


def _training(training: Any) -> dict[str, Any]:
    """Return the recipe and the metrics; `kept` are those of the epoch whose weights the run kept.

    The metrics are those of validation images if the run had them, otherwise those of its test images.
    """
    recipe = _or_none(partial(_numbers, training.get("recipe"), _RECIPE))
    rows = training["metrics"]
    measured_on, names = "test", list(_METRICS)
    if "val_mse" in rows[0]:
        measured_on, names = "validation", [*_VALIDATED, *(name for name in _WITH_RATE if name in rows[0])]
    metrics = [{"epoch": count(row["epoch"]), **_numbers(row, names)} for row in rows]
    figures = {"recipe": recipe, "measured_on": measured_on, "metrics": metrics, "last": metrics[-1]}
    return {**figures, "kept": chosen_epoch(metrics)}


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


def _numbers(row: Any, names: Sequence[str]) -> dict[str, float | None]:
    """Return the numbers `names` of a row; a number that is missing in the row is None."""
    return {name: None if row.get(name) is None else number(row[name]) for name in names}
