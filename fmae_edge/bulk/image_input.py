"""Open the codec of a bundle, and read images for it in its size and colours."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.sources import Source, TooLargeError, read
from fmae_edge.data.image_limits import max_image_bytes
from fmae_edge.data.plain_png import read_plain_png
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.cpus import VARIABLE
from fmae_edge.runtime.engine.graphs import Precision
from fmae_edge.runtime.engine.providers import ProvidersLike
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import is_fmae
from fmae_edge.runtime.format.npy_file import MAGIC

if TYPE_CHECKING:  # Pillow is imported for the first image that needs it
    from fmae_edge.data.image_conversion import Channels, Fit

_NUMBERS_AT_ONCE = 1 << 21  # of all images that are converted together


def open_codec(
    bundle: str | Path | None,
    precision: Precision | None,
    providers: ProvidersLike = None,
    beside_threads: bool = False,
) -> Codec:
    """Return the codec of a bundle. Raises BundleError, and InputError if its images are neither gray nor RGB.

    With `beside_threads`, the graphs get one thread, because other threads read and write files at the same time.
    With two threads for the graphs, a run on two CPUs took a fifth longer.
    """
    threads = 1 if beside_threads and VARIABLE not in os.environ else None
    codec = Codec(bundle, precision=precision, threads=threads, providers=providers)
    channels_of(codec)
    return codec


def channels_of(codec: Codec) -> "Channels":
    """Return the channels of the images of `codec`. Raises InputError if they are neither 1 nor 3."""
    match codec.manifest.image_channels:
        case 1:
            return 1
        case 3:
            return 3
        case other:
            raise InputError(
                f"bundle {codec.manifest.name} is for images of {other} channels; the command line handles "
                "grayscale and RGB, use fmae_edge.Codec"
            )


def files_at_once(codec: Codec, most: int) -> int:
    """Return how many images of `codec` to convert together: `most`, or fewer large ones, which bounds memory."""
    return max(1, min(most, _NUMBERS_AT_ONCE // math.prod(codec.manifest.image_shape)))


def read_image(
    source: Source, codec: Codec, fit: "Fit | None" = None, alone: bool = False
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return an image of the size and colours that `codec` takes, and notes on conversions.

    It is (height, width) gray levels, or (height, width, 3) RGB. For an image `alone`, Pillow is imported only if
    it has to be: decoding a plain PNG without it takes longer, but far less than its import.

    Raises InputError if `source` is not an image, has too many bytes, or has another size and `fit` is not set.
    """
    size = (codec.manifest.image_height, codec.manifest.image_width)
    try:
        content = read(source, max_image_bytes(size, fit))
    except TooLargeError as error:
        if fit:
            raise
        raise InputError(f"{error}; --fit resize allows larger images") from None
    plain = read_plain_png(content, codec.manifest.image_shape, with_pillow=not alone)
    if plain is not None:
        return plain, []
    if content.startswith(MAGIC) or is_fmae(content):
        raise InputError(f"{source}: is a compressed file, not an image; use fmae-edge decompress")
    from fmae_edge.data.image_file import SizeError, load_image

    try:
        image, notes = load_image(content, str(source), size, channels_of(codec), fit)
        return image, [*notes]
    except SizeError as error:  # its message does not name the option
        raise InputError(f"{error}; --fit resize will resize it, crop and pad keep its proportions") from None
