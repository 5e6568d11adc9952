"""Measure whether a training set was large enough: training images must not be coded better than held-out images.

A model that has memorised its training images reaches a higher PSNR on them than on images it has not seen. With
more images of the same kind, the PSNR of held-out images rises and that of training images falls, so the gap
between them is the most that more images can gain. Below 1 dB, the error of held-out images is at most a quarter
larger than that of training images: the default bundle, trained on 60,000 images, has 0.6 dB. From 2 dB on it is
more than half larger.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fmae_edge.evaluate.image_choice import at_equal_distances
from fmae_edge.measure.quality import mse_per_image, psnr
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.codec import Codec

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

LARGE_ENOUGH_DB, TOO_SMALL_DB = 1.0, 2.0
_MOST_IMAGES = 2000
_MOST_NUMBERS = 2000 * 64 * 64
_IMAGES_AT_ONCE = 100


@dataclass(frozen=True)
class TrainingGap:
    """The pooled PSNR in dB of as many training images as held-out images, through .fmae files of one quality.

    `error_db` is the standard error of their difference; `training_images` is the size of the training set.
    """

    train_db: float
    held_out_db: float
    error_db: float
    train_bytes: float
    held_out_bytes: float
    images: int
    training_images: int
    quality: int

    @property
    def gap_db(self) -> float:
        """How much better training images are coded."""
        return self.train_db - self.held_out_db

    @property
    def size(self) -> str:
        """Return whether the training set was "large enough", "small" or "too small".

        A gap that is within two standard errors of a threshold does not exceed it.
        """
        certain = self.gap_db - 2 * self.error_db
        if self.gap_db < LARGE_ENOUGH_DB or certain <= 0:
            return "large enough"
        return "too small" if self.gap_db >= TOO_SMALL_DB else "small"

    def to_record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {**vars(self), "gap_db": self.gap_db, "size": self.size}


def measure_training_gap(
    codec: Codec, train_images: Pixels, held_out: Pixels, quality: int = QUALITIES
) -> TrainingGap | None:
    """Code equally many training and held-out images (N, height, width[, 3]), by default at the best quality.

    There coarse quantisers do not hide the difference. Images are taken at equal distances. Returns None if either
    part is empty, or if an image is exact.
    """
    most = min(_MOST_IMAGES, max(_MOST_NUMBERS // math.prod(held_out.shape[1:]), 1))
    count = min(len(train_images), len(held_out), most)
    if not count:
        return None
    with threadpool_limits(1):  # the many small products of the prior are slower with two
        train, train_bytes = _errors(codec, at_equal_distances(train_images, count), quality)
        held, held_bytes = _errors(codec, at_equal_distances(held_out, count), quality)
    if not train.mean() or not held.mean():
        return None
    # The standard error of 10 log10 of a mean is 10 / ln 10 of its relative standard error
    relative = [errors.std() / errors.mean() / math.sqrt(count) for errors in (train, held)]
    return TrainingGap(
        train_db=psnr(float(train.mean())),
        held_out_db=psnr(float(held.mean())),
        error_db=10 / math.log(10) * math.hypot(*relative),
        train_bytes=train_bytes,
        held_out_bytes=held_bytes,
        images=count,
        training_images=len(train_images),
        quality=quality,
    )


def _errors(codec: Codec, images: Pixels, quality: int) -> tuple[Floats, float]:
    """Return the mean squared error of each image (N,), and the bytes per image, of stacks of images."""
    errors, file_bytes = [], 0
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        stack = images[start : start + _IMAGES_AT_ONCE]
        file = codec.compress_batch(stack, quality)
        decoded = codec.decompress_batch(file)
        errors.append(mse_per_image(stack / np.float32(255), decoded / np.float32(255)))
        file_bytes += len(file)
    return np.concatenate(errors), file_bytes / len(images)
