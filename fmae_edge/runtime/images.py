"""Check the images of callers, and convert pixels to the numbers that graphs take."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import Stack, as_list, as_stack, to_array
from fmae_edge.runtime.errors import InputError

_MODES = {1: "L", 3: "RGB"}  # the Pillow mode whose array a codec of that many channels takes
_DEEP_MODES = ("I", "F")  # 16 and 32 bits, which Pillow would clip to 8
_ITEMS_AT_ONCE = 1024  # of a list of 28x28 images: with fewer, one array takes little memory
_USUAL_NUMBERS = 28 * 28


def fewer_if_larger(images: int, numbers: int) -> int:
    """Return how many images of `numbers` pixels or channels take the memory of `images` of 28x28 gray ones.

    The result is at least 1 and at most `images`.
    """
    return max(1, min(images, images * _USUAL_NUMBERS // numbers))


def as_batch(images: object, shape: tuple[int, ...]) -> tuple[Stack, bool]:
    """Check `images` and return them as (N, *shape) with their dtype, and whether they were a single image.

    `images` is uint8, floating point in [0, 1], or lists of Python integers from 0 to 255. `shape` is that of one
    image: (height, width), or (height, width, channels). A batch has one more dimension in front; a batch of
    one-channel images may also be (N, 1, height, width). A long list is checked as its parts are taken.

    Raises InputError for another shape, dtype or range, and for a Pillow image in another mode than L, or RGB for
    three channels.
    """
    if isinstance(images, np.ndarray):  # which needs none of the steps for lists
        return _checked(_to_pixels(images, shape), shape)
    items_at_once = fewer_if_larger(_ITEMS_AT_ONCE, math.prod(shape))
    return as_stack(images, "images", lambda part: _checked(_to_pixels(part, shape), shape), items_at_once)


def as_one(image: object, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return one image, checked as by `as_batch`, as a batch of one; `image` may be a batch of one already."""
    array = _to_pixels(image, shape)
    batch, _ = _checked(array, shape)
    if len(batch) != 1:
        raise InputError(
            f"images have shape {_text(array.shape)}; expected one of {_text(shape)}, or use compress_batch"
        )
    return batch


def _to_pixels(images: object, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return `images` as an array; lists of Python integers, which numpy makes int64, become uint8."""
    if isinstance(images, np.ndarray):  # whose dtype decides
        return np.asarray(images)
    mode = _MODES.get(_channels(shape), "")
    array = to_array(images, "images", lambda item: _require_mode(item, mode))
    if array.dtype.kind not in "iu" or not _are_python_integers(images):
        return array
    for extreme in (array.min(), array.max()) if array.size else ():
        if not 0 <= extreme <= 255:
            raise InputError(f"images are lists that contain {extreme}; expected levels from 0 to 255")
    return array.astype(np.uint8)


def _are_python_integers(values: object) -> bool:
    """Return whether `values` are lists of Python integers; numpy's integers have a dtype that decides."""
    if type(values) is int:
        return True
    items = as_list(values)
    return items is not None and all(map(_are_python_integers, items))


def _require_mode(item: object, expected: str) -> None:
    """Raise InputError if `item` is a Pillow image in another mode than `expected`. Pillow is not imported."""
    mode = getattr(item, "mode", None)
    if not isinstance(mode, str) or not hasattr(item, "getbands"):
        return
    if mode.startswith(_DEEP_MODES):
        raise InputError(f"an image has Pillow mode {mode}, which is more than 8 bits; scale it to uint8 first")
    if mode != expected:
        raise InputError(f'an image has Pillow mode {mode}; expected {expected}: use image.convert("{expected}")')
    if "transparency" in getattr(item, "info", ()):
        raise InputError(
            "a Pillow image has transparent pixels; put it on a background, or use np.asarray(image) to take "
            "its levels as they are"
        )


def _checked(array: NDArray[Any], shape: tuple[int, ...]) -> tuple[NDArray[Any], bool]:
    levels = array.dtype == np.uint8
    if not levels and array.dtype.kind != "f":
        advice = " (for levels from 0 to 255, use .astype(np.uint8))" if array.dtype.kind in "iu" else ""
        raise InputError(f"images have dtype {array.dtype}; expected uint8{advice}, or floating point in [0, 1]")
    given = array.shape
    single = given == shape
    if single:
        array = array[None]
    elif array.ndim == len(shape) + 2 == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape[1:] != shape:
        expected = f"expected {_text(shape)} for one image or (N, {_text(shape)[1:]} for a batch"
        raise InputError(f"images have shape {_text(given)}; {expected}")
    if not levels and array.size:
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # also true for NaN
            # str() shows as many digits as the dtype needs, so that 1.0000001 is not shown as 1
            values = f"values from {low!s} to {high!s}" if np.isfinite([low, high]).all() else "NaN or infinity"
            raise InputError(f"images have {values}; floating-point pixels must lie in [0, 1]")
    return array, single


def to_reals(images: NDArray[Any]) -> NDArray[np.float32]:
    """Convert a checked batch of images to float32 in [0, 1]."""
    scaled: NDArray[np.float32] = images.astype(np.float32)
    if images.dtype == np.uint8:
        scaled /= np.float32(255)
    return scaled


def to_levels(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert a checked batch of images to uint8: the nearest of the 256 levels."""
    return images if images.dtype == np.uint8 else to_uint8(images)


def channels_first(images: NDArray[Any]) -> NDArray[Any]:
    """Return images (N, height, width) or (N, height, width, channels) as (N, channels, height, width)."""
    return images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def channels_last(images: NDArray[Any]) -> NDArray[Any]:
    """Return images (N, channels, height, width) as (N, height, width), or (N, height, width, channels)."""
    return images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)


def to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Round pixels to the nearest of the 256 levels; pixels outside [0, 1] are clipped."""
    levels: NDArray[np.uint8] = np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)
    return levels


def _channels(shape: tuple[int, ...]) -> int:
    return shape[2] if len(shape) == 3 else 1


def _text(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
