"""Lossless codecs return the same image; lossy codecs return a better image for more bytes."""

import pickle
from collections import defaultdict

import numpy as np
import pytest

from fmae_edge.measure.quality import pooled_psnr
from tests.evaluate.gray_settings import LOSSLESS_CODECS, LOSSY_CODECS

FEW = 3

lossy = pytest.mark.parametrize("codec", LOSSY_CODECS, ids=lambda codec: f"{codec.name} {codec.setting}")
lossless = pytest.mark.parametrize("codec", LOSSLESS_CODECS, ids=lambda codec: codec.name)

SIGNATURES = {
    "PNG": (0, b"\x89PNG"),
    "JPEG": (0, b"\xff\xd8\xff"),
    "WebP": (8, b"WEBP"),
    "AVIF": (4, b"ftypavif"),
    "JPEG XL": (0, b"\xff\x0a"),  # a bare codestream; a container would start with zeros
}


@pytest.fixture(scope="module")
def measured(images):
    """Bytes per image and pooled PSNR of the settings of each codec, in their order."""
    found = defaultdict(list)
    for codec in LOSSY_CODECS:
        files = [codec.encode(image) for image in images[:FEW]]
        decoded = np.stack([codec.decode(file) for file in files])
        quality = pooled_psnr(images[:FEW] / 255, decoded / 255)
        found[codec.name].append((sum(map(len, files)) / FEW, quality))
    return found


@lossless
def test_lossless_is_exact(codec, images):
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    for image in (*images[:8], noise, np.zeros((28, 28), np.uint8), images[:2].reshape(56, 28)):
        decoded = codec.decode(codec.encode(image))
        assert (decoded.dtype, decoded.shape) == (np.uint8, image.shape)
        np.testing.assert_array_equal(decoded, image)


@lossy
def test_files_have_the_right_format_and_shape(codec, images):
    image = images[:2].reshape(56, 28)
    file = codec.encode(image)
    at, signature = SIGNATURES[codec.name]
    assert file[at : at + len(signature)] == signature
    decoded = codec.decode(file)
    assert (decoded.dtype, decoded.shape) == (np.uint8, image.shape)
    assert not codec.lossless


@pytest.mark.parametrize("name", ["JPEG", "WebP", "AVIF", "JPEG XL"])
def test_settings_rise_in_bytes_and_quality(name, measured):
    sizes, psnrs = zip(*measured[name], strict=True)
    assert list(sizes) == sorted(set(sizes))
    assert list(psnrs) == sorted(set(psnrs))
    assert psnrs[0] < 22
    assert psnrs[-1] > 27


def test_grayscale_stays_grayscale(images):
    """JPEG files have one component in SOF0 or SOF2, PNG files have colour type 0."""
    jpeg = next(codec for codec in LOSSY_CODECS if codec.name == "JPEG").encode(images[0])
    frame = max(jpeg.find(b"\xff\xc0\x00"), jpeg.find(b"\xff\xc2\x00"))
    assert jpeg[frame + 9] == 1
    png = next(codec for codec in LOSSLESS_CODECS if codec.name == "PNG").encode(images[0])
    assert png[25] == 0


def test_codecs_can_be_sent_to_other_processes(images):
    for codec in (*LOSSY_CODECS, *LOSSLESS_CODECS):
        copy = pickle.loads(pickle.dumps(codec))
        assert (copy.name, copy.setting) == (codec.name, codec.setting)
    assert copy.encode(images[0]) == codec.encode(images[0])
