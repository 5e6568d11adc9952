"""How the commands that draw images load them."""

import sys

import numpy as np
from numpy.typing import NDArray

from fmae_edge.cli.console import say
from fmae_edge.cli.files import Source, read
from fmae_edge.cli.image_file import MAX_FILE_BYTES, Fit, load_gray


def load_picture(source: Source, size: tuple[int, int], fit: Fit | None) -> NDArray[np.uint8]:
    """Load an image file, or standard input for `-`, as (height, width) = `size`; conversions are said on stderr.

    Raises InputError if there is no such image.
    """
    pixels, notes = load_gray(read(source, MAX_FILE_BYTES), str(source), size, fit)
    if notes:
        say(f"{source}: {'; '.join(notes)}", sys.stderr)
    return pixels
