"""A model is judged by a few files during training, and its training set by the gap to held-out images."""

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.evaluate.codec_settings import general_ladders
from fmae_edge.evaluate.quick_verdict import judge_quickly
from fmae_edge.evaluate.rate_points import measure_single
from fmae_edge.evaluate.training_gap import measure_training_gap
from fmae_edge.measure.quality import pooled_psnr
from tests.random_bundle import smooth_images


def test_a_model_is_compared_with_real_files_up_to_its_quality():
    images = smooth_images(3, 16, 16, 3)
    codecs = [ladder for ladder in general_ladders((16, 16, 3)) if ladder.name == "WebP"]
    ends = [measure_single(codec, images) for ladder in codecs for codec in ladder.rungs[:3]]
    lowest = min(point.quality.psnr_pooled for point in ends)
    steps = []
    verdict = judge_quickly([(9.0, lowest), (11.0, lowest + 1)], images, lambda *each: steps.append(each))
    assert verdict.images == 3
    found = verdict.advantages["single"]
    assert found.smaller.percent < -50
    assert (found.low_db, found.high_db) == (lowest, pytest.approx(lowest + 1))
    assert found.next_bytes <= max(point.bytes_per_image for point in ends)
    assert steps[-1][0] == steps[-1][1]
    assert "amortised" not in verdict.advantages
    dear = judge_quickly([(900.0, lowest), (1100.0, lowest + 1)], images)
    assert dear.sentences()[0].startswith("Another codec is better for these images: use ")


def test_the_gap_is_that_of_real_files(images):
    codec = Codec(threads=1)
    train, held_out = images[:150], images[150:]
    gap = measure_training_gap(codec, train, held_out, quality=3)
    assert (gap.images, gap.training_images, gap.quality) == (106, 150, 3)
    file = codec.compress_batch(held_out, 3)
    decoded = codec.decompress_batch(file)
    assert gap.held_out_db == pytest.approx(pooled_psnr(held_out / 255, decoded / 255), abs=0.02)
    assert gap.held_out_bytes == pytest.approx(len(file) / 106, abs=0.5)
    assert abs(gap.gap_db) < 3 * gap.error_db  # both are test images
    assert 0.1 < gap.error_db < 1


def test_there_is_no_gap_without_images(images):
    assert measure_training_gap(Codec(threads=1), images[:0], images) is None
    assert measure_training_gap(Codec(threads=1), images, images[:0]) is None


def test_a_model_that_knows_its_images_has_a_gap(images):
    class Remembers:
        """Decodes the images it knows almost exactly, all others to gray."""

        def compress_batch(self, stack, quality):
            return stack.tobytes()

        def decompress_batch(self, file):
            stack = np.frombuffer(file, np.uint8).reshape(-1, 28, 28)
            known = (stack[:, None] == images[None, :50]).all(axis=(2, 3)).any(axis=1)
            return np.where(known[:, None, None], stack ^ 1, 128).astype(np.uint8)

    gap = measure_training_gap(Remembers(), images[:50], images[50:])
    assert gap.gap_db > 20
    assert gap.size == "too small"


def test_the_error_of_the_gap_is_how_much_it_varies_between_samples():
    class Brightens:
        """Adds 1 to 8 levels, by the level of an image."""

        def compress_batch(self, stack, quality):
            return stack.tobytes()

        def decompress_batch(self, file):
            stack = np.frombuffer(file, np.uint8).reshape(-1, 8, 8)
            return stack + stack % 8 + 1

    levels = np.random.default_rng(0).integers(0, 200, (400, 120), np.uint8)
    samples = np.broadcast_to(levels[..., None, None], (400, 120, 8, 8))
    gaps = [measure_training_gap(Brightens(), sample[:60], sample[60:]) for sample in samples]
    varies = np.std([gap.gap_db for gap in gaps])
    assert np.mean([gap.error_db for gap in gaps]) == pytest.approx(varies, rel=0.1)
