"""How the commands that draw images load them."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge.cli.console import say
from fmae_edge.cli.destination import Destination
from fmae_edge.cli.files import STREAM, Source, read
from fmae_edge.cli.image_file import MAX_FILE_BYTES, Fit, load_gray
from fmae_edge.cli.usage import UsageError


def picture_file(path: Path) -> Destination:
    """Return where a picture goes. Raises UsageError if that is no .png file and not `-`."""
    if path != STREAM and (path.suffix.lower() != ".png" or path.is_dir()):
        raise UsageError(f"{path}: a picture goes to a file, whose name must end in .png")
    return Destination(path)


def load_picture(source: Source, size: tuple[int, int], fit: Fit | None) -> NDArray[np.uint8]:
    """Load an image file, or standard input for `-`, as (height, width) = `size`; conversions are said on stderr.

    Raises InputError if there is no such image.
    """
    pixels, notes = load_gray(read(source, MAX_FILE_BYTES), str(source), size, fit)
    if notes:
        say(f"{source}: {'; '.join(notes)}", sys.stderr)
    return pixels
