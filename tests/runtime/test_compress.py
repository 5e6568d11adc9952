"""Codec.compress and decompress: images to .fmae files and back."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fmae_edge import BundleError, Codec, InputError
from fmae_edge.measure.quality import pooled_psnr
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME
from fmae_edge.runtime.engine.graphs import PRECISIONS
from fmae_edge.runtime.entropy import symbol_coder
from fmae_edge.runtime.format.fmae_file import pack_many, unpack
from tests.manifest_changes import rewrite

CODEC = Codec()


def psnr_of(content, images):
    return pooled_psnr(images / 255, CODEC.decompress(content) / 255)


def strange_images():
    """Return images unlike the training set: constant, noise, a chequerboard, the gradient of a photo."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 28, 28))
    chequer = np.indices((28, 28)).sum(axis=0) % 2 * 255
    gradient = np.add.outer(np.arange(28), np.arange(28)) * 4
    return np.stack([np.zeros((28, 28)), np.full((28, 28), 255), *noise, chequer, gradient]).astype(np.uint8)


def test_one_image_comes_back(images):
    for image in (*images[:5], *strange_images()):
        decoded = CODEC.decompress(CODEC.compress(image))
        assert decoded.shape == (28, 28)
        assert decoded.dtype == np.uint8


def test_a_stack_decodes_like_its_single_images(images):
    stack = np.concatenate([images[:20], strange_images()])
    content = CODEC.compress_batch(stack, quality=6)
    decoded = CODEC.decompress(content)
    assert decoded.shape == stack.shape
    for k in (0, 7, len(stack) - 1):
        np.testing.assert_allclose(CODEC.decompress(content, k).astype(int), decoded[k], atol=1)
    one = CODEC.decompress(CODEC.compress(stack[3], quality=6))
    assert np.abs(one.astype(int) - decoded[3]).mean() < 1


def test_one_of_a_stack_is_decoded_without_the_others(images, monkeypatch):
    content = CODEC.compress_batch(images[:50])
    decoded = []

    def decode_one(prior, payload, *rest):
        decoded.append(payload)
        return unchanged(prior, payload, *rest)

    unchanged = symbol_coder._decode_one
    monkeypatch.setattr(symbol_coder, "_decode_one", decode_one)
    monkeypatch.setattr(symbol_coder, "_decode_many", None)
    CODEC.decompress(content, 30)
    assert decoded == [unpack(content, CODEC.manifest.bundle_id).payloads[30]]


def test_more_images_than_a_file_holds_are_refused_before_they_are_coded(monkeypatch):
    monkeypatch.setattr("fmae_edge.runtime.fmae_writer.MAX_IMAGES", 10)
    monkeypatch.setattr(CODEC._coder, "_graphs", None)
    with pytest.raises(InputError, match="a file holds at most 10 images, got 11"):
        CODEC.compress_batch(np.zeros((11, 28, 28), np.uint8))


def test_stacks_of_one_image_and_of_zero_images():
    for count in (0, 1):
        images = np.zeros((count, 28, 28), np.uint8)
        assert CODEC.decompress(CODEC.compress_batch(images)).shape == (count, 28, 28)


def test_bytes_and_quality_rise_together(images):
    sizes = [len(CODEC.compress_batch(images, quality)) for quality in range(1, 10)]
    psnrs = [psnr_of(CODEC.compress_batch(images, quality), images) for quality in range(1, 10)]
    assert sizes == sorted(sizes)
    assert psnrs == sorted(psnrs)
    assert sizes[0] / len(images) < 12
    assert sizes[-1] / len(images) > 32
    assert psnrs[4] > 22.0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_symbols_of_a_file_do_not_depend_on_graphs_or_threads(images, precision):
    content = CODEC.compress_batch(images)
    expected, pixels = CODEC.symbols(content), CODEC.decompress(content).astype(int)
    for threads in (1, 2):
        codec = Codec(precision=precision, threads=threads)
        decoded = codec.decompress(content)  # the graphs have run
        np.testing.assert_array_equal(codec.symbols(content), expected)
        assert np.abs(decoded - pixels).mean() < 2


def test_effort_costs_less_for_error_and_bits_together(images):
    some = images[:24]
    cost = CODEC.manifest.qualities.bit_costs[3]

    def cost_of(content):
        file = unpack(content, CODEC.manifest.bundle_id)
        bits = 8 * sum(map(len, file.payloads)) / len(some)
        return np.square((some - CODEC.decompress(content).astype(float)) / 255).mean() + cost * bits

    costs = [cost_of(CODEC.compress_batch(some, 4, effort)) for effort in (0, 1, 3)]
    assert costs[0] > costs[1] >= costs[2]
    assert costs[2] < 0.93 * costs[0]


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0},
        {"quality": 10},
        {"quality": 2.0},
        {"quality": True},
        {"effort": 10},
        {"effort": -1},
        {"max_bytes": 0},
        {"max_bytes": "20"},
    ],
)
def test_options_out_of_range_are_refused(images, options):
    with pytest.raises(InputError, match=next(iter(options))):
        CODEC.compress(images[0], **options)


def test_one_and_many_are_not_confused(images):
    with pytest.raises(InputError, match="compress_batch"):
        CODEC.compress(images[:2])
    with pytest.raises(InputError, match="compress for one"):
        CODEC.compress_batch(images[0])
    content = CODEC.compress_batch(images[:2])
    for index in (2, -1, True, "0"):
        with pytest.raises(InputError, match="its 2 images are numbered 0 to 1|expected an integer"):
            CODEC.decompress(content, index)


def test_a_payload_longer_than_any_is_refused(images):
    content = pack_many([bytes(4 * 64 + 2), b""], 5, CODEC.manifest.bundle_id)
    with pytest.raises(InputError, match="a payload has 258 bytes, more than"):
        CODEC.decompress(content)


def test_numpy_integers_are_integers_and_other_content_is_refused(images):
    content = CODEC.compress(images[0], quality=np.int64(3), max_bytes=None)
    assert content == CODEC.compress(images[0], 3)
    for wrong in (None, "abc", 5):
        with pytest.raises(InputError, match="expected the bytes of a .fmae file, got"):
            CODEC.decompress(wrong)


def test_many_threads_share_a_codec(images):
    codec = Codec()
    expected = [codec.compress(image) for image in images[:32]]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(codec.compress, images[:32])) == expected


def test_names_come_back(images):
    assert CODEC.names(CODEC.compress_batch(images[:2], names=["a", "b"])) == ("a", "b")
    assert CODEC.names(CODEC.compress_batch(images[:2])) is None
    with pytest.raises(InputError, match="list of 2 names"):
        CODEC.compress_batch(images[:2], names=["a"])
    for wrong in (5, iter("ab"), {"a": 1, "b": 2}, "ab"):
        for options in ({}, {"max_bytes": 100}):
            with pytest.raises(InputError, match="list of 2 names"):
                CODEC.compress_batch(images[:2], names=wrong, **options)


def test_a_bundle_of_format_2_reports_that_it_has_no_prior(images, bundle):
    def as_version_2(content):
        content["format_version"] = 2
        del content["qualities"], content["files"][PRIOR_NAME]

    rewrite(bundle, as_version_2)
    codec = Codec(bundle)
    codec.encode(images[:1])
    calls = (
        lambda: codec.compress(images[0]),
        lambda: codec.compress_batch(images[:2]),
        lambda: codec.decode(np.zeros(64, np.int64), quality=5),
    )
    for call in calls:
        with pytest.raises(BundleError, match="no prior"):
            call()
