"""With max_bytes, the file has the lowest error of all qualities that fit."""

import numpy as np
import pytest

from fmae_edge import Codec, InputError
from fmae_edge.runtime.format.fmae_file import unpack
from fmae_edge.runtime.latent_coder import LatentCoder

CODEC = Codec()
LEVELS = range(1, 10)


def squared_error(content, images):
    return int(np.square(images.astype(np.int64) - CODEC.decompress(content)).sum())


def quality_of(content):
    return unpack(content, CODEC.manifest.bundle_id).quality


@pytest.mark.parametrize(("effort", "count"), [(0, 20), (1, 4)])
def test_the_file_has_the_lowest_error_of_those_that_fit(images, effort, count):
    below_the_highest = 0
    for image in images[:count]:
        files = [CODEC.compress(image, quality, effort) for quality in LEVELS]
        for most in (len(files[0]), len(files[0]) + 8, 70):
            fitting = [content for content in files if len(content) <= most]
            content = CODEC.compress(image, effort=effort, max_bytes=most)
            assert content in fitting
            assert squared_error(content, image) == min(squared_error(other, image) for other in fitting)
            below_the_highest += content != fitting[-1]
    assert below_the_highest > 0  # else choosing the highest quality would pass


def test_a_stack_has_the_least_error_of_all_its_images(images):
    errors = {q: [squared_error(CODEC.compress(image, q), image) for image in images[:60]] for q in (8, 9)}
    worse = [image for image, at_8, at_9 in zip(images, errors[8], errors[9], strict=False) if at_9 > at_8]
    assert len(worse) > 5
    for stack, highest in ((np.stack(worse), False), (np.concatenate([images, worse]), True)):
        files = [CODEC.compress_batch(stack, quality) for quality in LEVELS]
        content = CODEC.compress_batch(stack, max_bytes=100 * len(stack))
        assert squared_error(content, stack) == min(squared_error(other, stack) for other in files)
        assert (quality_of(content) == 9) == highest  # else one of the two cases would test nothing


def test_pixels_in_0_to_1_are_compared_as_levels(images):
    for image in images[:5]:
        assert CODEC.compress(image / 255, max_bytes=30) == CODEC.compress(image, max_bytes=30)


def test_a_limit_is_kept_to_the_byte(images):
    exact = CODEC.compress(images[0], max_bytes=30)
    assert CODEC.compress(images[0], max_bytes=len(exact)) == exact
    assert len(CODEC.compress(images[0], max_bytes=len(exact) - 1)) < len(exact)
    content = CODEC.compress_batch(images, max_bytes=20 * len(images))
    assert 17 * len(images) < len(content) <= 20 * len(images)
    assert CODEC.compress_batch(images, max_bytes=len(content)) == content


def test_too_small_a_limit_is_refused_with_the_bytes_needed(images):
    fewest = len(CODEC.compress(images[0], 1))
    for most in (fewest - 1, 7, 0, -5):
        with pytest.raises(InputError, match=f"max_bytes is {most}, but the lowest quality takes {fewest} bytes"):
            CODEC.compress(images[0], max_bytes=most)
    stack = len(CODEC.compress_batch(images, 1))
    with pytest.raises(InputError, match=f"the lowest quality takes {stack} bytes"):
        CODEC.compress_batch(images, max_bytes=stack - 1)


def test_images_whose_latents_are_not_kept_give_the_same_file(images, monkeypatch):
    some = np.concatenate([images] * 2)
    expected = CODEC.compress_batch(some, max_bytes=15 * len(some))
    monkeypatch.setattr("fmae_edge.runtime.fmae_writer._NUMBERS_KEPT", 0)
    assert CODEC.compress_batch(some, max_bytes=15 * len(some)) == expected


def test_latents_are_kept_up_to_a_limit_and_made_again_beyond(images, monkeypatch):
    """Kept latents save time, and the limit bounds memory; neither changes the file."""
    encoded = []
    latents = LatentCoder.latents

    def count(self, some):
        encoded.append(len(some))
        return latents(self, some)

    monkeypatch.setattr(LatentCoder, "latents", count)
    monkeypatch.setattr("fmae_edge.runtime.fmae_writer._NUMBERS_KEPT", 256 * 64)
    CODEC.compress_batch(np.resize(images, (256 + 1, 28, 28)), max_bytes=1 << 20)
    assert sorted(encoded) == [1] * len(LEVELS) + [256]
