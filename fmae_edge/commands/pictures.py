"""Load images for the commands that draw, and reserve the file of the picture."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.gray_images import read_image
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.run import Outcome, settle
from fmae_edge.bulk.sources import STREAM, Source
from fmae_edge.commands.console import UsageError, say, say_error
from fmae_edge.data.image_file import Fit
from fmae_edge.runtime.codec import Codec


def picture_output(path: Path, force: bool, sources: Sequence[Source]) -> Outputs:
    """Claim the file for a picture of `sources`. Raises UsageError if `path` is not a .png file or `-`.

    Raises OutputError if it exists, unless `force` is set, or cannot be written.
    """
    if path != STREAM and (path.suffix.lower() != ".png" or path.is_dir()):
        raise UsageError(f"{path}: the picture must go to a file whose name ends in .png")
    outputs = Outputs(path, ".png", sources, (".png",), join=True, force=force)
    outputs.claim(path)
    outputs.rehearse(path)
    return outputs


def load_pictures(
    sources: Sequence[Source], codec: Codec, fit: Fit | None
) -> list[tuple[Source, NDArray[np.uint8]]]:
    """Load image files, or standard input for `-`, of the size of `codec`. Print an error for bad ones."""
    loaded: list[tuple[Source, NDArray[np.uint8]]] = []
    for source in sources:
        found = settle(source, partial(_load, source, codec, fit))
        if isinstance(found, Outcome):
            say_error(str(found.error), found.cause)
        else:
            loaded.append((source, found))
    return loaded


def _load(source: Source, codec: Codec, fit: Fit | None) -> NDArray[np.uint8]:
    pixels, notes = read_image(source, codec, fit)
    if notes:
        say(f"{source}: {'; '.join(notes)}", sys.stderr)
    return pixels
