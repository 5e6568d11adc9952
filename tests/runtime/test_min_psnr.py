"""With min_psnr, every decoded image has at least that PSNR: at the lowest quality that reaches it, or exactly."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmae_edge import Codec, InputError
from fmae_edge.measure.quality import measure_each
from fmae_edge.runtime.format.fmae_file import pack_many, unpack
from fmae_edge.runtime.format.lossless import encode_lossless
from fmae_edge.runtime.latent_coder import LatentCoder

CODEC = Codec(threads=1)
ID = CODEC.manifest.bundle_id
LEVELS = range(1, 10)


@pytest.fixture
def without_search(monkeypatch):
    """Skip the search of effort 9, which takes seconds: images go from one pass to exact storage."""
    monkeypatch.setattr("fmae_edge.runtime.min_psnr.MAX_EFFORT", 0)


def strange_images():
    """Return images unlike clothing: noise, flat ones, a chequerboard, a ramp, a single bright pixel."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 28, 28))
    sums = np.indices((28, 28)).sum(axis=0)
    dot = np.zeros((28, 28))
    dot[9, 9] = 255
    flat = [np.full((28, 28), level) for level in (0, 128, 255)]
    return np.stack([*noise, *flat, sums % 2 * 255, sums * 4, dot]).astype(np.uint8)


def psnrs(images, decoded):
    return np.array([each.psnr_pooled for each in measure_each(images, decoded)])


@pytest.mark.parametrize("min_psnr", [12, 22.5, np.float32(30), math.inf])
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_every_image_reaches_it(images, min_psnr, precision, without_search):
    codec = Codec(precision=precision, threads=1)
    some = np.concatenate([images[:30], strange_images()])
    stack = codec.compress_batch(some, min_psnr=min_psnr)
    decoded = codec.decompress(stack)
    assert psnrs(some, decoded).min() >= min_psnr - 1e-9
    files = list(codec.compress_iter(some, min_psnr=min_psnr))
    np.testing.assert_array_equal(np.stack(list(codec.decompress_iter(files))), decoded)
    for number in (0, 7, 31, len(some) - 1):
        np.testing.assert_array_equal(codec.decompress(stack, number), decoded[number])
        np.testing.assert_array_equal(codec.decompress(files[number]), decoded[number])
        assert codec.compress(some[number], min_psnr=min_psnr) == files[number]


@settings(max_examples=20, deadline=None)
@given(
    arrays(np.uint8, (28, 28), elements=st.integers(0, 255)),
    st.floats(5, 80) | st.just(math.inf),
)
def test_any_image_reaches_it(image, min_psnr):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fmae_edge.runtime.min_psnr.MAX_EFFORT", 0)
        content = CODEC.compress(image, min_psnr=min_psnr)
    assert psnrs(image[None], CODEC.decompress_batch(content))[0] >= min_psnr - 1e-9


def test_it_is_the_lowest_quality_that_does(images, without_search):
    some = images[:20]
    reached = [psnrs(some, CODEC.decompress(CODEC.compress_batch(some, quality))) for quality in LEVELS]
    for content, image, each in zip(
        CODEC.compress_iter(some, min_psnr=23), some, np.transpose(reached), strict=True
    ):
        first = next((quality for quality, psnr in zip(LEVELS, each, strict=True) if psnr >= 23), 0)
        assert CODEC.inspect(content).quality == first
        if first:
            assert content == CODEC.compress(image, first)
    qualities = set(CODEC.inspect(CODEC.compress_batch(some, min_psnr=23)).qualities)
    assert {0, 1} < qualities  # else most of this would test nothing


def test_more_effort_comes_before_exact_storage(images):
    """A PSNR just above the best of one pass is reached by the search, in far fewer bytes."""
    image = images[3]
    best = max(psnrs(image[None], CODEC.decompress_batch(CODEC.compress(image, q)))[0] for q in LEVELS)
    content = CODEC.compress(image, min_psnr=best + 0.1)
    info = CODEC.inspect(content)
    assert info.format_version == 1
    assert content == CODEC.compress(image, info.quality, effort=9)
    assert psnrs(image[None], CODEC.decompress_batch(content))[0] >= best + 0.1


def test_the_search_uses_the_lowest_of_its_qualities_that_reaches_it(images):
    """Asked for the most that effort 9 gives an image, which is not always at quality 9, and for a little less."""
    best_qualities = set()
    for image in images[:2]:
        searched = [CODEC.compress(image, quality, effort=9) for quality in LEVELS]
        reached = [psnrs(image[None], CODEC.decompress_batch(content))[0] for content in searched]
        best = int(np.argmax(reached))
        assert CODEC.compress(image, min_psnr=reached[best] - 1e-6) == searched[best]
        assert max(reached[:5]) < reached[5]  # quality 6, which one pass does not reach
        assert CODEC.compress(image, min_psnr=reached[5] - 1e-6) == searched[5]
        best_qualities.add(LEVELS[best])
    assert best_qualities == {8, 9}  # else one half of the search would not be tested


def test_images_out_of_reach_are_searched_at_one_quality_only(monkeypatch):
    """A search takes tens of milliseconds per quality."""
    tried = []
    quantise = LatentCoder.quantise

    def count(self, latents, images, quality, effort):
        tried.append((quality, effort, len(images)))
        return quantise(self, latents, images, quality, 0)

    monkeypatch.setattr(LatentCoder, "quantise", count)
    content = CODEC.compress_batch(strange_images(), min_psnr=60)
    assert set(CODEC.inspect(content).qualities) == {0}
    assert len([effort for _, effort, _ in tried if effort]) == 1


def test_files_are_of_the_lowest_version_that_holds_them(images, without_search):
    blank = np.zeros((2, 28, 28), np.uint8)
    alike = CODEC.compress_batch(images[:8], min_psnr=5)
    assert alike == CODEC.compress_batch(images[:8], quality=1)
    assert CODEC.compress_batch(images[:0], min_psnr=40) == CODEC.compress_batch(images[:0])
    for names, expected in ((None, None), (["a/b", "c"], ("a/b", "c"))):
        info = CODEC.inspect(CODEC.compress_batch(blank, names=names, min_psnr=70))
        assert (info.format_version, info.quality, info.qualities, info.names) == (3, 0, (0, 0), expected)
    one = CODEC.inspect(CODEC.compress(blank[0], min_psnr=70))
    assert (one.format_version, one.quality, one.qualities, one.single) == (3, 0, (0,), True)
    assert one.file_bytes == 7 + len(encode_lossless(blank[0]))
    assert CODEC.inspect(CODEC.compress(images[0])).qualities == (5,)


def test_pixels_in_0_to_1_are_compared_and_stored_as_levels(images, without_search):
    for min_psnr in (20, 40):
        assert CODEC.compress(images[0] / 255, min_psnr=min_psnr) == CODEC.compress(images[0], min_psnr=min_psnr)


@pytest.mark.parametrize("value", [0, -1, math.nan, -math.inf, True, "30", None, 1j, [30], np.array([30.0])])
def test_other_values_are_refused(images, value):
    if value is None:  # the default
        assert CODEC.compress(images[0], min_psnr=None) == CODEC.compress(images[0])
        return
    with pytest.raises(InputError, match="min_psnr is .*; expected a number of dB above 0"):
        CODEC.compress(images[0], min_psnr=value)
    with pytest.raises(InputError, match="min_psnr"):
        CODEC.compress_iter(images, min_psnr=value)  # before the first image is read


def test_a_very_large_integer_is_as_good_as_infinity(images):
    assert CODEC.compress(images[0], min_psnr=10**400) == CODEC.compress(images[0], min_psnr=math.inf)


@pytest.mark.parametrize(("option", "other"), [("quality", "a quality"), ("max_bytes", "a limit of bytes")])
def test_options_that_choose_the_quality_exclude_each_other(images, option, other):
    for call in (CODEC.compress, lambda image, **options: CODEC.compress_batch(image[None], **options)):
        with pytest.raises(InputError, match=f"min_psnr chooses the quality; use it or {other}, not both"):
            call(images[0], min_psnr=20, **{option: 5})


def test_exact_images_have_no_symbols(images):
    contents = (
        CODEC.compress(images[0], min_psnr=math.inf),
        CODEC.compress_batch(images[:2], min_psnr=math.inf),
        CODEC.compress_batch([images[0], strange_images()[0]], min_psnr=12),
    )
    for content in contents:
        with pytest.raises(InputError, match="has no symbols of one quality"):
            CODEC.symbols(content)


def test_payloads_that_no_writer_makes_are_refused(images):
    longest = 1 + 28 * 28 + 1
    for payloads in ([bytes(longest + 1)], [b"\x05" + bytes(4 * 64 + 2)], [b"\x00", b"\x01" + bytes(600)]):
        with pytest.raises(InputError, match="corrupted: a payload has .* more than one image can take"):
            CODEC.parse(pack_many(payloads, 0, ID))
    CODEC.parse(pack_many([bytes(longest), b"\x05" + bytes(4 * 64 + 1)], 0, ID))
    for payloads in ([b""], [b"\x01", b""], [b"\x0a"], [b"\x01", b"\xff"]):
        with pytest.raises(InputError, match="corrupted: an image has no quality"):
            unpack(pack_many(payloads, 0, ID), ID)


def test_images_before_an_invalid_one_are_decoded(images):
    valid = [CODEC.compress(image) for image in images[:3]]
    broken = pack_many([b"\x05", b"\x00\xff", b"\x05"], 0, ID)
    decoded = CODEC.decompress_iter([*valid, broken, valid[0]])
    assert len([next(decoded) for _ in range(4)]) == 4
    with pytest.raises(InputError, match="stored in a way that the format does not define"):
        next(decoded)


def test_parsed_files_can_be_pickled(images):
    import pickle

    content = CODEC.compress_batch([images[0], strange_images()[0]], min_psnr=12)
    file = pickle.loads(pickle.dumps(CODEC.parse(content)))
    np.testing.assert_array_equal(CODEC.decompress(file), CODEC.decompress(content))
    assert file.qualities.tolist() == list(CODEC.inspect(content).qualities)


def test_rgb_images_come_back_exactly(rgb_bundle, rgb_images):
    codec = Codec(rgb_bundle)
    content = codec.compress_batch(rgb_images[:5], min_psnr=math.inf)
    np.testing.assert_array_equal(codec.decompress(content), rgb_images[:5])
    np.testing.assert_array_equal(codec.decompress(codec.compress(rgb_images[6], min_psnr=99)), rgb_images[6])
