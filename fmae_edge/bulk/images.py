"""Read one image that the user gave, and tell what to do about one that cannot be used."""

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.sources import Source, TooLargeError, read
from fmae_edge.data.image_file import Fit, SizeError, load_gray, max_image_bytes
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import is_fmae
from fmae_edge.runtime.format.npy_file import MAGIC


def read_image(source: Source, size: tuple[int, int], fit: Fit | None) -> tuple[NDArray[np.uint8], list[str]]:
    """Return a grayscale image (height, width) = `size`, and notes on what had to be converted.

    Raises InputError if `source` is not an image, has too many bytes, or has another size and `fit` is not set.
    """
    try:
        content = read(source, max_image_bytes(size, fit))
    except TooLargeError as error:
        if fit:
            raise
        raise InputError(f"{error}; --fit resize takes larger images") from None
    if content.startswith(MAGIC) or is_fmae(content):
        raise InputError(f"{source}: is a compressed file, not an image; use fmae-edge decompress")
    try:
        return load_gray(content, str(source), size, fit)
    except SizeError as error:  # which does not know the option
        raise InputError(f"{error}; --fit resize will resize it") from None
