"""Limit how many images an export uses, so that its time and memory do not grow with the data set.

The images of a person are in the order of their content hashes, so the first ones are a random sample.
"""

from typing import Any

from numpy.typing import NDArray

# All of Fashion-MNIST. The largest latents and the layer inputs of so many images are those of the complete set up
# to rare outliers, which would only make the quantisers coarser.
_TRAINING_IMAGES = 60_000
# Measuring holds them in memory as float32, several times: 256 MB each
_MEASURED_IMAGES, _MEASURED_NUMBERS = 10_000, 1 << 26


def training_sample(images: NDArray[Any]) -> NDArray[Any]:
    """Return the first of the training images (N, height, width[, 3]), at most 60,000, to calibrate with."""
    return images[:_TRAINING_IMAGES]


def measured_sample(images: NDArray[Any]) -> NDArray[Any]:
    """Return the first of the held-out images (N, height, width[, 3]), at most 10,000, to measure on.

    Of large images there are fewer: 341 of 256x256 RGB.
    """
    return images[: max(1, min(_MEASURED_IMAGES, _MEASURED_NUMBERS // max(1, images[:1].size)))]
