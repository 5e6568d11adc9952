"""Choose the epoch whose weights a run keeps, from its metrics."""

from collections.abc import Mapping, Sequence
from typing import Any


def criterion(entry: Mapping[str, Any]) -> float | None:
    """Return what the run minimises on its validation images, after one epoch; None if it has no such images."""
    value: float | None = entry.get("val_loss", entry.get("val_mse"))
    return value


def chosen_epoch(metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the entry of the best epoch on the validation images, the first of equals; without them the last.

    `metrics` has one entry per epoch, as metrics.jsonl, and at least one. Its key `epoch` counts from 1.
    """
    rated = [(value, index) for index, entry in enumerate(metrics) if (value := criterion(entry)) is not None]
    return metrics[min(rated)[1]] if rated else metrics[-1]
