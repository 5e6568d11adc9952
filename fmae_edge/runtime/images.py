"""What the codec takes as images, and how pixels become the numbers that the graphs work on."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arrays import Stack, as_stack, to_array
from fmae_edge.runtime.errors import InputError


def as_batch(images: object, shape: tuple[int, ...]) -> tuple[Stack, bool]:
    """Check `images` and return them as (N, *shape) with their dtype, and whether it was one image alone.

    `images` is uint8, or floating point in [0, 1]; `shape` is that of one image: (height, width), or
    (channels, height, width). One image has that shape, a batch one more dimension in front; a batch of
    one-channel images may also be (N, 1, height, width). A long list is checked as its parts are taken.

    Raises InputError if the shape, the dtype or the range is another.
    """
    return as_stack(images, "images", lambda some: _checked(to_array(some, "images"), shape))


def as_one(image: object, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return one image, checked as by `as_batch`, as a batch of one; a batch of one is one image too."""
    array = to_array(image, "images")
    batch, _ = _checked(array, shape)
    if len(batch) != 1:
        raise InputError(
            f"images have shape {_text(array.shape)}; expected one of {_text(shape)}, or use compress_batch"
        )
    return batch


def _checked(array: NDArray[Any], shape: tuple[int, ...]) -> tuple[NDArray[Any], bool]:
    expected = f"expected {_text(shape)} for one image or (N, {_text(shape)[1:]} for a batch"
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputError(f"images have dtype {array.dtype}; expected uint8, or floating point in [0, 1]")
    given = array.shape
    single = given == shape
    if single:
        array = array[None]
    elif array.ndim == len(shape) + 2 == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape[1:] != shape:
        raise InputError(f"images have shape {_text(given)}; {expected}")
    if array.dtype.kind == "f" and array.size:
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # written so that NaN fails it
            found = "NaN or infinity" if not math.isfinite(low + high) else f"values from {low:g} to {high:g}"
            raise InputError(f"images have {found}; floating-point pixels must lie in [0, 1]")
    return array, single


def to_reals(images: NDArray[Any], channels: int) -> NDArray[np.float32]:
    """Turn a checked batch of images into (N, channels, height, width) float32 in [0, 1]."""
    scaled = images.astype(np.float32)
    if images.dtype == np.uint8:
        scaled /= np.float32(255)
    return np.ascontiguousarray(scaled.reshape(len(images), channels, *images.shape[-2:]))


def to_levels(images: NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Turn a checked batch of images into (N, channels, height, width) uint8: the nearest of the 256 levels."""
    levels = images if images.dtype == np.uint8 else to_uint8(images)
    return np.ascontiguousarray(levels.reshape(len(images), channels, *images.shape[-2:]))


def to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Round pixels in [0, 1] to the nearest of the 256 levels; what lies outside is clipped."""
    levels: NDArray[np.uint8] = np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)
    return levels


def _text(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
