"""Encode and decode with PNG, JPEG, WebP, AVIF and JPEG XL, at their best settings for small images.

The settings were chosen for PSNR, at any cost in time: those for gray images by measuring training images of
Fashion-MNIST, those for RGB with icons of 32x32 pixels and photographs of 256x256.

- PNG: the smallest file of all row filters and deflate strategies at level 9, 3 % below Pillow's `optimize`.
- JPEG: the same quantiser step at all frequencies (the table in Annex K of the standard gives 0.7 dB less at equal
  bytes), optimised Huffman tables, and the smaller of baseline and progressive. RGB: chroma in full and in half
  resolution, and also the tables of Annex K, which are better for some photographs.
- WebP: method 6; lossy without spatial noise shaping, with one segment (at 28x28, 12 bytes smaller than with four
  segments) and the strongest deblocking; lossless at the highest effort. Chroma always has half the resolution, so
  RGB is converted both by averaging and by libwebp's "sharp YUV", which gives 0.3 to 1 dB more for 2 to 4 % more
  bytes. Lossless files keep RGB exactly.
- AVIF: full range, the slowest speed, tuned for PSNR, with the tools for screen content, which gain 0.3 dB here.
  The default tuning needs a sixth more bytes. Images above 64x64 have speed 3, which needs a third of the time and
  up to 4 % more bytes. RGB: chroma in full and in half resolution.
- JPEG XL: a bare codestream; effort 9 when lossy (10 gives the same files); when lossless, 10 up to 64x64 and 9
  above, where it is no worse. Lossy RGB is in the XYB colour space: the binding cannot turn that off.

At equal PSNR, no setting here needs more bytes than Pillow's defaults; a test compares them.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import imagecodecs
import numpy as np
import webp
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

# The position of `use_sharp_yuv` among the 4-byte fields of libwebp's struct WebPConfig, which the binding omits
_USE_SHARP_YUV = 26


@dataclass(frozen=True)
class GeneralCodec:
    """One codec at one setting: `encode` turns (height, width[, 3]) uint8 into a file, `decode` reverses it."""

    name: str
    setting: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Pixels]
    lossless: bool = False


def png(image: Pixels) -> bytes:
    """Return the smallest PNG file."""
    tries = product(imagecodecs.PNG.FILTER, imagecodecs.PNG.STRATEGY)
    files = (imagecodecs.png_encode(image, 9, filter=filter_, strategy=strategy) for filter_, strategy in tries)
    return bytes(min(files, key=len))


def jpeg(step: int, subsampling: str, image: Pixels) -> bytes:
    """Return a JPEG file whose quantiser has the same step, 1 to 255, at all frequencies."""
    if image.ndim == 2:
        return _smaller_jpeg(image, qtables=[[step] * 64])
    return _smaller_jpeg(image, qtables=[[step] * 64] * 2, subsampling=subsampling)


def standard_jpeg(quality: int, subsampling: str, image: Pixels) -> bytes:
    """Return a JPEG file with the quantiser tables of Annex K of the standard, scaled by `quality`, 1 to 100."""
    return _smaller_jpeg(image, quality=quality, subsampling=subsampling)


def _smaller_jpeg(image: Pixels, **options: object) -> bytes:
    files = (_save(image, "JPEG", optimize=True, progressive=each, **options) for each in (False, True))
    return min(files, key=len)


def lossy_webp(quality: float, sharp: bool, image: Pixels) -> bytes:
    """Return a lossy WebP file, quality 0 to 100; `sharp` converts RGB so that its luma is closest."""
    config = webp.WebPConfig.new(quality=quality, method=6)
    config.ptr.sns_strength = 0
    config.ptr.segments = 1
    config.ptr.filter_strength = 100
    fields = webp.ffi.cast("int *", config.ptr)  # type: ignore[attr-defined]  # the stubs omit it
    fields[_USE_SHARP_YUV] = sharp
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else np.ascontiguousarray(image)
    return bytes(webp.WebPPicture.from_numpy(rgb).encode(config).buffer())


def lossless_webp(image: Pixels) -> bytes:
    """Return a lossless WebP file."""
    return _save(image, "WEBP", lossless=True, quality=100, method=6)


def avif(quality: int, subsampling: str, speed: int, image: Pixels) -> bytes:
    """Return an AVIF file, quality 0 to 100, speed 0 to 10."""
    return _save(
        image,
        "AVIF",
        quality=quality,
        speed=speed,
        codec="aom",
        subsampling=subsampling,
        range="full",
        max_threads=1,
        advanced={"tune": "psnr", "tune-content": "screen"},
    )


def jpeg_xl(distance: float, image: Pixels) -> bytes:
    """Return a lossy JPEG XL codestream, distance 25 (worst) to 0.01."""
    return bytes(imagecodecs.jpegxl_encode(image, distance=distance, effort=9, usecontainer=False, numthreads=1))


def lossless_jpeg_xl(effort: int, image: Pixels) -> bytes:
    """Return a lossless JPEG XL codestream, effort 1 to 10."""
    return bytes(imagecodecs.jpegxl_encode(image, lossless=True, effort=effort, usecontainer=False, numthreads=1))


def _save(image: Pixels, format_: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format_, **options)
    return stream.getvalue()


def open_gray(file: bytes) -> Pixels:
    """Return the pixels (height, width) of a PNG, JPEG, WebP or AVIF file."""
    with Image.open(io.BytesIO(file)) as opened:
        return np.asarray(opened.convert("L"))


def open_rgb(file: bytes) -> Pixels:
    """Return the pixels (height, width, 3) of a PNG, JPEG, WebP or AVIF file."""
    with Image.open(io.BytesIO(file)) as opened:
        return np.asarray(opened.convert("RGB"))


def open_jpeg_xl(file: bytes) -> Pixels:
    """Return the pixels of a JPEG XL codestream, (height, width[, 3])."""
    return np.asarray(imagecodecs.jpegxl_decode(file, numthreads=1))
