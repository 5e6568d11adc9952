"""Plain PNG files decode as with Pillow, and all others are left to Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmae_edge.data.plain_png import read_plain_png


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(shape, rows, *, depth=8, interlaced=0, before=b"", after=b"", end=b"", rest=b""):
    """Return a PNG of filtered `rows`, with chunks before and after the pixels, and bytes after each end."""
    height, width, channels = (*shape, 1)[:3]
    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 3: 2}[channels], 0, 0, interlaced)
    pixels = chunk(b"IDAT", zlib.compress(rows) + end)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + pixels + after + chunk(b"IEND", b"") + rest


@st.composite
def filtered_images(draw):
    """Return a shape, and random bytes as the rows of an image: any bytes are the result of some filter."""
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    shape = draw(st.sampled_from([(height, width), (height, width, 3)]))
    row = width * (*shape, 1)[2]
    filters = draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    return shape, b"".join(bytes([kind]) + draw(st.binary(min_size=row, max_size=row)) for kind in filters)


@given(filtered_images())
def test_all_filters_are_undone_as_pillow_does(image):
    shape, rows = image
    content = png(shape, rows)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    for with_pillow in (False, True):
        np.testing.assert_array_equal(read_plain_png(content, shape, with_pillow), expected)


@pytest.mark.parametrize("kind", range(5))
def test_a_filter_is_undone_for_all_kinds_of_neighbours(kind):
    shape = (50, 50, 3)
    rows = np.random.default_rng(kind).integers(0, 256, (50, 151), np.uint8)
    rows[:, 0] = kind
    content = png(shape, rows.tobytes())
    expected = np.asarray(Image.open(io.BytesIO(content)))
    for with_pillow in (False, True):
        np.testing.assert_array_equal(read_plain_png(content, shape, with_pillow), expected)


@pytest.mark.parametrize("shape", [(28, 28), (40, 30, 3)])
def test_files_of_pillow_are_plain(shape):
    image = np.random.default_rng(0).integers(0, 256, shape).cumsum(1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    for with_pillow in (False, True):
        np.testing.assert_array_equal(read_plain_png(stream.getvalue(), shape, with_pillow), image)


ROWS = bytes(5 * 6)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        png((5, 5), ROWS)[:-1],
        png((5, 5), ROWS, rest=b"x"),
        png((5, 5), ROWS, end=b"x"),
        png((5, 5), ROWS, before=chunk(b"tRNS", b"\0\0")),
        png((5, 5), ROWS, after=chunk(b"eXIf", b"x")),
        png((5, 5), ROWS, depth=4),
        png((5, 5), ROWS, interlaced=1),
        png((5, 5), ROWS + b"x"),
        png((5, 5), ROWS[:-1]),
        png((5, 5), b"\5" + ROWS[1:]),
        png((4, 5), ROWS),
        png((5, 5, 3), bytes(5 * 16)),
    ],
)
def test_other_files_are_left_to_pillow(content):
    for with_pillow in (False, True):
        assert read_plain_png(png((5, 5), ROWS), (5, 5), with_pillow) is not None
        assert read_plain_png(content, (5, 5), with_pillow) is None


def test_large_images_need_pillow():
    content = png((100, 100), bytes(100 * 101))
    assert read_plain_png(content, (100, 100), with_pillow=False) is None
    assert read_plain_png(content, (100, 100), with_pillow=True) is not None


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_one_wrong_byte_is_noticed(at, change):
    content = bytearray(png((5, 5), ROWS))
    content[at % len(content)] ^= change
    assert read_plain_png(bytes(content), (5, 5), with_pillow=False) is None
