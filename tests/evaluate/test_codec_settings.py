"""RGB has the best settings of each codec: none is worse than the defaults of Pillow."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from fmae_edge.evaluate.bjontegaard import pareto_front
from fmae_edge.evaluate.codec_settings import general_ladders
from fmae_edge.evaluate.evaluation import bytes_at
from fmae_edge.evaluate.general_codecs import lossy_webp, open_rgb
from fmae_edge.measure.quality import pooled_psnr
from tests.random_bundle import smooth_images

FEW = 2
LADDERS = general_ladders((24, 40, 3))


@pytest.fixture(scope="module")
def colours():
    """Flat shapes with edges on a gradient, (2, 24, 40, 3)."""
    images = smooth_images(FEW, 24, 40, 3) // 2
    images[:, 4:14, 6:22] = (200, 30, 40)
    images[:, 10:20, 18:34] = (30, 60, 220)
    return images


def measured(codecs, images):
    """Return (bytes per image, pooled PSNR) of each (encode, decode)."""
    points = []
    for encode, decode in codecs:
        files = [encode(image) for image in images]
        decoded = np.stack([decode(file) for file in files])
        points.append((sum(map(len, files)) / len(images), pooled_psnr(images / 255, decoded / 255)))
    return points


def test_lossless_settings_keep_rgb_exactly(colours):
    noise = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    for ladder in LADDERS:
        for codec in ladder.rungs:
            if codec.lossless:
                for image in (*colours, noise):
                    np.testing.assert_array_equal(codec.decode(codec.encode(image)), image)


def test_each_ladder_begins_low_and_rises(colours):
    assert {ladder.name for ladder in LADDERS} == {"PNG", "JPEG", "WebP", "AVIF", "JPEG XL"}
    for ladder in LADDERS:
        if not ladder.lossless:
            ends = ladder.rungs[:2] + ladder.rungs[-1:]
            points = measured([(codec.encode, codec.decode) for codec in ends], colours)
            assert all(one[1] <= other[1] for one, other in pairwise(points)), (ladder.rungs[0].setting, points)


def test_settings_have_names_of_their_own_that_say_the_subsampling():
    named = [(codec.name, codec.setting) for ladder in LADDERS for codec in ladder.rungs]
    assert len(set(named)) == len(named)
    for name in ("JPEG", "AVIF"):
        settings = {setting.rpartition(", ")[2] for each, setting in named if each == name}
        assert settings == {"4:4:4", "4:2:0"}


def test_sharp_yuv_is_nearer_to_the_image(colours):
    (_, plain), (_, sharp) = measured(
        [(lambda image, each=each: lossy_webp(60, each, image), open_rgb) for each in (False, True)], colours
    )
    assert sharp > plain + 0.1


@pytest.mark.parametrize(
    ("name", "qualities"), [("JPEG", (10, 40, 80)), ("WEBP", (5, 40, 80)), ("AVIF", (10, 30))]
)
def test_no_codec_is_worse_than_with_the_defaults_of_pillow(name, qualities, colours):
    def encoder(quality):
        def encode(image):
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, name, quality=quality)
            return stream.getvalue()

        return encode

    codecs = [codec for ladder in LADDERS if ladder.name.upper() == name for codec in ladder.rungs]
    ours = pareto_front(measured([(c.encode, c.decode) for c in codecs if not c.lossless], colours))
    for size, psnr in measured([(encoder(quality), open_rgb) for quality in qualities], colours):
        at = bytes_at(ours, psnr)
        assert at is not None
        assert at <= size * 1.01, (psnr, at, size)
