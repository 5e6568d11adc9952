"""Encode and decode with PNG, JPEG, WebP, AVIF and JPEG XL, at their best settings for small grayscale images.

The settings were chosen for PSNR by measuring training images of Fashion-MNIST, at any cost in time:

- PNG: the smallest file of all row filters and deflate strategies at level 9, 3 % below Pillow's `optimize`.
- JPEG: the same quantiser step at all frequencies (the table in Annex K of the standard gives 0.7 dB less at equal
  bytes), optimised Huffman tables, and the smaller of baseline and progressive.
- WebP: method 6; lossy without spatial noise shaping, with one segment (at 28x28, 12 bytes smaller than with four
  segments) and the strongest deblocking; lossless at the highest effort.
- AVIF: one channel of full range, the slowest speed, tuned for PSNR, with the tools for screen content, which gain
  0.3 dB here. The default tuning needs a sixth more bytes.
- JPEG XL: a bare codestream; effort 9 when lossy (10 gives the same files), 10 when lossless.

The settings start at the lowest quality of each codec and end near 30 dB.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import imagecodecs
import numpy as np
import webp
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class GeneralCodec:
    """One codec at one setting: `encode` turns (height, width) uint8 into a file, `decode` reverses it."""

    name: str
    setting: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Pixels]
    lossless: bool = False


def _png(image: Pixels) -> bytes:
    tries = product(imagecodecs.PNG.FILTER, imagecodecs.PNG.STRATEGY)
    files = (imagecodecs.png_encode(image, 9, filter=filter_, strategy=strategy) for filter_, strategy in tries)
    return bytes(min(files, key=len))


def _jpeg(step: int, image: Pixels) -> bytes:
    table = [[step] * 64]
    files = (_save(image, "JPEG", qtables=table, optimize=True, progressive=each) for each in (False, True))
    return min(files, key=len)


def _webp(quality: float, image: Pixels) -> bytes:
    config = webp.WebPConfig.new(quality=quality, method=6)
    config.ptr.sns_strength = 0
    config.ptr.segments = 1
    config.ptr.filter_strength = 100
    picture = webp.WebPPicture.from_numpy(np.repeat(image[..., None], 3, axis=2))
    return bytes(picture.encode(config).buffer())


def _webp_lossless(image: Pixels) -> bytes:
    return _save(image, "WEBP", lossless=True, quality=100, method=6)


def _avif(quality: int, image: Pixels) -> bytes:
    return _save(
        image,
        "AVIF",
        quality=quality,
        speed=0,
        codec="aom",
        subsampling="4:0:0",
        range="full",
        max_threads=1,
        advanced={"tune": "psnr", "tune-content": "screen"},
    )


def _jpeg_xl(distance: float, image: Pixels) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(image, distance=distance, effort=9, usecontainer=False, numthreads=1))


def _jpeg_xl_lossless(image: Pixels) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(image, lossless=True, effort=10, usecontainer=False, numthreads=1))


def _save(image: Pixels, format_: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format_, **options)
    return stream.getvalue()


def _open(file: bytes) -> Pixels:
    with Image.open(io.BytesIO(file)) as opened:
        return np.asarray(opened.convert("L"))


def _open_jpeg_xl(file: bytes) -> Pixels:
    return np.asarray(imagecodecs.jpegxl_decode(file, numthreads=1))


JPEG_STEPS = (255, 200, 160, 130, 105, 80, 60, 40)
WEBP_QUALITIES = (0, 0.5, 1, 2, 5, 10, 20)
AVIF_QUALITIES = (0, 3, 6, 10, 16, 24)
JPEG_XL_DISTANCES = (25, 19, 15, 12, 9, 6, 4)

LOSSY_CODECS: tuple[GeneralCodec, ...] = (
    *(GeneralCodec("JPEG", f"step {step}", partial(_jpeg, step), _open) for step in JPEG_STEPS),
    *(GeneralCodec("WebP", f"quality {q}", partial(_webp, q), _open) for q in WEBP_QUALITIES),
    *(GeneralCodec("AVIF", f"quality {q}", partial(_avif, q), _open) for q in AVIF_QUALITIES),
    *(GeneralCodec("JPEG XL", f"distance {d}", partial(_jpeg_xl, d), _open_jpeg_xl) for d in JPEG_XL_DISTANCES),
)

LOSSLESS_CODECS: tuple[GeneralCodec, ...] = (
    GeneralCodec("PNG", "lossless", _png, _open, lossless=True),
    GeneralCodec("WebP", "lossless", _webp_lossless, _open, lossless=True),
    GeneralCodec("JPEG XL", "lossless", _jpeg_xl_lossless, _open_jpeg_xl, lossless=True),
)
