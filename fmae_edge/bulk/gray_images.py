"""Open the codec of a bundle for grayscale images, and read images for it."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.sources import Source, TooLargeError, read
from fmae_edge.data.image_file import Fit, SizeError, load_gray, max_image_bytes
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.cpus import VARIABLE
from fmae_edge.runtime.engine.graphs import Precision
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import is_fmae
from fmae_edge.runtime.format.npy_file import MAGIC


def open_gray_codec(bundle: str | Path | None, precision: Precision, many_files: bool = False) -> Codec:
    """Return the codec of a bundle. Raises BundleError, and InputError if its images are not grayscale.

    With `many_files`, the graphs get one thread, because other threads read and write files at the same time. With
    two threads for the graphs, a run on two CPUs took a fifth longer.
    """
    threads = 1 if many_files and VARIABLE not in os.environ else None
    codec = Codec(bundle, precision=precision, threads=threads)
    if codec.manifest.image_channels != 1:
        raise InputError(
            f"bundle {codec.manifest.name} is for images of {codec.manifest.image_channels} channels; "
            "only grayscale files are supported; for arrays, use fmae_edge.Codec"
        )
    return codec


def read_image(source: Source, codec: Codec, fit: Fit | None = None) -> tuple[NDArray[np.uint8], list[str]]:
    """Return a grayscale image (height, width) of the size that `codec` takes, and notes on conversions.

    Raises InputError if `source` is not an image, has too many bytes, or has another size and `fit` is not set.
    """
    size = (codec.manifest.image_height, codec.manifest.image_width)
    try:
        content = read(source, max_image_bytes(size, fit))
    except TooLargeError as error:
        if fit:
            raise
        raise InputError(f"{error}; --fit resize allows larger images") from None
    if content.startswith(MAGIC) or is_fmae(content):
        raise InputError(f"{source}: is a compressed file, not an image; use fmae-edge decompress")
    try:
        return load_gray(content, str(source), size, fit)
    except SizeError as error:  # its message does not name the option
        raise InputError(f"{error}; --fit resize will resize it") from None
