"""Draw images with their reconstructions and the differences, as one picture."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge.measure.figure import Column, draw_columns, quality_captions
from fmae_edge.measure.half_blocks import choose_style, side_by_side
from fmae_edge.measure.quality import Quality

# At quality 5, 1.3 % of the pixels of the first 256 test images differ by 64 levels or more, which a factor of 2
# shows as black or white. A factor of 4 would clip 6.4 %, and hide whether a reconstruction is good or bad.
DIFFERENCE_FACTOR = 2
_MIDDLE = 128
_UNLIMITED = 10_000  # columns, if the stream is not a terminal


@dataclass(frozen=True)
class Comparison:
    """An image and its reconstruction from a file of `file_bytes` by a bundle, both (height, width[, 3]) uint8."""

    bundle: str
    name: str
    original: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    file_bytes: int
    quality: Quality

    @property
    def difference(self) -> NDArray[np.uint8]:
        """Return the enlarged difference, in the shape of the images, uint8."""
        return enlarged_difference(self.original, self.reconstruction)


def enlarged_difference(original: NDArray[np.uint8], reconstruction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 128 + 2 (reconstruction - original), clipped to 0 and 255; all three are uint8 of one shape.

    Equal pixels are gray, too bright ones lighter, too dark ones darker; 64 levels or more are white or black. The
    channels of RGB images are compared one by one.
    """
    difference = reconstruction.astype(np.int64) - original
    enlarged: NDArray[np.uint8] = np.clip(_MIDDLE + DIFFERENCE_FACTOR * difference, 0, 255).astype(np.uint8)
    return enlarged


def draw_comparisons(comparisons: Sequence[Sequence[Comparison]], settings: str) -> Image.Image:
    """Draw originals, reconstructions and enlarged differences, with bytes, PSNR and SSIM.

    `comparisons` has those of all images with one bundle, or for each bundle. With several, a pair of rows shows
    each one. `settings` is written below the label of the reconstructions, for example "quality 5".
    """
    several = len(comparisons) > 1
    labels = ["original"]
    for first, *_ in comparisons:
        labels += [
            f"{Path(first.bundle).name if several else 'reconstruction'},\n{settings}",
            f"difference,\n{DIFFERENCE_FACTOR} times; gray\nmeans equal",
        ]
    columns = []
    for of_image in zip(*comparisons, strict=True):
        images, captions = [of_image[0].original], [Path(of_image[0].name).name]
        for each in of_image:
            images += [each.reconstruction, each.difference]
            prefix = f"{Path(each.bundle).name}: " if several else ""
            captions += [f"{prefix}{each.file_bytes} bytes", *quality_captions(each.quality)]
        columns.append(Column(images, captions))
    return draw_columns(columns, labels)


def comparison_text(comparison: Comparison, stream: TextIO, colours: bool) -> str:
    """Return a comparison as text in the encoding and width of `stream`, shaded characters without `colours`."""
    images = [
        ("original", comparison.original),
        ("reconstruction", comparison.reconstruction),
        (f"difference, {DIFFERENCE_FACTOR} times", comparison.difference),
    ]
    quality = comparison.quality
    figures = f"{comparison.file_bytes} bytes, PSNR {quality.psnr_pooled:.2f} dB, SSIM {quality.ssim:.4f}"
    return f"{figures}\n{side_by_side(images, choose_style(stream.encoding, colours), _columns(stream))}"


def _columns(stream: TextIO) -> int:
    """Return the width of the terminal: COLUMNS, or the size that the terminal reports."""
    try:
        reported = os.get_terminal_size(stream.fileno())
    except OSError:
        reported = os.terminal_size((_UNLIMITED, 1))
    return shutil.get_terminal_size(reported).columns or _UNLIMITED
