"""Check the images of callers, and convert pixels to the numbers that graphs take."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import Stack, as_list, as_stack, to_array
from fmae_edge.runtime.errors import InputError

_GRAY_MODE = "L"  # the Pillow mode whose array a codec of one channel takes
_DEEP_MODES = ("I", "F")  # 16 and 32 bits, which Pillow would clip to 8


def as_batch(images: object, shape: tuple[int, ...]) -> tuple[Stack, bool]:
    """Check `images` and return them as (N, *shape) with their dtype, and whether they were a single image.

    `images` is uint8, floating point in [0, 1], or lists of Python integers from 0 to 255. `shape` is that of one
    image: (height, width), or (channels, height, width). A batch has one more dimension in front; a batch of
    one-channel images may also be (N, 1, height, width). A long list is checked as its parts are taken.

    Raises InputError for another shape, dtype or range, and for a Pillow image in another mode than L.
    """
    return as_stack(images, "images", lambda part: _checked(_to_pixels(part), shape))


def as_one(image: object, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return one image, checked as by `as_batch`, as a batch of one; `image` may be a batch of one already."""
    array = _to_pixels(image)
    batch, _ = _checked(array, shape)
    if len(batch) != 1:
        raise InputError(
            f"images have shape {_text(array.shape)}; expected one of {_text(shape)}, or use compress_batch"
        )
    return batch


def _to_pixels(images: object) -> NDArray[Any]:
    """Return `images` as an array; lists of Python integers, which numpy makes int64, become uint8."""
    array = to_array(images, "images", _require_gray)
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


def _require_gray(item: object) -> None:
    """Raise InputError if `item` is a Pillow image whose array is not gray levels. Pillow is not imported."""
    mode = getattr(item, "mode", None)
    if not isinstance(mode, str) or not hasattr(item, "getbands"):
        return
    if mode.startswith(_DEEP_MODES):
        raise InputError(f"an image has Pillow mode {mode}, which is more than 8 bits; scale it to uint8 first")
    if mode != _GRAY_MODE:
        raise InputError(
            f'an image has Pillow mode {mode}; expected {_GRAY_MODE}: use image.convert("{_GRAY_MODE}")'
        )
    if "transparency" in getattr(item, "info", ()):
        raise InputError(
            "a Pillow image has transparent pixels; put it on a background, or use np.asarray(image) to take "
            "its gray levels as they are"
        )


def _checked(array: NDArray[Any], shape: tuple[int, ...]) -> tuple[NDArray[Any], bool]:
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        levels = " (for levels from 0 to 255, use .astype(np.uint8))" if array.dtype.kind in "iu" else ""
        raise InputError(f"images have dtype {array.dtype}; expected uint8{levels}, or floating point in [0, 1]")
    given = array.shape
    single = given == shape
    if single:
        array = array[None]
    elif array.ndim == len(shape) + 2 == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape[1:] != shape:
        expected = f"expected {_text(shape)} for one image or (N, {_text(shape)[1:]} for a batch"
        raise InputError(f"images have shape {_text(given)}; {expected}")
    if array.dtype.kind == "f" and array.size:
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # also true for NaN
            # str() shows as many digits as the dtype needs, so that 1.0000001 is not shown as 1
            values = f"values from {low!s} to {high!s}" if np.isfinite([low, high]).all() else "NaN or infinity"
            raise InputError(f"images have {values}; floating-point pixels must lie in [0, 1]")
    return array, single


def to_reals(images: NDArray[Any], channels: int) -> NDArray[np.float32]:
    """Convert a checked batch of images to (N, channels, height, width) float32 in [0, 1]."""
    scaled = images.astype(np.float32)
    if images.dtype == np.uint8:
        scaled /= np.float32(255)
    return np.ascontiguousarray(scaled.reshape(len(images), channels, *images.shape[-2:]))


def to_levels(images: NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Convert a checked batch of images to (N, channels, height, width) uint8: the nearest of the 256 levels."""
    levels = images if images.dtype == np.uint8 else to_uint8(images)
    return np.ascontiguousarray(levels.reshape(len(images), channels, *images.shape[-2:]))


def to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Round pixels to the nearest of the 256 levels; pixels outside [0, 1] are clipped."""
    levels: NDArray[np.uint8] = np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)
    return levels


def _text(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
