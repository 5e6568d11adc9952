"""Bare payloads: the bytes of an image without a file around them."""

import numpy as np
import pytest

from fmae_edge import Codec, InputError

CODEC = Codec()


def test_a_bare_payload_is_the_file_without_its_header(images):
    for quality in (1, 5, 9):
        file, payload = CODEC.compress(images[0], quality), CODEC.compress(images[0], quality, bare=True)
        assert file.endswith(payload)
        assert len(payload) == len(file) - 7
        decoded = CODEC.decompress(payload, bare=True, quality=quality)
        np.testing.assert_array_equal(decoded, CODEC.decompress(file))


def test_all_forms_give_the_same_payloads_and_images(images):
    some = images[:20]
    payloads = CODEC.compress_batch(some, 3, bare=True)
    assert payloads == list(CODEC.compress_iter(some, 3, bare=True, batch_size=7))
    assert payloads[:9] == [CODEC.compress(image, 3, bare=True) for image in some[:9]]
    decoded = CODEC.decompress_batch(payloads, bare=True, quality=3)
    np.testing.assert_array_equal(decoded, CODEC.decompress_batch(CODEC.compress_batch(some, 3)))
    np.testing.assert_array_equal(CODEC.decompress(payloads, bare=True, quality=3), decoded)
    each = np.stack(list(CODEC.decompress_iter(payloads, bare=True, quality=3)))
    assert np.abs(each.astype(int) - decoded).max() <= 1  # int8 graphs may round otherwise in a batch
    assert CODEC.decompress(payloads, 4, bare=True, quality=3).shape == (28, 28)
    assert CODEC.decompress_batch(payloads[0], bare=True, quality=3).shape == (1, 28, 28)
    assert CODEC.decompress_batch([], bare=True, quality=3).shape == (0, 28, 28)


def test_any_bytes_decode_but_not_too_many():
    longest = 4 * 64 + 1
    for payload in (b"", b"\xff" * longest, bytearray(7), memoryview(b"abc")):
        assert CODEC.decompress(payload, bare=True, quality=9).shape == (28, 28)
    with pytest.raises(InputError, match="a payload has 258 bytes, more than one image can take"):
        CODEC.decompress(bytes(longest + 1), bare=True, quality=9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda image: CODEC.compress(image, bare=True, max_bytes=30), "max_bytes chooses the quality"),
        (lambda image: CODEC.compress(image, bare=True, min_psnr=30), "min_psnr chooses the quality"),
        (lambda image: CODEC.compress_batch([image], bare=True, names=["a"]), "names need a .fmae file"),
        (lambda image: CODEC.compress(image, bare=1), "bare is 1; expected True or False"),
        (lambda image: CODEC.decompress(b"", bare=True), "quality is missing"),
        (lambda image: CODEC.decompress(b"", bare=True, quality=10), "quality is 10"),
        (lambda image: CODEC.decompress(b"", quality=5), "quality is for bare payloads"),
        (
            lambda image: CODEC.decompress("abc", bare=True, quality=5),
            "expected the bytes of a bare payload, got str",
        ),
        (lambda image: CODEC.decompress_batch([b"", 5], bare=True, quality=5), "bare payload, got int"),
        (lambda image: CODEC.decompress_batch([b""]), "expected the bytes of a .fmae file, got list"),
        (lambda image: CODEC.decompress_batch([b""] * 3, bare=True, quality=5, max_images=2), "max_images=2"),
        (lambda image: list(CODEC.decompress_iter([b"", bytes(999)], bare=True, quality=5)), "^payload 1: "),
    ],
)
def test_wrong_arguments_are_refused(images, call, message):
    with pytest.raises(InputError, match=message):
        call(images[0])
