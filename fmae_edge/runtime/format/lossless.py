"""Store an image exactly: predicted pixels and a general compressor. spec/format.md specifies it.

The payload is one byte that says how, and the differences from a prediction, all in integers. Noise takes one byte
more than its pixels. It is for the few images that no quality can reproduce, so its speed matters little.
"""

import math
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import FmaeError, InputError

_NONE, _LEFT, _UP, _MEDIAN = range(4)  # bits 0 and 1 of the first byte: the prediction
_FROM_GREEN = 4  # bit 2: the second of three channels is subtracted from the others
_STORED, _DEFLATED, _LZMA = 0, 8, 16  # bits 3 and 4: the compressor
_COMPRESSORS, _RESERVED = 24, 0xE0
_WINDOW_BITS = -15  # raw deflate
_SMALL = 1 << 13  # numbers of an image for which everything is tried; it takes a millisecond

Levels = NDArray[np.uint8]


def encode_lossless(image: Levels) -> bytes:
    """Return the payload of an image (height, width) or (height, width, channels): at most its size and 1 byte."""
    residuals = _all_residuals(image)
    if image.size > _SMALL:
        best = min(residuals, key=lambda kind: len(_deflate(residuals[kind], zlib.Z_HUFFMAN_ONLY)))
        residuals = {best: residuals[best]}
    return min((payload for each in residuals.items() for payload in _payloads(*each)), key=len)


def every_payload(image: Levels) -> Iterator[bytes]:
    """Yield the payload of an image for each way to store it; `encode_lossless` returns the shortest."""
    for kind, residual in _all_residuals(image).items():
        yield from _payloads(kind, residual)


def decode_lossless(payload: bytes, shape: tuple[int, ...]) -> Levels:
    """Return the image of `shape` in a payload. Memory and time depend on `shape` alone.

    Raises InputError if the payload is not one of such an image, FmaeError if this Python lacks LZMA.
    """
    numbers = math.prod(shape)
    kind = payload[0] if payload else _RESERVED
    channels = shape[2] if len(shape) == 3 else 1
    if kind & _RESERVED or kind & _COMPRESSORS not in _DECOMPRESS or (kind & _FROM_GREEN and channels != 3):
        raise InputError("corrupted: a lossless image is stored in a way that the format does not define")
    content = _DECOMPRESS[kind & _COMPRESSORS](payload[1:], numbers)
    if content is None or len(content) != numbers:
        raise InputError(f"corrupted: a lossless image does not have its {numbers} bytes of pixels")
    residuals = np.frombuffer(content, np.uint8).reshape(channels, *shape[:2])
    planes = _predicted(residuals, kind & _MEDIAN)
    if kind & _FROM_GREEN:
        planes[[0, 2]] += planes[1]
    return np.ascontiguousarray(planes[0] if len(shape) == 2 else planes.transpose(1, 2, 0))


def _all_residuals(image: Levels) -> dict[int, bytes]:
    """Return what each prediction leaves of an image, by the bits of the first byte that say which."""
    planes = np.ascontiguousarray(image[None] if image.ndim == 2 else image.transpose(2, 0, 1))
    variants = {0: planes}
    if len(planes) == 3:
        variants[_FROM_GREEN] = planes.copy()
        variants[_FROM_GREEN][[0, 2]] -= planes[1]
    predictions = (_NONE, _LEFT, _UP, _MEDIAN)
    return {
        variant | prediction: _residuals(variants[variant], prediction).tobytes()
        for variant in variants
        for prediction in predictions
    }


def _residuals(planes: Levels, prediction: int) -> Levels:
    """Return planes (channels, height, width) minus their prediction, modulo 256. Pixels outside count as 0."""
    padded = np.pad(planes, ((0, 0), (1, 0), (1, 0)))
    left, up, corner = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]
    if prediction == _LEFT:
        return planes - left
    if prediction == _UP:
        return planes - up
    return planes - _median(left, up, corner) if prediction == _MEDIAN else planes


def _median(left: Levels, up: Levels, corner: Levels) -> Levels:
    """Return the median of left, up and left + up - corner, as LOCO-I and JPEG-LS predict pixels."""
    plane = left.astype(np.int16) + up - corner
    median: Levels = np.clip(plane, np.minimum(left, up), np.maximum(left, up)).astype(np.uint8)
    return median


def _predicted(residuals: Levels, prediction: int) -> Levels:
    """Return the planes of residuals (channels, height, width)."""
    if prediction == _LEFT:
        return np.cumsum(residuals, axis=2, dtype=np.uint8)
    if prediction == _UP:
        return np.cumsum(residuals, axis=1, dtype=np.uint8)
    return _from_medians(residuals) if prediction == _MEDIAN else residuals.copy()


def _from_medians(residuals: Levels) -> Levels:
    """Undo the median prediction one antidiagonal at a time: its pixels depend on the two before it only.

    `skewed[d + 2, row + 1]` is the pixel at column d - row, so an antidiagonal is contiguous. Places outside the
    image stay 0.
    """
    channels, height, width = residuals.shape
    skewed = np.zeros((height + width + 1, height + 1, channels), np.uint8)
    rows = np.arange(height)
    places = rows[:, None] + np.arange(width) + 2, np.broadcast_to(rows[:, None] + 1, (height, width))
    skewed[places] = residuals.transpose(1, 2, 0)
    for diagonal in range(2, height + width + 1):
        first, last = max(1, diagonal - width), min(height, diagonal - 1)  # the rows that it crosses, and 1
        here = slice(first, last + 1)
        above = slice(first - 1, last)
        left, up, corner = skewed[diagonal - 1, here], skewed[diagonal - 1, above], skewed[diagonal - 2, above]
        skewed[diagonal, here] += _median(left, up, corner)
    return np.ascontiguousarray(skewed[places].transpose(2, 0, 1))


def _payloads(kind: int, residual: bytes) -> Iterator[bytes]:
    yield bytes([kind | _STORED]) + residual
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE):
        yield bytes([kind | _DEFLATED]) + _deflate(residual, strategy)
    try:
        import lzma  # some builds of Python lack it
    except ImportError:
        return
    compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=_lzma_filters(len(residual)))
    yield bytes([kind | _LZMA]) + compressor.compress(residual) + compressor.flush()


def _deflate(content: bytes, strategy: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, _WINDOW_BITS, 9, strategy)
    return compressor.compress(content) + compressor.flush()


def _inflate(content: bytes, numbers: int) -> bytes | None:
    """Return the first `numbers` bytes of a deflate stream that has no more, None if it is not such a stream."""
    stream = zlib.decompressobj(_WINDOW_BITS)
    try:
        result = stream.decompress(content, numbers + 1)  # one more, so that the stream can end
    except zlib.error:
        return None
    return result if stream.eof and not stream.unused_data else None


def _from_lzma(content: bytes, numbers: int) -> bytes | None:
    """Return the bytes of an LZMA stream that has `numbers`, None if it is not such a stream."""
    try:
        import lzma
    except ImportError:
        raise FmaeError(
            "has an image in LZMA, which this build of Python lacks; use one with the module lzma"
        ) from None

    stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_lzma_filters(numbers))
    try:
        result = stream.decompress(content, numbers + 1)
    except lzma.LZMAError:
        return None
    return result if stream.eof and not stream.unused_data else None


def _lzma_filters(numbers: int) -> list[dict[str, int]]:
    """Return the settings: no context of bits or bytes, and a dictionary as long as an image, at least 4 KiB."""
    import lzma

    return [{"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": max(4096, numbers)}]


_DECOMPRESS: dict[int, Callable[[bytes, int], bytes | None]] = {
    _STORED: lambda content, numbers: content,
    _DEFLATED: _inflate,
    _LZMA: _from_lzma,
}
