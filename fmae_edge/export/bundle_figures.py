"""Measure the codec of a new bundle: quality of its graphs, bytes and quality of its .fmae files."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.measure.quality import contrast_to_error, measure_quality
from fmae_edge.runtime.bundle.bundle import Bundle
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.graphs import PRECISIONS
from fmae_edge.runtime.entropy.symbol_coder import clip_symbols
from fmae_edge.runtime.latents import LATENT_DTYPES

_IMAGES, _PIXELS = 2000, 2000 * 64 * 64
_FLOOR_IMAGES, _FLOOR_PIXELS = 20_000, 2000 * 64 * 64
_SHARE_BELOW, _HIGHEST_FLOOR = 0.001, 100.0  # an image that is decoded exactly has no finite ratio


def measure_latents(bundle: Bundle, images: NDArray[np.uint8]) -> dict[str, dict[str, float]]:
    """Return the quality of the decoded images (N, height, width[, 3]) for each precision and latent dtype."""
    figures = {}
    for precision in PRECISIONS:
        codec = Codec.from_bundle(bundle, precision=precision)
        for dtype in LATENT_DTYPES:
            decoded = codec.decode(codec.encode(images, dtype=dtype))
            figures[f"{precision} graphs, {dtype} latents"] = asdict(measure_quality(images, decoded))
    return figures


def measure_rate(bundle: Bundle, images: NDArray[np.uint8]) -> dict[str, dict[str, Any]]:
    """Return bytes per image and quality of one .fmae file of images (N, height, width[, 3]), for each quality."""
    codec = Codec.from_bundle(bundle)
    figures = {}
    for quality in range(1, QUALITIES + 1):
        content = codec.compress_batch(images, quality)
        figures[f"quality {quality}"] = {
            "bytes_per_image": len(content) / len(images),
            **asdict(measure_quality(images, codec.decompress(content))),
        }
    return figures


def measure_contrast_floors(bundle: Bundle, train_images: NDArray[np.uint8]) -> tuple[float, ...]:
    """Return the ratio of contrast to error, in dB, that 99.9 % of training images reach, for each quality.

    Measured on the first of the training images (N, height, width[, 3]), without a search. Images of other kinds
    stay below it.
    """
    most = min(_FLOOR_IMAGES, _FLOOR_PIXELS // (bundle.manifest.image_height * bundle.manifest.image_width))
    images = train_images[: max(1, most)]
    codec, qualities = Codec.from_bundle(bundle), bundle.manifest.qualities
    assert qualities is not None
    latents, floors = codec.encode(images), []
    for quality, step in enumerate(qualities.steps, 1):
        symbols = clip_symbols(np.rint(latents / np.float32(step * qualities.unit)))
        ratios = np.minimum(contrast_to_error(images, codec.decode(symbols, quality)), _HIGHEST_FLOOR)
        floors.append(float(np.quantile(ratios, _SHARE_BELOW)))
    return tuple(floors)


def measure_bit_costs(bundle: Bundle, train_images: NDArray[np.uint8]) -> tuple[float, ...]:
    """Return the mean squared error that a bit saves at each quality: the slope of the rate-distortion curve.

    Measured on training images (N, height, width[, 3]), between the neighbours of each quality.
    """
    most = min(_IMAGES, _PIXELS // (bundle.manifest.image_height * bundle.manifest.image_width))
    points = measure_rate(bundle, train_images[:most]).values()
    bits = [8 * point["bytes_per_image"] for point in points]
    errors = [point["mse"] for point in points]
    last = QUALITIES - 1
    neighbours = [(max(at - 1, 0), min(at + 1, last)) for at in range(QUALITIES)]
    return tuple(
        max(0.0, (errors[low] - errors[high]) / (bits[high] - bits[low])) if bits[high] > bits[low] else 0.0
        for low, high in neighbours
    )
