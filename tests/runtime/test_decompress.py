"""Decompressing and describing .fmae files, from any bytes-like object, within limits of memory."""

import array
import mmap
import time
import tracemalloc

import numpy as np
import pytest

from fmae_edge import Codec, InputError
from fmae_edge.runtime.format.fmae_file import pack_many, unpack

CODEC = Codec()
ID = CODEC.manifest.bundle_id


MILLION = pack_many([b""] * (1 << 20), 5, ID)  # 131,090 bytes


def test_describing_a_file_decodes_nothing(images, monkeypatch):
    single = CODEC.compress(images[0], 3)
    stack = CODEC.compress_batch(images[:5], 7, names=["a", "b", "c", "d/e", "f"])
    monkeypatch.setattr("fmae_edge.runtime.latent_coder.LatentCoder.symbols", None)
    info = CODEC.inspect(single)
    assert (info.images, info.single, info.quality, info.names, info.format_version) == (1, True, 3, None, 1)
    assert (info.file_bytes, info.payload_bytes, info.bundle_id) == (len(single), (len(single) - 7,), ID)
    info = CODEC.inspect(memoryview(stack))
    assert (info.images, info.single, info.quality, info.format_version) == (5, False, 7, 2)
    assert (info.names, info.names_error) == (("a", "b", "c", "d/e", "f"), None)
    assert (info.file_bytes, len(info.payload_bytes)) == (len(stack), 5)
    assert 0 < sum(info.payload_bytes) < len(stack)
    assert CODEC.inspect(CODEC.compress_batch(images[:0])).payload_bytes == ()


def test_a_damaged_file_is_not_described(images):
    content = CODEC.compress(images[0])
    for damaged in (b"", content[:-1], content[:-1] + b"\0", b"text"):
        with pytest.raises(InputError):
            CODEC.inspect(damaged)


def test_a_million_claimed_images_are_counted_immediately():
    assert len(MILLION) == 131_090
    started = time.perf_counter()
    assert CODEC.inspect(MILLION).images == 1 << 20
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "call",
    [
        lambda content, most: CODEC.decompress(content, max_images=most),
        lambda content, most: CODEC.decompress(content, 0, max_images=most),
        lambda content, most: CODEC.decompress_batch(content, max_images=most),
        lambda content, most: next(CODEC.decompress_iter([content], max_images=most)),
        lambda content, most: CODEC.symbols(content, max_images=most),
    ],
)
def test_more_images_than_max_images_are_refused_immediately(images, call):
    stack = CODEC.compress_batch(images[:3])
    np.testing.assert_array_equal(np.ravel(call(stack, 3))[:784], np.ravel(call(stack, None))[:784])
    tracemalloc.start()
    started = time.perf_counter()
    for content in (MILLION, stack):
        with pytest.raises(InputError, match=r"claims \d+ images, more than max_images=2$"):
            call(content, 2)
    assert time.perf_counter() - started < 0.1
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    with pytest.raises(InputError, match="claims 1 images, more than max_images=0"):
        call(CODEC.compress(images[0]), 0)
    for wrong in (-1, 1.5, "3", True):
        with pytest.raises(InputError, match="max_images is"):
            call(stack, wrong)


def test_max_images_is_checked_at_the_call():
    with pytest.raises(InputError, match="max_images is -1; expected 0 or more"):
        CODEC.decompress_iter([], max_images=-1)


def test_names_take_memory_only_when_they_are_read():
    content = pack_many([b""] * (1 << 20), 5, ID, list(map(str, range(1 << 20))))
    tracemalloc.start()
    assert CODEC.decompress(content, 5).shape == (28, 28)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(content)


def test_decompress_batch_always_returns_a_stack(images):
    one = CODEC.decompress_batch(CODEC.compress(images[0]))
    np.testing.assert_array_equal(one, CODEC.decompress(CODEC.compress(images[0]))[None])
    for count in (0, 1, 9):
        content = CODEC.compress_batch(images[:count])
        assert CODEC.decompress_batch(content).shape == (count, 28, 28)
        np.testing.assert_array_equal(CODEC.decompress_batch(content), CODEC.decompress(content))


def strided(content):
    """Return a view of every other byte."""
    return memoryview(bytes(byte for each in content for byte in (each, 0)))[::2]


def mapped(content):
    memory = mmap.mmap(-1, len(content))
    memory[:] = content
    return memory


@pytest.mark.parametrize(
    "convert",
    [
        bytearray,
        memoryview,
        strided,
        lambda content: memoryview(content[::-1])[::-1],
        mapped,
        lambda content: array.array("B", content),
        lambda content: np.frombuffer(content, np.uint8),
    ],
)
def test_content_is_any_bytes_like_object(images, convert):
    content = CODEC.compress_batch(images[:2], names=["a", "b"])
    for call in (CODEC.decompress, CODEC.decompress_batch, CODEC.symbols, lambda each: CODEC.decompress(each, 1)):
        np.testing.assert_array_equal(call(convert(content)), call(content))
    assert CODEC.names(convert(content)) == ("a", "b")
    assert CODEC.inspect(convert(content)) == CODEC.inspect(content)
    assert len(list(CODEC.decompress_iter([convert(content)]))) == 2


def test_other_content_is_refused():
    released = memoryview(b"x")
    released.release()
    for wrong in (None, "abc", 5, [1, 2], released):
        for call in (CODEC.decompress, CODEC.decompress_batch, CODEC.symbols, CODEC.names, CODEC.inspect):
            with pytest.raises(InputError, match="expected the bytes of a .fmae file, got"):
                call(wrong)


@pytest.mark.parametrize("names", [["a", "CON"], ["a", "a"], ["a"], ["a", "b", "c"], ["../x", "y"], ["a", "a/b"]])
def test_refused_names_leave_the_images_readable(images, names):
    whole = CODEC.compress_batch(images[:2])
    content = pack_many(unpack(whole, ID).payloads, 5, ID, names)
    for call in (CODEC.decompress, CODEC.decompress_batch, CODEC.symbols, lambda each: CODEC.decompress(each, 1)):
        np.testing.assert_array_equal(call(content), call(whole))
    assert len(list(CODEC.decompress_iter([content]))) == 2
    info = CODEC.inspect(content)
    assert (info.images, info.names) == (2, None)
    with pytest.raises(InputError) as caught:
        CODEC.names(content)
    assert info.names_error == str(caught.value)
    assert info.names_error.startswith("contains invalid image names: ")
