"""Rates count complete files, quality is that of decoded pixels, and cutting an atlas returns its images."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from fmae_edge.evaluate.general_codecs import GeneralCodec
from fmae_edge.evaluate.pca_codec import fit_pca_codecs
from fmae_edge.evaluate.rate_points import from_atlases, measure_amortised, measure_pca, measure_single, to_atlases
from fmae_edge.measure.quality import measure_quality
from tests.evaluate.gray_settings import LOSSLESS_CODECS, LOSSY_CODECS

WEBP = next(codec for codec in LOSSY_CODECS if (codec.name, codec.setting) == ("WebP", "quality 5"))
PNG = LOSSLESS_CODECS[0]


def raw(header_bytes, image):
    return bytes(header_bytes) + image.tobytes()


def parsed(header_bytes, side, file):
    return np.frombuffer(file, np.uint8, offset=header_bytes).reshape(side, side)


def test_atlas_round_trip():
    images = np.random.default_rng(0).integers(0, 256, (300, 5, 7), np.uint8)
    atlases = to_atlases(images)
    assert atlases.shape == (3, 50, 70)
    np.testing.assert_array_equal(atlases[0, :5, :7], images[0])
    np.testing.assert_array_equal(atlases[1, 10:15, 21:28], images[100 + 23])  # row 2, column 3
    np.testing.assert_array_equal(from_atlases(atlases), images)
    with pytest.raises(ValueError, match="256 is not a multiple"):
        to_atlases(np.zeros((256, 4, 4), np.uint8))


def test_bytes_are_those_of_complete_files_with_headers(images):
    header = 50
    single = GeneralCodec("raw", "-", partial(raw, header), partial(parsed, header, 28), lossless=True)
    point = measure_single(single, images[:200])
    assert (point.codec, point.packing, point.images) == ("raw", "single", 200)
    assert point.bytes_per_image == 784 + header
    assert point.bits_per_pixel == pytest.approx(8 * (784 + header) / 784)
    atlas = replace(single, decode=partial(parsed, header, 280))
    point = measure_amortised(atlas, images[:200])
    assert (point.packing, point.images) == ("amortised", 200)
    assert point.bytes_per_image == 784 + header / 100
    assert point.encode_ms > 0
    assert point.decode_ms > 0


def test_quality_is_that_of_the_decoded_pixels(images):
    point = measure_single(WEBP, images[:20])
    decoded = np.stack([WEBP.decode(WEBP.encode(image)) for image in images[:20]])
    expected = measure_quality(images[:20] / 255, decoded / 255)
    assert point.quality.psnr_pooled == pytest.approx(expected.psnr_pooled, abs=1e-4)
    assert point.quality.ssim == pytest.approx(expected.ssim, abs=1e-4)


def test_sharing_a_header_saves_bytes_at_equal_quality(images):
    single, amortised = measure_single(WEBP, images[:200]), measure_amortised(WEBP, images[:200])
    assert amortised.bytes_per_image < 0.7 * single.bytes_per_image
    assert amortised.quality.psnr_pooled == pytest.approx(single.quality.psnr_pooled, abs=0.3)


def test_lossless_is_verified(images):
    assert measure_single(PNG, images[:5]).quality.mse == 0
    with pytest.raises(ValueError, match="WebP, quality 5: the decoded pixels differ from the original"):
        measure_single(replace(WEBP, lossless=True), images[:5])


def test_records_are_json(images):
    record = json.loads(json.dumps(measure_single(PNG, images[:5]).to_record(), allow_nan=False))
    assert record["quality"]["psnr_pooled"] is None
    assert record["quality"]["ssim"] == pytest.approx(1)
    record = measure_single(WEBP, images[:5]).to_record()
    assert record["bytes_per_image"] > 50
    assert 20 < record["quality"]["psnr_pooled"] < 35


def test_pca_has_the_overhead_of_our_own_files(images):
    (codec,) = fit_pca_codecs(images, [100])
    payload = np.mean([len(one) for one in codec.encode(images)])
    single, amortised = measure_pca(codec, images)
    assert (single.packing, amortised.packing) == ("single", "amortised")
    assert single.bytes_per_image == pytest.approx(payload + 7)
    assert amortised.bytes_per_image == pytest.approx(payload + 1)
    assert single.quality == amortised.quality
    expected = measure_quality(images / 255, codec.decode(codec.encode(images)) / 255)
    assert single.quality.psnr_pooled == pytest.approx(expected.psnr_pooled, abs=1e-4)
