"""Images beside what a file of them gives back, and how the two differ, as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge.measure.figure import Column, draw_columns, quality_captions
from fmae_edge.measure.quality import Quality

# 1.3 % of the pixels of the first 256 test images, at quality 5, differ by the 64 levels that this shows as black
# or white. With a factor of 4 it would be 6.4 %: good and bad reconstructions are harder to tell apart then.
DIFFERENCE_FACTOR = 2
_MIDDLE = 128


@dataclass(frozen=True)
class Comparison:
    """An image file and its reconstruction, (height, width) uint8, through a file of so many bytes."""

    name: str
    original: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    file_bytes: int
    quality: Quality

    @property
    def difference(self) -> NDArray[np.uint8]:
        """The enlarged difference, (height, width)."""
        return enlarged_difference(self.original, self.reconstruction)


def enlarged_difference(original: NDArray[np.uint8], reconstruction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 128 + 2 (reconstruction - original), cut off at 0 and 255, in the shape of both; all are uint8.

    Gray is equal, lighter is too bright, darker too dark; from 64 levels on it is white or black.
    """
    difference = reconstruction.astype(np.int64) - original
    enlarged: NDArray[np.uint8] = np.clip(_MIDDLE + DIFFERENCE_FACTOR * difference, 0, 255).astype(np.uint8)
    return enlarged


def draw_comparisons(comparisons: Sequence[Comparison], said_of_reconstructions: str) -> Image.Image:
    """Return the picture: originals, reconstructions and enlarged differences, with bytes, PSNR and SSIM."""
    labels = (
        "original",
        f"reconstruction,\n{said_of_reconstructions}",
        f"difference,\n{DIFFERENCE_FACTOR} times; gray\nis no difference",
    )
    return draw_columns(
        [
            Column(
                (each.original, each.reconstruction, each.difference),
                (Path(each.name).name, f"{each.file_bytes} bytes", *quality_captions(each.quality)),
            )
            for each in comparisons
        ],
        labels,
    )
