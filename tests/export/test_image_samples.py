"""An export uses all of Fashion-MNIST, and of larger data sets no more than memory allows."""

import numpy as np
import pytest

from fmae_edge.export.image_samples import measured_sample, training_sample


def images(count, *shape):
    """Return an array that takes no memory."""
    return np.broadcast_to(np.uint8(0), (count, *shape))


@pytest.mark.parametrize(
    ("count", "shape", "training", "measured"),
    [
        (60_000, (28, 28), 60_000, 10_000),
        (10_000, (28, 28), 10_000, 10_000),
        (1_000_000, (32, 32, 3), 60_000, 10_000),
        (5_000, (256, 256, 3), 5_000, 341),
        (1, (8, 8), 1, 1),
    ],
)
def test_the_numbers_of_images(count, shape, training, measured):
    assert len(training_sample(images(count, *shape))) == training
    assert len(measured_sample(images(count, *shape))) == measured
