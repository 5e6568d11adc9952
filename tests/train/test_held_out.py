"""The figures of a finished model on held-out images agree with what its codec gives."""

import json
import math

import numpy as np
import pytest
import torch

from fmae_edge.measure.quality import pooled_psnr
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint
from fmae_edge.model.config import ModelConfig
from fmae_edge.runtime.codec import Codec
from fmae_edge.train.measurement import measure_held_out, spread
from tests.conftest import CHECKPOINT

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(images):
    run, pixels = load_checkpoint(CHECKPOINT), torch.from_numpy(images.copy())
    return measure_held_out(run.model, run.prior, pixels[100:], pixels[:100], CPU)


def test_bytes_and_quality_are_nearly_those_of_files(measured, images):
    """The bundle is of the same checkpoint; its graphs are int8, and its prior is rounded."""
    codec = Codec(precision="fp32")
    assert [point.quality for point in measured.points] == [1, 5, 9]
    for point in measured.points:
        files = [codec.compress(image, point.quality) for image in images[:100]]
        decoded = np.stack([codec.decompress(file) for file in files])
        assert point.bytes_per_image == pytest.approx(sum(map(len, files)) / 100, abs=1.2)  # whole bytes
        assert point.psnr == pytest.approx(pooled_psnr(images[:100] / 255, decoded / 255), abs=0.05)


def test_higher_qualities_cost_more_bytes_and_end_at_the_model_without_quantising(measured):
    assert [point.bytes_per_image for point in measured.points] == sorted(
        point.bytes_per_image for point in measured.points
    )
    assert measured.points[0].psnr < measured.points[1].psnr < measured.points[2].psnr
    assert measured.points[2].psnr == pytest.approx(measured.psnr, abs=0.3)
    assert measured.gap == pytest.approx(measured.train_psnr - measured.psnr)


def test_a_model_without_a_prior_has_quality_only(images):
    model = Autoencoder(ModelConfig(latent_size=4, widths=(2, 4)))
    pixels = torch.from_numpy(images.copy())
    record = measure_held_out(model, None, pixels[:50], pixels[50:60], CPU).to_record()
    assert record["points"] == []
    assert record["images"] == 10
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_large_sets_are_measured_on_images_at_equal_distances():
    images = torch.arange(10_000)
    for most in (1, 3, 2_000, 9_999):
        chosen = spread(images, most)
        assert most / 2 <= len(chosen) <= most
        assert chosen.data_ptr() == images.data_ptr()
        assert len(set(chosen.diff().tolist())) <= 1
    assert spread(images, 10_000) is images


def test_no_held_out_images_are_an_error(images):
    model, pixels = Autoencoder(ModelConfig(latent_size=4, widths=(2, 4))), torch.from_numpy(images.copy())
    with pytest.raises(ValueError, match="no held-out images"):
        measure_held_out(model, None, pixels, pixels[:0], CPU)
    assert math.isfinite(measure_held_out(model, None, pixels, pixels[:1], CPU).psnr)
