"""One picture: originals over their reconstructions, with PSNR and SSIM under each. Drawn with Pillow."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fmae_edge.evaluate.quality import Quality

_SCALE = 5
_MARGIN = 12
_TEXT_HEIGHT = 15
_BACKGROUND, _INK = 255, 40


def draw_reconstructions(
    originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8], qualities: Sequence[Quality]
) -> Image.Image:
    """Return the figure of N (height, width) uint8 images: a column each, enlarged 5 times pixel by pixel."""
    count, height, width = (len(originals), originals.shape[1] * _SCALE, originals.shape[2] * _SCALE)
    column, row = width + _MARGIN, height + _MARGIN
    size = (_MARGIN + count * column, _MARGIN + 2 * row + 2 * _TEXT_HEIGHT + _MARGIN // 2)
    figure = Image.new("L", size, _BACKGROUND)
    draw = ImageDraw.Draw(figure)
    font = ImageFont.load_default(size=12)
    for index, (original, reconstruction, quality) in enumerate(
        zip(originals, reconstructions, qualities, strict=True)
    ):
        left = _MARGIN + index * column
        for line, pixels in enumerate((original, reconstruction)):
            enlarged = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
            figure.paste(enlarged, (left, _MARGIN + line * row))
        captions = (f"PSNR {quality.psnr_pooled:.2f} dB", f"SSIM {quality.ssim:.3f}")
        for line, caption in enumerate(captions):
            middle = (left + width / 2, _MARGIN + 2 * row + line * _TEXT_HEIGHT)
            draw.text(middle, caption, fill=_INK, font=font, anchor="ma")
    return figure
