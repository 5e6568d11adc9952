"""Defaults for own images follow from their number and size."""

import math

import pytest

from fmae_edge.model.config import ModelConfig, default_config
from fmae_edge.model.default_recipe import (
    default_batch_size,
    default_epochs,
    default_prior_fit,
    default_rate_distortion,
)
from fmae_edge.model.recipe import Recipe


@pytest.mark.parametrize(
    ("images", "batch", "epochs"),
    [
        (200, 32, 300),
        (1_000, 32, 300),
        (3_000, 128, 300),
        (5_120, 256, 300),
        (20_000, 256, 253),
        (60_000, 256, 85),
        (1_000_000, 256, 10),
    ],
)
def test_small_sets_get_small_batches_and_many_epochs(images, batch, epochs):
    assert default_batch_size(images) == batch
    assert default_epochs(images, batch) == epochs
    if 10 < epochs < 300:
        assert epochs * math.ceil(images / batch) == pytest.approx(20_000, rel=0.05)


def test_more_images_never_get_smaller_batches_or_more_epochs():
    counts = [int(200 * 1.1**power) for power in range(90)]
    batches = [default_batch_size(count) for count in counts]
    epochs = [default_epochs(count, 256) for count in counts]
    assert batches == sorted(batches)
    assert epochs == sorted(epochs, reverse=True)


def test_the_defaults_are_valid():
    for images in (200, 5_000, 10**7):
        Recipe(prior_fit=default_prior_fit(images))
    for config in (ModelConfig(8, 8, 3, 16383), ModelConfig(256, 256, 1, 1), default_config(32, 32, 3)):
        Recipe(rate_distortion=default_rate_distortion(config))


def test_lambda_is_proportional_to_the_latents_per_pixel():
    assert default_rate_distortion(default_config(32, 32, 3)) == pytest.approx(0.000625)
    assert default_rate_distortion(ModelConfig(64, 32, 3, 128)) == pytest.approx(0.0003125)
    assert default_rate_distortion(ModelConfig(32, 32, 1, 64)) == pytest.approx(0.0003125)


def test_small_sets_fit_their_prior_in_fewer_steps_than_the_seed():
    steps = [default_prior_fit(images).steps for images in (200, 6_000, 15_000, 10**6)]
    assert steps == [1000, 2000, 5000, 5000]
