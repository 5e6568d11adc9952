"""Lossless images: every image comes back exactly, in at most one byte more than its pixels."""

import lzma
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmae_edge import FmaeError, InputError
from fmae_edge.runtime.format.lossless import decode_lossless, encode_lossless, every_payload

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12)) | st.tuples(
    st.integers(1, 9), st.integers(1, 9), st.integers(2, 4)
)
STORED, DEFLATED, LZMA = 0, 8, 16


def pictures(shape):
    """Return a flat image, a ramp, a chequerboard and noise."""
    sums = np.indices(shape).sum(axis=0)
    noise = np.random.default_rng(0).integers(0, 256, shape)
    return [image.astype(np.uint8) for image in (np.full(shape, 201), 3 * sums, 255 * (sums % 2), noise)]


@settings(max_examples=50, deadline=None)
@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 255))))
def test_every_way_to_store_an_image_gives_it_back(image):
    payloads = list(every_payload(image))
    assert len({payload[0] for payload in payloads}) == (24 if image.ndim == 3 and image.shape[2] == 3 else 12)
    for payload in payloads:
        np.testing.assert_array_equal(decode_lossless(payload, image.shape), image)
    assert encode_lossless(image) in payloads
    assert len(encode_lossless(image)) <= image.size + 1


@pytest.mark.parametrize("shape", [(28, 28), (256, 256), (26, 20, 3), (96, 64, 3), (1, 300), (300, 1)])
def test_images_come_back_exactly(shape):
    sizes = []
    for image in pictures(shape):
        payload = encode_lossless(image)
        np.testing.assert_array_equal(decode_lossless(payload, shape), image)
        sizes.append(len(payload))
    flat, ramp, chequer, noise = sizes
    assert noise <= image.size + 1
    assert max(flat, ramp, chequer) < 30 + image.size / 200


def test_clothing_takes_less_than_in_png(images):
    from fmae_edge.data.image_file import png_bytes

    exact = sum(len(encode_lossless(image)) for image in images[:50])
    assert exact < 0.85 * sum(len(png_bytes(image)) for image in images[:50])


def damaged_payloads(image):
    """Yield payloads that decode to other images or to none, with the sentence of those that are refused."""
    raw = image.tobytes()
    way, size = (
        "stored in a way that the format does not define",
        f"does not have its {image.size} bytes of pixels",
    )
    deflated, other = zlib.compress(raw, wbits=-15), zlib.compress(raw + b"x", wbits=-15)
    settings = {"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": 4096}
    in_lzma = lzma.compress(raw, lzma.FORMAT_RAW, filters=[settings])
    longer_in_lzma = lzma.compress(raw + b"x", lzma.FORMAT_RAW, filters=[settings])
    yield b"", way
    for kind in (24, 32, 64, 128, 255, 4):  # 4: a gray image has no green
        yield bytes([kind]) + raw, way
    for content in (b"", raw[:-1], raw + b"x"):
        yield bytes([STORED]) + content, size
    for content in (b"", deflated[:-1], deflated + b"x", other, deflated[1:], raw):
        yield bytes([DEFLATED]) + content, size
    for content in (b"", in_lzma[:-1], in_lzma + b"x", longer_in_lzma, raw):
        yield bytes([LZMA]) + content, size


def test_payloads_of_no_image_are_refused(images):
    for payload, sentence in damaged_payloads(images[0]):
        with pytest.raises(InputError, match=sentence):
            decode_lossless(payload, images[0].shape)


def test_a_payload_that_expands_without_end_takes_no_more_memory_than_the_image():
    bomb = zlib.compress(bytes(1 << 23), 9, -15)
    settings = {"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": 4096}
    bomb_in_lzma = lzma.compress(bytes(1 << 23), lzma.FORMAT_RAW, filters=[settings])
    tracemalloc.start()
    for payload in (bytes([DEFLATED]) + bomb, bytes([LZMA]) + bomb_in_lzma):
        with pytest.raises(InputError, match="does not have its 784 bytes"):
            decode_lossless(payload, (28, 28))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_without_lzma_images_are_deflated_and_files_with_it_are_refused(images, monkeypatch):
    in_lzma = next(payload for payload in every_payload(images[0]) if payload[0] & 24 == LZMA)
    monkeypatch.setitem(__import__("sys").modules, "lzma", None)
    payload = encode_lossless(images[0])
    assert payload[0] & 24 == DEFLATED
    np.testing.assert_array_equal(decode_lossless(payload, (28, 28)), images[0])
    with pytest.raises(FmaeError, match="in LZMA, which this build of Python lacks"):
        decode_lossless(in_lzma, (28, 28))
