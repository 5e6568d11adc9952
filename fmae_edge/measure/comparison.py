"""Draw images beside their reconstructions and the differences, as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge.measure.figure import Column, draw_columns, quality_captions
from fmae_edge.measure.quality import Quality

# At quality 5, 1.3 % of the pixels of the first 256 test images differ by 64 levels or more, which a factor of 2
# shows as black or white. A factor of 4 would clip 6.4 %, and hide whether a reconstruction is good or bad.
DIFFERENCE_FACTOR = 2
_MIDDLE = 128


@dataclass(frozen=True)
class Comparison:
    """An image and its reconstruction, both (height, width) uint8, from a compressed file of `file_bytes`."""

    name: str
    original: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    file_bytes: int
    quality: Quality

    @property
    def difference(self) -> NDArray[np.uint8]:
        """Return the enlarged difference, (height, width) uint8."""
        return enlarged_difference(self.original, self.reconstruction)


def enlarged_difference(original: NDArray[np.uint8], reconstruction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 128 + 2 (reconstruction - original), clipped to 0 and 255; all three are uint8 of one shape.

    Equal pixels are gray, too bright ones lighter, too dark ones darker; 64 levels or more are white or black.
    """
    difference = reconstruction.astype(np.int64) - original
    enlarged: NDArray[np.uint8] = np.clip(_MIDDLE + DIFFERENCE_FACTOR * difference, 0, 255).astype(np.uint8)
    return enlarged


def draw_comparisons(comparisons: Sequence[Comparison], settings: str) -> Image.Image:
    """Draw originals, reconstructions and enlarged differences, with bytes, PSNR and SSIM.

    `settings` is written below the label of the reconstructions, for example "quality 5".
    """
    labels = (
        "original",
        f"reconstruction,\n{settings}",
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
