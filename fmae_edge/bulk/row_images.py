"""Read the images of rows, encoded or as arrays, so that an invalid one is an error of its row alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import FmaeError, InputError, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fmae_edge.data.image_conversion import Fit

LONGEST_SHOWN = 60  # characters of a value in an error that is stored in a row
ENCODED = (bytes, bytearray, memoryview)


def read_rows(
    values: NDArray[Any], column: str, shape: tuple[int, ...], fit: "Fit | None"
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the pixels (N, *shape) of N rows, and a sentence per row: empty, or the reason why it is invalid.

    `values` is uint8 (N, *shape) or (N, numbers) in the same order, or an array of N objects: encoded images, or
    arrays and lists of levels from 0 to 255. Pixels of invalid rows are 0. `fit` changes encoded images of other
    sizes.

    Raises InputError if `values` is an array of strings. Raises FmaeError if a row is an encoded image and Pillow
    is not installed.
    """
    if values.dtype.kind in "SU":
        raise InputError(
            f"column {column!r} has dtype {values.dtype}, which drops zero bytes at the end; use dtype object"
        )
    if values.dtype == np.uint8 and values.shape[1:] in (shape, (int(np.prod(shape)),)):
        return values.reshape(len(values), *shape), [""] * len(values)
    pixels, errors = np.zeros((len(values), *shape), np.uint8), [""] * len(values)
    for number, value in enumerate(values):
        try:
            pixels[number] = _pixels(value, column, shape, fit)
        except InputError as error:
            errors[number] = str(error)
        except MemoryError:
            errors[number] = f"{column}: the image needs more memory than is available"
    return pixels, errors


def _pixels(value: object, column: str, shape: tuple[int, ...], fit: "Fit | None") -> NDArray[np.uint8]:
    if value is None:
        raise InputError(f"{column} is null")
    if isinstance(value, ENCODED):
        return _decoded(bytes(value), column, shape, fit)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{column} cannot be made into one array ({error})") from None
    if array.dtype.kind not in "iu":
        raise InputError(
            f"{column} is {shown(value, LONGEST_SHOWN)}; expected the bytes of an image file, or uint8 levels"
        )
    if array.shape not in (shape, (int(np.prod(shape)),)):
        raise InputError(f"{column} has shape {array.shape}; expected {shape}")
    if array.dtype != np.uint8 and array.size and not 0 <= array.min() <= array.max() <= 255:
        raise InputError(f"{column} has levels from {array.min()} to {array.max()}; expected 0 to 255")
    return array.astype(np.uint8).reshape(shape)


def _decoded(content: bytes, column: str, shape: tuple[int, ...], fit: "Fit | None") -> NDArray[np.uint8]:
    try:
        from fmae_edge.data.image_file import load_image
    except ModuleNotFoundError as error:
        raise FmaeError(
            f"column {column!r} has encoded images, which need {error.name}: pip install pillow"
        ) from error
    return load_image(content, column, (shape[0], shape[1]), 1 if len(shape) == 2 else 3, fit)[0]
