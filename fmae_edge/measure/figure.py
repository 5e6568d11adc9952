"""Draw images as columns with captions, enlarged pixel by pixel, and turn pictures and plots into PNG files."""

import io
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fmae_edge.measure.quality import Quality

if TYPE_CHECKING:  # matplotlib is only installed where something is plotted
    from matplotlib.figure import Figure

_MARGIN = 12
_TEXT_SIZE, _TEXT_HEIGHT = 12, 15
_BACKGROUND, _INK = "#ffffff", "#282828"
_LABEL_WIDTH = 100
# Images are enlarged to about this side, in up to 20 columns and in more: "PSNR 23.40 dB" still fits under both
_LARGE, _SIDE, _SMALL_SIDE = 20, 5 * 28, 3 * 28
_ONE_ROW = 10  # columns that stay side by side
_BETWEEN_ROWS = 18
_ASPECT = 1.5  # width over height that many columns are wrapped to


@dataclass(frozen=True)
class Column:
    """Images stacked from top to bottom, (height, width[, 3]) uint8, and the lines of text under them."""

    images: Sequence[NDArray[np.uint8]]
    captions: Sequence[str]


def draw_columns(columns: Sequence[Column], labels: Sequence[str] = ()) -> Image.Image:
    """Draw columns side by side as one picture, gray or RGB, wrapped to several rows if there are many.

    All columns have the same number of captions and of images, and all images have one shape. `labels` name the
    images of a row at its left end, and may have several lines. A caption that is too long is shortened in its
    middle.
    """
    lines, captions = len(columns[0].images), len(columns[0].captions)
    shape = columns[0].images[0].shape
    scale = max(1, round((_SIDE if len(columns) <= _LARGE else _SMALL_SIDE) / max(shape[:2])))
    height, width = (side * scale for side in shape[:2])
    slot = max(width, _SMALL_SIDE)  # of a column, so that captions fit under narrow images
    right, down = slot + _MARGIN, height + _MARGIN  # from an image to the next
    band = lines * down + captions * _TEXT_HEIGHT + _BETWEEN_ROWS
    across = columns_in_a_row(len(columns), right, band)
    start = _MARGIN + (_LABEL_WIDTH if labels else 0)
    bottom = _MARGIN + math.ceil(len(columns) / across) * band - _BETWEEN_ROWS + _MARGIN // 2
    figure = Image.new("L" if len(shape) == 2 else "RGB", (start + across * right, bottom), _BACKGROUND)
    draw = ImageDraw.Draw(figure)
    font = ImageFont.load_default(size=_TEXT_SIZE)
    for top in range(_MARGIN, bottom, band):
        for line, label in enumerate(labels):
            middle = (_MARGIN, top + line * down + height / 2)
            draw.text(middle, label, fill=_INK, font=font, anchor="lm", spacing=3)
    for index, column in enumerate(columns):
        left, top = start + index % across * right, _MARGIN + index // across * band
        for line, pixels in enumerate(column.images):
            enlarged = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
            figure.paste(enlarged, (left + (slot - width) // 2, top + line * down))
        for line, caption in enumerate(column.captions):
            middle = (left + slot / 2, top + lines * down + line * _TEXT_HEIGHT)
            draw.text(middle, _shortened(caption, font, slot), fill=_INK, font=font, anchor="ma")
    return figure


def columns_in_a_row(count: int, width: int, height: int) -> int:
    """Return the columns per row for `count` columns of that size in pixels, with rows of equal length."""
    if count <= _ONE_ROW:
        return count
    # across * width = aspect * (count / across) * height
    across = max(_ONE_ROW, round(math.sqrt(_ASPECT * count * height / width)))
    return math.ceil(count / math.ceil(count / across))


def draw_reconstructions(
    originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8], qualities: Sequence[Quality]
) -> Image.Image:
    """Draw N (height, width[, 3]) uint8 images above their reconstructions, with PSNR and SSIM."""
    return draw_columns(
        [
            Column((original, reconstruction), quality_captions(quality))
            for original, reconstruction, quality in zip(originals, reconstructions, qualities, strict=True)
        ]
    )


def quality_captions(quality: Quality) -> tuple[str, str]:
    """Return the captions of an image: its PSNR and its SSIM."""
    return f"PSNR {quality.psnr_pooled:.2f} dB", f"SSIM {quality.ssim:.3f}"


def to_png(picture: Image.Image) -> bytes:
    """Return `picture` as a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def plot_to_png(figure: "Figure") -> bytes:
    """Return a matplotlib figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Shorten `text` to one line of at most `width` pixels; the end is kept, because names often differ there.

    The font has only ASCII: letters lose their accents, and other characters become question marks.
    """
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    text = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in plain)
    short, keep = text, len(text)
    while font.getlength(short) > width and keep > 1:
        keep -= 1
        short = f"{text[: keep - keep // 2]}...{text[len(text) - keep // 2 :]}"
    return short
