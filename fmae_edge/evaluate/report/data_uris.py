"""Encode pixels as data URIs, so that a page contains its images."""

import base64
import io
import math

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

ERROR_COLOURS = "inferno"
LARGEST_DIFFERENCE = 128  # levels of 255, drawn in the lightest colour
_GAP = 2
_ATLAS_QUALITY = 20
_MAP_QUALITY = 80
_LARGEST_LOSSLESS = 64 * 64 * 3  # bytes of an image; larger ones would make the page tens of megabytes
_STRIP_QUALITY = 90


def in_colours(values: Floats, low: float, high: float) -> Pixels:
    """Return values (...) from `low` to `high` as uint8 colours (..., 3), from dark to light."""
    scaled = (values - low) / ((high - low) or 1.0)
    colours: Pixels = colormaps[ERROR_COLOURS](np.clip(scaled, 0, 1), bytes=True)[..., :3]
    return colours


def psnr_colours(values: Floats, low: float, high: float) -> Floats:
    """Return PSNRs (...) from `low` to `high` dB as colours (..., 3) in [0, 1], all of them light on black."""
    scaled = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    colours: Floats = colormaps["viridis"](0.35 + 0.65 * scaled)[..., :3]
    return colours


def psnr_scale() -> str:
    """Return the colour scale of `psnr_colours`, from left to right."""
    return png(np.rint(psnr_colours(np.linspace(0, 1, 128), 0, 1)[None] * 255).astype(np.uint8))


def error_scale() -> str:
    """Return the colour scale of errors, from left to right."""
    return png(in_colours(np.linspace(0, 1, 128), 0, 1)[None])


def strip(original: Pixels, decoded: Pixels) -> str:
    """Return an image (height, width[, 3]), its reconstruction and their absolute difference, side by side.

    The difference of RGB images is the mean over their channels.
    """
    difference = np.abs(original.astype(np.int16) - decoded)
    if original.ndim == 3:
        difference, parts = difference.mean(axis=2), [original, decoded]
    else:
        parts = [np.repeat(part[..., None], 3, axis=2) for part in (original, decoded)]
    parts.append(in_colours(difference.astype(np.float64), 0, LARGEST_DIFFERENCE))
    height, width = original.shape[:2]
    pixels = np.zeros((height, 3 * width + 2 * _GAP, 4), np.uint8)  # the gaps stay transparent
    for number, part in enumerate(parts):
        left = number * (width + _GAP)
        pixels[:, left : left + width, :3] = part
        pixels[:, left : left + width, 3] = 255
    return png(pixels) if original.nbytes <= _LARGEST_LOSSLESS else webp(pixels, _STRIP_QUALITY)


def atlas(images: Pixels) -> str:
    """Return N images (N, height, width[, 3]) as tiles of one lossy image, row by row, `atlas_columns` per row."""
    count, height, width = images.shape[:3]
    channels = images.shape[3:]
    columns = atlas_columns(count)
    rows = -(-count // columns)
    tiles = np.zeros((rows * columns, height, width, *channels), np.uint8)
    tiles[:count] = images
    grid = tiles.reshape(rows, columns, height, width, *channels).swapaxes(1, 2)
    pixels = grid.reshape(rows * height, columns * width, *channels)
    return webp(pixels, _ATLAS_QUALITY)


def atlas_columns(count: int) -> int:
    """Return the number of tiles per row of an atlas of `count` tiles."""
    return math.isqrt(count - 1) + 1


def map_picture(pixels: Pixels) -> str:
    """Return the map (side, side, 3) as a lossy image."""
    return webp(pixels, _MAP_QUALITY)


def png(pixels: Pixels) -> str:
    """Return pixels (height, width) or (height, width, 3 or 4) as a lossless image."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return _uri("png", stream.getvalue())


def webp(pixels: Pixels, quality: int) -> str:
    """Return pixels (height, width) or (height, width, 3 or 4) as a lossy image."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=quality, method=4)
    return _uri("webp", stream.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
