"""Draw images as text in a terminal.

A character cell is about twice as high as wide, so it shows two pixels, one above the other: an upper half block
in the colour of the upper pixel, on a background in the colour of the lower. Without colours, one character shades
both; RGB is shaded by its luma.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Style = Literal["half blocks", "shades", "ascii"]

_HALF_BLOCK, _RESET = "\u2580", "\x1b[0m"
# From dark to bright, on a dark background
_RAMPS = {"shades": " \u2591\u2592\u2593\u2588", "ascii": " .:-=+*#%@"}
_GAP = 2
_LUMA = (0.299, 0.587, 0.114)  # of RGB, ITU-R BT.601


def choose_style(encoding: str, colours: bool) -> Style:
    """Return the best style whose characters `encoding` contains; half blocks need `colours`."""
    preferred: Style = "half blocks" if colours else "shades"
    try:
        (_HALF_BLOCK if colours else _RAMPS["shades"]).encode(encoding)
    except UnicodeEncodeError:
        return "ascii"
    return preferred


def side_by_side(pictures: Sequence[tuple[str, NDArray[np.uint8]]], style: Style, width: int) -> str:
    """Return lines with (caption, image) pairs side by side, as many as fit into `width` columns but at least one.

    Images are (height, width[, 3]) uint8 of one shape. The pairs that do not fit follow below.
    """
    cell = max(max(len(caption), image.shape[1]) for caption, image in pictures)
    across = max(1, (width + _GAP) // (cell + _GAP))
    lines = []
    for at in range(0, len(pictures), across):
        group = pictures[at : at + across]
        padded = [
            [line + " " * (cell - image.shape[1]) for line in image_lines(image, style)] for _, image in group
        ]
        lines += [(" " * _GAP).join(row) for row in zip(*padded, strict=True)]
        lines.append((" " * _GAP).join(caption.ljust(cell) for caption, _ in group))
    return "\n".join(line.rstrip() for line in lines)


def image_lines(image: NDArray[np.uint8], style: Style) -> list[str]:
    """Return one line of text per two rows of pixels (height, width[, 3]), with one character per column."""
    if style == "half blocks":
        colours = np.broadcast_to(image[..., None], (*image.shape, 3)) if image.ndim == 2 else image
        lines = zip_longest(colours[::2].tolist(), colours[1::2].tolist())
        return [_half_block_line(upper, lower) for upper, lower in lines]
    gray = image if image.ndim == 2 else np.rint(image @ _LUMA).astype(np.uint8)
    pairs = zip_longest(gray[::2].tolist(), gray[1::2].tolist())
    ramp = _RAMPS[style]
    return [
        "".join(ramp[(a + b) * len(ramp) // 512] for a, b in zip(upper, lower or upper, strict=True))
        for upper, lower in pairs
    ]


def _half_block_line(upper: Sequence[Sequence[int]], lower: Sequence[Sequence[int]] | None) -> str:
    """Return a line in 24-bit colours, with colour codes only where a colour changes."""
    text = []
    ink: Sequence[int] | None = None
    paper: Sequence[int] | None = None
    for column, colour in enumerate(upper):
        if colour != ink:
            text.append("\x1b[38;2;{};{};{}m".format(*colour))
        if lower is not None and lower[column] != paper:
            paper = lower[column]
            text.append("\x1b[48;2;{};{};{}m".format(*paper))
        text.append(_HALF_BLOCK)
        ink = colour
    return "".join(text) + _RESET
