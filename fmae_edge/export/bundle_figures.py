"""Measure the .fmae files of a bundle: bytes and quality at each of its qualities."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.measure.quality import measure_quality
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.codec import Codec

_IMAGES = 2000


def measure_rate(folder: Path, images: NDArray[np.uint8]) -> dict[str, dict[str, Any]]:
    """Compress images (N, height, width) with the bundle in `folder`: bytes per image in one file, and quality."""
    codec = Codec(folder)
    originals = images / np.float32(255)
    figures = {}
    for quality in range(1, QUALITIES + 1):
        content = codec.compress_batch(images, quality)
        decoded = codec.decompress(content) / np.float32(255)
        figures[f"quality {quality}"] = {
            "bytes_per_image": len(content) / len(images),
            **asdict(measure_quality(originals, decoded)),
        }
    return figures


def measure_bit_costs(folder: Path, train_images: Tensor) -> tuple[float, ...]:
    """Return the mean squared error that a bit saves at each quality: the slope of the curve of the bundle.

    Measured on uint8 training images (N, height, width), between the neighbours of each quality.
    """
    points = measure_rate(folder, train_images[:_IMAGES].numpy()).values()
    bits = [8 * point["bytes_per_image"] for point in points]
    errors = [point["mse"] for point in points]
    last = QUALITIES - 1
    neighbours = [(max(at - 1, 0), min(at + 1, last)) for at in range(QUALITIES)]
    return tuple(
        max(0.0, (errors[low] - errors[high]) / (bits[high] - bits[low])) if bits[high] > bits[low] else 0.0
        for low, high in neighbours
    )
