"""A codec for RGB images takes them as numpy and Pillow have them, and refuses everything else by name."""

import pickle

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec, InputError


@pytest.fixture(scope="module")
def codec(rgb_bundle):
    return Codec(rgb_bundle, threads=1)


def test_images_have_their_channels_last(codec, rgb_images):
    assert codec.manifest.image_shape == (26, 20, 3)
    assert "(26, 20, 3)" in repr(codec)
    latents = codec.encode(rgb_images)
    assert codec.encode(rgb_images[0]).shape == (12,)
    assert codec.decode(latents).shape == (12, 26, 20, 3)
    assert codec.decode(latents[0]).shape == (26, 20, 3)
    contents = list(codec.compress_iter(rgb_images))
    assert contents[3] == codec.compress(rgb_images[3])
    for image, content in zip(codec.decompress_iter(contents), contents, strict=True):
        np.testing.assert_array_equal(image, codec.decompress(content))
        assert image.shape == (26, 20, 3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(codec)).encode(rgb_images), latents)


def test_results_are_writable_and_change_with_no_later_call(codec, rgb_images):
    for number in (1, 5, 70):  # one image, one call to onnxruntime, several
        images = np.resize(rgb_images, (number, 26, 20, 3))
        latents = codec.encode(images)
        decoded = codec.decode(latents)
        kept = latents.copy(), decoded.copy()
        codec.decode(codec.encode(255 - images))
        np.testing.assert_array_equal(latents, kept[0])
        np.testing.assert_array_equal(decoded, kept[1])
        assert all(array.flags.writeable and array.flags.c_contiguous for array in (latents, decoded))


def test_every_channel_counts(codec, rgb_images):
    latent = codec.encode(rgb_images[0])
    for channel in range(3):
        changed = rgb_images[0].copy()
        changed[..., channel] = 255 - changed[..., channel]
        assert abs(codec.encode(changed) - latent).max() > 1e-3


def test_lists_floats_and_pillow_images_give_the_same(codec, rgb_images):
    expected = codec.encode(rgb_images)
    pillow = [Image.fromarray(image) for image in rgb_images]
    for same in (list(rgb_images), pillow, tuple(pillow), rgb_images.tolist()):
        np.testing.assert_array_equal(codec.encode(same), expected)
    assert codec.compress(pillow[0]) == codec.compress(rgb_images[0])
    np.testing.assert_allclose(codec.encode(rgb_images / 255), expected, atol=1e-2)
    many = [image for image in rgb_images for _ in range(60)]  # taken in parts
    np.testing.assert_array_equal(codec.encode(many), np.repeat(expected, 60, axis=0))


@pytest.mark.parametrize(
    ("mode", "advice"),
    [
        ("L", r'mode L; expected RGB: use image.convert\("RGB"\)'),
        ("RGBA", r'mode RGBA; expected RGB: use image.convert\("RGB"\)'),
        ("P", r'mode P; expected RGB: use image.convert\("RGB"\)'),
        ("YCbCr", r'mode YCbCr; expected RGB: use image.convert\("RGB"\)'),
        ("I", "more than 8 bits"),
    ],
)
def test_pillow_images_in_other_modes_are_refused(codec, mode, advice):
    image = Image.new("RGB", (20, 26)).convert("L" if mode == "I" else mode).convert(mode)
    for call in (codec.encode, codec.compress, lambda one: codec.encode([one, one])):
        with pytest.raises(InputError, match=advice):
            call(image)


@pytest.mark.parametrize(
    "shape", [(26, 20), (3, 26, 20), (12, 26, 20), (2, 3, 26, 20), (2, 20, 26, 3), (26, 20, 4)]
)
def test_other_shapes_are_refused(codec, shape):
    with pytest.raises(InputError, match=r"expected \(26, 20, 3\) for one image or \(N, 26, 20, 3\) for a batch"):
        codec.encode(np.zeros(shape, np.uint8))


def test_max_bytes_and_effort(codec, rgb_images):
    content = codec.compress_batch(rgb_images, 4)
    limited = codec.compress_batch(rgb_images, max_bytes=len(content))
    assert len(limited) <= len(content)
    assert codec.decompress(codec.compress(rgb_images[0], 3, effort=2)).shape == (26, 20, 3)
