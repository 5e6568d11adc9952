"""Choose the images that an evaluation measures, so that it takes minutes however large they are."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.data.errors import DataError
from fmae_edge.data.named_data_sets import FASHION_MNIST
from fmae_edge.evaluate.rate_points import IMAGES_IN_ATLAS
from fmae_edge.runtime.bundle.manifest import Manifest

Pixels = NDArray[np.uint8]

MOST_IMAGES = 10_000
# The slowest encoder needs 0.05 to 0.1 ms per pixel and setting. With this many pixels, all encoders need about
# 20 minutes on two CPUs. Fashion-MNIST is measured completely, as published
_PIXELS = 2_000_000


def count_to_measure(recipe: Mapping[str, Any], held_out: Pixels, most: int | None = None) -> int:
    """Return how many of the held-out images (N, height, width[, 3]) of a run to measure.

    `recipe` is the JSON of recipe.json. The number is at most `most`, by default as many as take about 20 minutes,
    and all 10,000 of Fashion-MNIST. If it is 100 or more, it is a multiple of 100.
    """
    if most is None:
        data = recipe.get("data")
        is_fashion = data is None or (data.get("name") == FASHION_MNIST and data.get("is_data_set") is True)
        pixels = math.prod(held_out.shape[1:3])
        most = MOST_IMAGES if is_fashion else min(max(_PIXELS // pixels, IMAGES_IN_ATLAS), MOST_IMAGES)
    count = min(most, len(held_out))
    return count if count < IMAGES_IN_ATLAS else count // IMAGES_IN_ATLAS * IMAGES_IN_ATLAS


def at_equal_distances(images: Pixels, count: int) -> Pixels:
    """Return `count` of the images (N, height, width[, 3]): neighbours in a folder are often alike."""
    if count >= len(images):
        return images
    return images[np.linspace(0, len(images) - 1, count).astype(np.int64)]


def with_at_most(images: Pixels, numbers: int) -> Pixels:
    """Return the images (N, height, width[, 3]); if they have more numbers, fewer images at equal distances."""
    return at_equal_distances(images, max(numbers // math.prod(images.shape[1:]), 1))


def training_recipe(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the recipe in the record of a manifest, empty if it has none: then the images are Fashion-MNIST."""
    training = record.get("training")
    recipe = training.get("recipe") if isinstance(training, Mapping) else None
    return recipe if isinstance(recipe, Mapping) else {}


def require_images(manifest: Manifest, held_out: Pixels) -> None:
    """Raise DataError if the bundle takes another size than `held_out` (N, height, width[, 3]), or N is 0."""
    if held_out.shape[1:] != manifest.image_shape:
        raise DataError(
            f"the images have shape {held_out.shape[1:]}, but the bundle takes {manifest.image_shape}; "
            "its manifest does not record the images of its training"
        )
    if not len(held_out):
        raise DataError("the run held out no images, so nothing can be measured: train with --holdout")
