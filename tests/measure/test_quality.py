"""MSE, PSNR and SSIM agree with scikit-image, and with values computed by hand."""

import dataclasses
import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fmae_edge.measure.quality import (
    contrast_to_error,
    measure_each,
    measure_quality,
    mse_per_image,
    pooled_psnr,
    psnr,
    psnr_per_image,
    ssim_per_image,
)


@pytest.fixture
def noisy(images):
    rng = np.random.default_rng(0)
    return np.clip(images / 255 + rng.normal(0, 0.1, images.shape), 0, 1)


def test_ssim_is_that_of_scikit_image(images, noisy):
    found = ssim_per_image(images / 255, noisy)
    assert found.shape == (256,)
    expected = [structural_similarity(x, y, data_range=1.0) for x, y in zip(images / 255, noisy, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_ssim_of_other_shapes():
    rng = np.random.default_rng(1)
    x, y = rng.random((2, 3, 9, 31))
    expected = [structural_similarity(a, b, data_range=1.0) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ssim_per_image(x, y), expected, atol=1e-9)
    with pytest.raises(ValueError, match="7x7"):
        ssim_per_image(x[:, :6], y[:, :6])


def test_the_ssim_of_rgb_is_the_mean_over_its_channels():
    x, y = np.random.default_rng(1).random((2, 3, 9, 31, 3))
    expected = [structural_similarity(a, b, data_range=1.0, channel_axis=2) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ssim_per_image(x, y), expected, atol=1e-9)
    quality = measure_quality(x, y)
    assert quality.mse == pytest.approx(np.square(x - y).mean())
    assert quality.ssim == pytest.approx(np.mean(expected))
    with pytest.raises(ValueError, match="7x7"):
        ssim_per_image(x[:, :6], y[:, :6])


def test_large_images_are_measured_in_parts(monkeypatch):
    x, y = np.random.default_rng(1).random((2, 5, 12, 9, 3))
    whole = ssim_per_image(x, y)
    errors = mse_per_image(x, y)
    monkeypatch.setattr("fmae_edge.measure.quality._NUMBERS_AT_ONCE", 700)
    np.testing.assert_array_equal(ssim_per_image(x, y), whole)
    np.testing.assert_array_equal(mse_per_image(x, y), errors)


def test_levels_are_measured_as_pixels_in_0_to_1(images):
    originals, others = images[:20], images[20:40]
    expected = measure_quality(originals / np.float32(255), others / np.float32(255))
    assert measure_quality(originals, others) == expected
    assert pooled_psnr(originals, others) == expected.psnr_pooled


def test_psnr_is_that_of_scikit_image(images, noisy):
    quality = measure_quality(images / 255, noisy)
    pairs = list(zip(images / 255, noisy, strict=True))
    each = [peak_signal_noise_ratio(x, y, data_range=1.0) for x, y in pairs]
    assert quality.psnr_per_image == pytest.approx(np.mean(each))
    assert quality.psnr_pooled == pytest.approx(peak_signal_noise_ratio(images / 255, noisy, data_range=1.0))
    assert quality.psnr_pooled < quality.psnr_per_image


def test_values_computed_by_hand():
    black, gray = np.zeros((2, 28, 28)), np.full((2, 28, 28), 0.5)
    gray[1] = 0.1
    np.testing.assert_allclose(mse_per_image(black, gray), [0.25, 0.01])
    assert psnr(0.01) == pytest.approx(20)
    quality = measure_quality(black, gray)
    assert quality.mse == pytest.approx(0.13)
    assert quality.psnr_pooled == pytest.approx(-10 * math.log10(0.13))
    assert quality.psnr_per_image == pytest.approx((-10 * math.log10(0.25) + 20) / 2)


def test_identical_images():
    quality = measure_quality(np.ones((1, 28, 28)), np.ones((1, 28, 28)))
    assert (quality.mse, quality.psnr_pooled, quality.psnr_per_image) == (0, math.inf, math.inf)
    assert quality.ssim == pytest.approx(1)


def test_differences_of_uint8_images_do_not_wrap_around():
    dark, light = np.zeros((1, 8, 8), np.uint8), np.full((1, 8, 8), 200, np.uint8)
    assert mse_per_image(dark, light)[0] == 200**2


def test_each_image_is_measured_by_itself(images):
    originals, others = images[:4], images[4:8]
    for index, quality in enumerate(measure_each(originals, others)):
        one = slice(index, index + 1)
        expected = measure_quality(originals[one] / 255, others[one] / 255)
        assert dataclasses.astuple(quality) == pytest.approx(dataclasses.astuple(expected), rel=1e-5)


def test_contrast_to_error_by_hand():
    halves = np.zeros((3, 4, 4), np.uint8)
    halves[:, 2:] = 40  # a variance of 400
    decoded = halves.copy()
    decoded[0] += 10  # an error of 100
    decoded[2] = 0  # no contrast is left: an error of 800
    expected = [10 * math.log10(464 / 100), math.inf, 10 * math.log10(464 / 800)]
    np.testing.assert_allclose(contrast_to_error(halves, decoded), expected)
    flat = np.full((1, 4, 4), 7, np.uint8)
    assert contrast_to_error(flat, flat + np.uint8(8)) == 0  # 64 of variance at least


def test_the_psnr_of_each_image(images):
    changed = images[:5].copy()
    changed[1:] ^= 3
    expected = [each.psnr_pooled for each in measure_each(images[:5], changed)]
    assert psnr_per_image(images[:5], changed) == expected
    assert expected[0] == math.inf
