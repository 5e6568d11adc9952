"""Files of Python are read by JavaScript and the reverse, with the same symbols and the same options."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from fmae_edge import Codec, InputError
from fmae_edge.runtime.bundle.built_in import built_in_folder
from tests.js.node import Image, call_codec, needs_node

pytestmark = needs_node
NAMES = ["a/b", "ü", "shoe.1"]


class Exchange(NamedTuple):
    """Images and a codec of Python, the files that each side wrote, and what JavaScript answered to the calls."""

    codec: Codec
    images: NDArray[np.uint8]
    more: NDArray[np.uint8]
    files: list[bytes]
    bare: list[bytes]
    packets: list[bytes]
    reads: list
    reads_parts: list
    writes: list


@pytest.fixture(scope="module", params=["default", "detail", "rgb"])
def exchange(request, images, rgb_images):
    """All calls of one bundle in one process, because it takes a second to load onnxruntime-web."""
    folder = request.getfixturevalue("rgb_bundle") if request.param == "rgb" else built_in_folder(request.param)
    more = (rgb_images if request.param == "rgb" else images)[:12]
    some = more[:3]
    codec = Codec(folder, threads=1)
    files = [
        *(codec.compress(some[0], quality) for quality in range(1, 10)),
        *(codec.compress_batch(some, names=NAMES), codec.compress_batch(some, min_psnr=14)),
        *(codec.compress_batch(some, 9), codec.compress_batch(some[:0])),
        *(codec.compress(some[0], min_psnr=math.inf), codec.compress_batch(some, min_psnr=math.inf)),
    ]
    bare, packets = codec.compress_batch(some, 3, bare=True), codec.packets.compress(some, 400, 2)
    given = [Image(image) for image in some]
    reads = [(method, file) for method in ("decompressBatch", "inspect", "symbols") for file in files]
    reads_parts = [
        *(("names", files[9]), ("decompress", files[9], {"index": 2}), ("decompress", files[10], {"index": 1})),
        *(("decompress", bare[0], {"bare": True, "quality": 3}), ("packets.decompress", packets)),
        ("decompressBatch", bare, {"bare": True, "quality": 3}),
    ]
    writes = [
        *(("encode", given), ("compressBatch", given, {"quality": 7}), ("compressBatch", given, {"names": NAMES})),
        *(
            ("compressBatch", [Image(image) for image in more], {"minPsnr": 20}),
            ("compressBatch", given, {"minPsnr": {"infinity": True}}),
        ),
        *(("compressBatch", given, {"maxBytes": 400}), ("compress", given[1], {"maxBytes": 100})),
        *(
            ("compressBatch", given, {"bare": True, "quality": 2}),
            ("packets.compress", given, 300, {"quality": 2}),
        ),
        ("packets.compress", given, 300, {"quality": 2, "fill": True}),
        ("packets.compress", given, 300, {"maxBytes": 90}),
    ]
    answers = iter(call_codec(folder, *reads, *reads_parts, *writes))
    taken = ([next(answers) for _ in calls] for calls in (reads, reads_parts, writes))
    return Exchange(codec, some, more, files, bare, packets, *taken)


def require_close(given, expected):
    """Compare images: JavaScript's kernels may round another way."""
    assert len(given) == len(expected)
    if len(expected):
        difference = np.abs(np.stack(given).astype(int) - expected)
        assert difference.max() <= 1
        assert np.mean(difference > 0) <= 1e-3


def squared_errors(codec, content, images):
    """Return the mean squared error of each image in a file."""
    difference = codec.decompress_batch(content).astype(float) - images
    return np.square(difference).reshape(len(images), -1).mean(axis=1)


def require_lowest_qualities(codec, images, content, min_psnr):
    """Each image must have the lowest quality that reaches `min_psnr`, apart from rounding, or be lossless."""
    limit, margin = 255**2 / 10 ** (min_psnr / 10), 1.01
    errors = [squared_errors(codec, codec.compress_batch(images, quality), images) for quality in range(1, 10)]
    for image, quality in enumerate(codec.inspect(content).qualities):
        assert all(error[image] > limit / margin for error in errors[: (quality or 10) - 1])
        if quality:
            assert errors[quality - 1][image] < limit * margin


def test_javascript_reads_what_python_writes(exchange):
    codec, count = exchange.codec, len(exchange.files)
    answers = (exchange.reads[start : start + count] for start in range(0, 3 * count, count))
    for file, decoded, about, symbols in zip(exchange.files, *answers, strict=True):
        expected, info = codec.decompress_batch(file), codec.inspect(file)
        require_close(decoded, expected)
        for number, quality in enumerate(info.qualities):
            if quality == 0:
                np.testing.assert_array_equal(decoded[number], exchange.images[number])
        if info.quality:
            assert [row.tolist() for row in symbols] == codec.symbols(file).tolist()
        else:
            assert symbols.startswith("InputError: has no symbols of one quality")
        assert about == {
            "formatVersion": info.format_version,
            "bundleId": info.bundle_id,
            "quality": info.quality,
            "images": info.images,
            "single": info.single,
            "fileBytes": info.file_bytes,
            "payloadBytes": list(info.payload_bytes),
            "names": info.names and list(info.names),
            "namesError": info.names_error,
            "qualities": list(info.qualities),
        }


def test_javascript_reads_parts_of_what_python_writes(exchange):
    codec = exchange.codec
    names, third, second, one, received, bare = exchange.reads_parts
    assert names == NAMES
    require_close([third], codec.decompress(exchange.files[9], 2)[None])
    require_close([second], codec.decompress(exchange.files[10], 1)[None])
    require_close(bare, codec.decompress_batch(exchange.bare, bare=True, quality=3))
    np.testing.assert_array_equal(one, bare[0])
    require_close(received["images"], codec.packets.decompress(exchange.packets).images)
    assert (received["numbers"], received["missing"], received["total"]) == ([0, 1, 2], [], 3)


def test_python_reads_what_javascript_writes(exchange):
    codec, images = exchange.codec, exchange.images
    latents, stack, named, varied, exact, few, single, bare, packets, filled, own = exchange.writes
    expected = codec.encode(images)
    assert np.sqrt(np.mean(np.square(latents - expected))) <= 5e-3 * np.ptp(expected)  # as for golden vectors
    assert codec.names(named) == tuple(NAMES)
    for content, options in ((stack, {"quality": 7}), (named, {"names": NAMES})):
        symbols, same = codec.symbols(content), codec.compress_batch(images, **options)
        assert np.mean(symbols != codec.symbols(same)) < 0.01
        if np.array_equal(symbols, codec.symbols(same)):
            assert content == same
    assert len(few) <= 400
    assert len(single) <= 100
    np.testing.assert_array_equal(codec.decompress(exact), images)
    require_lowest_qualities(codec, exchange.more, varied, 20)
    candidates = [codec.compress_batch(images, quality) for quality in range(1, 10)]
    best = min(squared_errors(codec, each, images).sum() for each in candidates if len(each) <= 400)
    assert squared_errors(codec, few, images).sum() <= 1.01 * best
    for each in (packets, filled, own):
        assert codec.packets.decompress(each).total == len(images)
        assert max(map(len, each)) <= 300
    decoded = codec.decompress_batch(bare, bare=True, quality=2)
    np.testing.assert_array_equal(decoded, codec.packets.decompress(packets).images)
    assert len(filled) == len(packets)
    assert codec.packets.parse(filled[0]).qualities[0] >= 2


def test_every_cut_or_changed_file_is_refused_by_both(images):
    codec = Codec(threads=1)
    content = codec.compress_batch(images[:2], 4, names=["a", "b"])
    damaged = [content[:end] for end in range(len(content))]
    damaged += [content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :] for at in range(len(content))]
    answers = call_codec(built_in_folder("default"), *(("decompress", each) for each in damaged))
    for each, answer in zip(damaged, answers, strict=True):
        assert str(answer).startswith("InputError: "), answer
        with pytest.raises(InputError):
            codec.decompress(each)
