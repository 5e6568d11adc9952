"""Lists, tensors and integers of callers are converted to arrays, or refused."""

from collections import UserList, deque
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec, InputError


@pytest.fixture(scope="module")
def codec():
    return Codec()


def long_list(images):
    return [image for _ in range(5) for image in images]  # more than one array is made of


def test_long_lists_give_the_same_results_as_arrays(codec, images):
    levels = np.concatenate([images] * 5)
    for many in (levels, levels / np.float32(255)):
        latents = codec.encode(many)
        np.testing.assert_array_equal(codec.encode(list(many)), latents)
        np.testing.assert_array_equal(codec.encode(tuple(many[:, None])), latents)
        np.testing.assert_array_equal(codec.decode(list(latents)), codec.decode(latents))
        assert codec.compress_batch(list(many)) == codec.compress_batch(many)
    fitting = {"max_bytes": 20 * len(levels)}
    assert codec.compress_batch(list(levels), **fitting) == codec.compress_batch(levels, **fitting)
    nested = (np.zeros((1100, 28, 28)) + 0.5).tolist()
    np.testing.assert_array_equal(codec.encode(nested), codec.encode(np.array(nested)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((27, 28), np.uint8), "images 1024 to 1279"),
        (np.zeros((28, 28), np.int64), "images 1024 to 1279: images have dtypes int64 and uint8; expected one"),
        (np.full((28, 28), 0.5), "images 1024 to 1279: images have dtypes float64 and uint8"),
        (None, "images 1024 to 1279"),
    ],
)
def test_an_invalid_image_in_a_long_list_is_named(codec, images, wrong, message):
    some = long_list(images)
    some[1100] = wrong
    for call in (codec.encode, codec.compress_batch):
        with pytest.raises(InputError, match=message):
            call(some)
    some[0] = wrong  # the message is that for one array of all
    with pytest.raises(InputError, match="^images "):
        codec.encode(some)


def test_long_lists_have_one_kind_of_numbers(codec, images):
    some = long_list(images)
    some[1024:] = [image / 255 for image in some[1024:]]
    with pytest.raises(InputError, match="images 1024 to 1279 have dtype float64, unlike the first"):
        codec.encode(some)
    latents = list(np.zeros((1024, 64), np.int8)) + list(np.zeros((64, 64), np.float32))
    with pytest.raises(InputError, match="latents 1024 to 1087 have dtype float32"):
        codec.decode(latents)


def test_short_lists_have_one_kind_of_numbers(codec, images):
    """numpy would convert a mask of zeros and ones, which are dark gray levels, to floating point."""
    mask, real = np.ones((28, 28), np.uint8), np.zeros((28, 28))
    message = "images have dtypes float64 and uint8; expected one for all"
    for other in (mask, Image.fromarray(mask)):
        for some in ([other, real], (real, other), [[other], [real]], [other, real.tolist()]):
            with pytest.raises(InputError, match=message):
                codec.encode(some)
    with pytest.raises(InputError, match="images have dtypes bool and uint8"):
        codec.encode([mask, mask > 0])
    with pytest.raises(InputError, match="latents have dtypes float32 and int8; expected one for all"):
        codec.decode([np.zeros(64, np.int8), np.zeros(64, np.float32)])
    # Arrays of one kind, mixed with Python numbers, are accepted
    expected = codec.encode(np.array([real, real + 1]))
    rows = [[np.float32(1), *[1] * 27]] * 28
    for some in ([real, np.float32(mask)], [real, mask.tolist()], [real.tolist(), mask.tolist()], [real, rows]):
        np.testing.assert_array_equal(codec.encode(some), expected)


class Lazy(Sequence):
    """A sequence without slices."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        return self.items[number + 0]


@pytest.mark.parametrize("kind", [deque, UserList, Lazy])
def test_any_sequence_gives_the_same_results_as_a_list(codec, images, kind):
    palette = Image.fromarray(images[0]).quantize(8)
    for call in (codec.encode, codec.compress_batch):
        with pytest.raises(InputError, match="an image has Pillow mode P"):
            call(kind([palette]))
    np.testing.assert_array_equal(codec.encode(kind(images[:3])), codec.encode(images[:3]))
    rows = kind([kind(row) for row in images[0].tolist()])
    assert codec.compress(rows) == codec.compress(images[0])
    many = long_list(images)
    np.testing.assert_array_equal(codec.encode(kind(many)), codec.encode(many))


def test_a_sequence_that_fails_is_refused(codec):
    class Fails(Lazy):
        def __getitem__(self, number):
            raise OSError("the disk is gone")

    for some in (Fails([0] * 28), [Fails([0] * 28)], Fails([0] * 2000)):
        with pytest.raises(InputError, match="images cannot be made into one array .the disk is gone"):
            codec.encode(some)


def test_items_that_make_one_image_together_are_refused(codec, images):
    """Otherwise numpy would repeat that one image for each of them."""
    with pytest.raises(InputError, match=r"images 1024 to 1051 have shape \(28,\), unlike the first"):
        codec.encode([images[0]] * 1024 + list(images[1]))
    with pytest.raises(InputError, match=r"images 1024 to 1051 have shape \(28,\), unlike the first"):
        codec.compress_batch([images[0]] * 1024 + list(images[1]))
    latent = np.zeros(64, np.float32)
    with pytest.raises(InputError, match=r"latents 1024 to 1087 have shape \(\), unlike the first"):
        codec.decode([latent] * 1024 + list(latent))
    with pytest.raises(InputError, match=r"latents 1024 to 1087 have shape \(\), unlike the first"):
        codec.decode([latent.astype(np.int64)] * 1024 + [0] * 64, quality=5)


class Shrinks(list):
    """A list from which another thread removes images."""

    def __getitem__(self, part):
        some = super().__getitem__(part)
        if len(some) > 1:
            del self[-300:]
        return some


def test_a_list_that_becomes_shorter_is_refused(codec, images):
    for call in (codec.encode, codec.compress_batch):
        with pytest.raises(InputError, match="the list of images became shorter while it was read"):
            call(Shrinks(long_list(images)))


def test_lists_of_python_integers_are_levels(codec, images):
    expected = codec.encode(images[:2])
    np.testing.assert_array_equal(codec.encode(images[:2].tolist()), expected)
    np.testing.assert_array_equal(
        codec.encode([tuple(map(tuple, image.tolist())) for image in images[:2]]), expected
    )
    assert codec.compress(images[0].tolist()) == codec.compress(images[0])
    many = images[:2].tolist() * 600
    np.testing.assert_array_equal(codec.encode(many)[-2:], expected)


@pytest.mark.parametrize("level", [-1, 256, 10**15])
def test_integers_outside_0_to_255_are_refused(codec, images, level):
    some = images[0].tolist()
    some[3][5] = level
    with pytest.raises(InputError, match=f"lists that contain {level}; expected levels from 0 to 255"):
        codec.encode(some)


def test_an_array_of_other_integers_is_refused_with_advice(codec, images):
    for dtype in (np.int64, np.uint16, np.int8):
        image = images[0].astype(dtype)
        for some in (image, [image, image], [list(row) for row in image]):
            with pytest.raises(InputError, match=rf"{np.dtype(dtype)}; expected uint8 .*use .astype\(np.uint8\)"):
                codec.encode(some)


HUGE = 10**5000


@pytest.mark.parametrize("huge", [HUGE, -HUGE, [HUGE], (1, HUGE)], ids=["integer", "negative", "list", "tuple"])
def test_integers_that_python_cannot_print_are_refused_in_a_sentence(codec, images, huge):
    content = codec.compress_batch(images[:2])
    calls = [
        lambda: codec.compress(images[0], quality=huge),
        lambda: codec.compress(images[0], effort=huge),
        lambda: codec.compress(images[0], max_bytes=huge),
        lambda: codec.compress_batch(images[:2], names=[huge, huge]),
        lambda: codec.compress_iter(images, batch_size=huge),
        lambda: codec.compress_iter(huge).__next__(),
        lambda: codec.decompress(content, huge),
        lambda: codec.decompress_iter([content], batch_size=huge),
        lambda: codec.decode(np.zeros(64, np.int64), quality=huge),
        lambda: codec.encode(images, dtype=huge),
        lambda: codec.encode(huge),
        lambda: Codec(threads=huge),
        lambda: Codec(precision=huge),
        lambda: Codec(bundle=huge),
        lambda: Codec(expect_id=huge),
    ]
    for call in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert len(str(caught.value)) < 300
    with pytest.raises(InputError, match="max_bytes is an integer of 16610 bits; expected .* at most 1024 bits"):
        codec.compress(images[0], max_bytes=HUGE)
