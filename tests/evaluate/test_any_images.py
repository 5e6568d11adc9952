"""Gray and RGB images of any size and number are evaluated, with settings up to a little above the bundle."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.evaluate import evaluation as module
from fmae_edge.evaluate.codec_settings import Ladder, general_ladders
from fmae_edge.evaluate.evaluation import evaluate
from fmae_edge.evaluate.general_codecs import GeneralCodec
from fmae_edge.evaluate.image_choice import count_to_measure, with_at_most
from fmae_edge.evaluate.pca_codec import fit_pca_codecs
from fmae_edge.evaluate.rate_points import from_atlases, measure_amortised, measure_single, to_atlases
from fmae_edge.measure.quality import measure_quality
from tests.random_bundle import smooth_images


@pytest.fixture(scope="module")
def codec(rgb_bundle):
    return Codec(rgb_bundle, threads=1)


@pytest.fixture(scope="module")
def many():
    return smooth_images(100, 26, 20, 3)


def cheap(image_shape=(26, 20, 3)):
    """Return a ladder of WebP files and one of JPEG files."""
    ladders = general_ladders(image_shape)
    return [ladders[0], next(ladder for ladder in ladders if ladder.name == "WebP")]


def test_rgb_images_are_measured_in_both_packings(codec, many, monkeypatch):
    monkeypatch.setattr(module, "fit_pca_codecs", partial(fit_pca_codecs, steps=(90,)))
    done = evaluate(codec, many, many, ladders=cheap())
    assert done.codecs() == ["fmae-edge", "PCA", "JPEG", "WebP"]
    for point in done.points:
        assert point.images == 100
        assert point.bits_per_pixel == pytest.approx(8 * point.bytes_per_image / (26 * 20))
    sizes = [len(codec.compress(image, 9)) for image in many]
    (best,) = [p for p in done.points if (p.setting, p.packing) == ("quality 9", "single")]
    assert best.bytes_per_image == np.mean(sizes)
    assert done.levels("fmae-edge", "amortised") == pytest.approx(done.levels("fmae-edge", "single"), abs=0.1)


def test_fewer_images_than_an_atlas_has_are_measured_alone(codec, many, monkeypatch):
    monkeypatch.setattr(module, "fit_pca_codecs", partial(fit_pca_codecs, steps=(90,)))
    done = evaluate(codec, many, many[:7], ladders=[Ladder(cheap()[0].rungs[:2])])
    assert {(point.packing, point.images) for point in done.points} == {("single", 7)}
    with pytest.raises(ValueError, match="multiple"):
        evaluate(codec, many, np.concatenate([many, many[:1]]), ladders=cheap())


def test_a_ladder_is_climbed_until_it_is_above_the_bundle(codec, many, monkeypatch):
    monkeypatch.setattr(module, "fit_pca_codecs", lambda images: [])
    seen = []
    done = evaluate(codec, many, many[:3], on_progress=lambda *each: seen.append(each), ladders=cheap())
    top = max(point.quality.psnr_pooled for point in done.points if point.codec == "fmae-edge")
    for ladder in cheap():
        levels = [point.quality.psnr_pooled for point in done.points if point.codec == ladder.name]
        assert ladder.fewest <= len(levels) < len(ladder.rungs)
        assert levels[-1] >= top + 2 or len(levels) == ladder.fewest
        assert all(level < top + 2 for level in levels[ladder.fewest - 1 : -1])
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_ladder_ends_where_the_quality_no_longer_rises(codec, many, monkeypatch):
    monkeypatch.setattr(module, "fit_pca_codecs", lambda images: [])
    stuck = Ladder(tuple(replace(cheap()[0].rungs[0], setting=str(number)) for number in range(9)), fewest=3)
    done = evaluate(codec, many, many[:3], ladders=[stuck])
    assert [point.setting for point in done.points if point.codec == "JPEG"] == ["0", "1", "2"]


def test_pca_is_left_out_for_large_images(codec, many, monkeypatch):
    monkeypatch.setattr(module, "MAX_PCA_NUMBERS", 26 * 20 * 3 - 1)
    assert "PCA" not in evaluate(codec, many, many[:2], ladders=[]).codecs()


def test_the_best_subsampling_counts(codec, many, monkeypatch):
    monkeypatch.setattr(module, "fit_pca_codecs", lambda images: [])
    done = evaluate(codec, many, many[:3], ladders=general_ladders((26, 20, 3))[:3])
    points = done.curve("JPEG", "single").points
    measured = [(p.bytes_per_image, p.quality.psnr_pooled) for p in done.points if p.codec == "JPEG"]
    assert set(points) < set(measured)
    assert all(psnr > before for (_, psnr), (_, before) in zip(points[1:], points, strict=False))


def test_atlases_of_rgb_images():
    images = np.random.default_rng(0).integers(0, 256, (200, 5, 7, 3), np.uint8)
    atlases = to_atlases(images)
    assert atlases.shape == (2, 50, 70, 3)
    np.testing.assert_array_equal(atlases[1, 10:15, 21:28], images[100 + 23])
    np.testing.assert_array_equal(from_atlases(atlases), images)


@pytest.mark.parametrize("at_once", [1, 26 * 20 * 3 * 30, 1 << 30])
def test_chunks_do_not_change_the_result(many, at_once, monkeypatch):
    monkeypatch.setattr("fmae_edge.evaluate.rate_points._NUMBERS_AT_ONCE", at_once)
    images = np.concatenate([many, many[::-1]])

    def coarse(picture):
        return (picture // 16).tobytes()

    def decoder(*shape):
        return lambda file: np.frombuffer(file, np.uint8).reshape(shape) * 16

    expected = measure_quality(images / np.float32(255), (images // 16 * 16) / np.float32(255))
    for measure, shape in ((measure_single, (26, 20, 3)), (measure_amortised, (260, 200, 3))):
        point = measure(GeneralCodec("coarse", "-", coarse, decoder(*shape)), images)
        assert (point.images, point.bytes_per_image) == (200, 26 * 20 * 3)
        assert point.quality.psnr_pooled == pytest.approx(expected.psnr_pooled)
        assert point.quality.ssim == pytest.approx(expected.ssim)


def test_images_are_chosen_at_equal_distances():
    images = np.arange(100, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    assert with_at_most(images, 10**6) is images
    chosen = with_at_most(images, 34 * 64)[:, 0, 0]
    assert len(chosen) == 34
    assert (chosen[0], chosen[-1]) == (0, 99)
    assert set(np.diff(chosen.astype(int))) == {3}


OWN = {"data": {"name": "fashion-mnist"}}  # a folder may have this name


@pytest.mark.parametrize(
    ("recipe", "shape", "most", "expected"),
    [
        ({}, (10_000, 28, 28), None, 10_000),
        ({"data": {"name": "fashion-mnist", "is_data_set": True}}, (10_000, 28, 28), None, 10_000),
        (OWN, (10_000, 32, 32), None, 1900),
        (OWN, (10_000, 32, 32, 3), None, 1900),
        (OWN, (10_000, 32, 32, 3), 5000, 5000),
        (OWN, (10_000, 32, 32, 3), 5099, 5000),
        (OWN, (730, 32, 32), 1000, 700),
        (OWN, (10_000, 8, 8), None, 10_000),
        (OWN, (10_000, 256, 256, 3), None, 100),
        (OWN, (99, 32, 32), None, 99),
        (OWN, (120, 32, 32), 60, 60),
    ],
)
def test_the_number_of_images_follows_from_their_pixels(recipe, shape, most, expected):
    held_out = np.broadcast_to(np.uint8(0), shape)
    assert count_to_measure(recipe, held_out, most) == expected
