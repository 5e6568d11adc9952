"""The round trip: decoded images are the encoded ones, as well as the model can reproduce them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmae_edge import Codec, InputError
from fmae_edge.measure.quality import mse_per_image, psnr
from fmae_edge.runtime.engine.graphs import PRECISIONS
from fmae_edge.runtime.latents import LATENT_DTYPES
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dtype", LATENT_DTYPES)
def test_real_images_come_back_with_little_error(images, precision, dtype):
    codec = Codec(precision=precision)
    latents = codec.encode(images, dtype=dtype)
    assert latents.shape == (256, 64)
    assert latents.dtype == dtype
    decoded = codec.decode(latents)
    assert decoded.shape == images.shape
    assert decoded.dtype == np.uint8
    error = mse_per_image(images / 255, decoded / 255).mean()
    assert psnr(error) > 22.5  # PCA with 64 components: 20.07 dB; noise or a wrong layout: under 12


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_image_is_a_batch_of_one(images, precision):
    codec = Codec(precision=precision)
    latent = codec.encode(images[3])
    assert latent.shape == (64,)
    np.testing.assert_allclose(latent, codec.encode(images)[3], atol=2e-5 * np.ptp(latent))
    decoded = codec.decode(latent)
    assert decoded.shape == (28, 28)
    assert np.abs(decoded.astype(int) - codec.decode(codec.encode(images))[3]).max() <= 1


def test_float_pixels_are_uint8_pixels_over_255(images):
    codec = Codec()
    expected = codec.encode(images)
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(codec.encode((images / np.float32(255)).astype(dtype)), expected)


def test_every_shape_of_the_same_images_gives_the_same_latents(images):
    codec = Codec()
    expected = codec.encode(images[:5])
    strided = np.repeat(images[:5], 2, axis=2)[:, :, ::2]
    assert not strided.flags.c_contiguous
    for same in (images[:5, None], list(images[:5]), np.asfortranarray(images[:5]), strided):
        np.testing.assert_array_equal(codec.encode(same), expected)


def test_empty_batch():
    codec = Codec()
    latents = codec.encode(np.empty((0, 28, 28), np.uint8))
    assert latents.shape == (0, 64)
    assert codec.decode(latents).shape == (0, 28, 28)


def test_batch_size_changes_only_rounding(images):
    codec = Codec(precision="fp32")
    many = codec.encode(np.concatenate([images] * 3))
    assert len(many) == 768
    np.testing.assert_allclose(many[512:], many[:256], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (28, 28)))
def test_any_image_is_coded(image):
    decoded = _CODEC.decode(_CODEC.encode(image, dtype="int8"))
    assert decoded.shape == (28, 28)


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, (64,), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_any_finite_latent_is_decoded(latent):
    assert _CODEC.decode(latent).shape == (28, 28)


@pytest.mark.parametrize("scale", [1e30, 3.4e38])
def test_latents_that_overflow_are_refused_or_decoded(scale):
    latents = np.full((2, 64), scale, np.float32)
    assert _CODEC.decode(latents).shape == (2, 28, 28)  # the int8 graphs clip them
    try:
        assert Codec(precision="fp32").decode(latents).shape == (2, 28, 28)
    except InputError as error:
        assert "too large" in str(error)


_CODEC = Codec()


def test_golden_latents():
    """The shipped float32 graphs compute the same latents and pixels as on the day of their export."""
    golden = np.load(REPOSITORY / "spec/golden/default-bundle.npz")
    codec = Codec(precision="fp32")
    latents = codec.encode(golden["images"])
    np.testing.assert_allclose(latents, golden["latents"], atol=1e-4 * np.ptp(golden["latents"]))
    difference = codec.decode(golden["latents"]).astype(int) - golden["decoded"]
    assert np.abs(difference).max() <= 1
    symbols = codec.encode(golden["images"], dtype="int8").astype(int)
    assert np.abs(symbols - golden["symbols"]).max() <= 1
