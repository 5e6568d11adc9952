"""List the settings of general codecs from low to high quality, for gray and RGB images of any size.

How high a comparison has to go depends on the bundle, so the settings of a codec form a ladder. It is climbed from
the lowest quality that the codec has until the quality is above that of the bundle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import prod

from fmae_edge.evaluate.general_codecs import (
    GeneralCodec,
    avif,
    jpeg,
    jpeg_xl,
    lossless_jpeg_xl,
    lossless_webp,
    lossy_webp,
    open_gray,
    open_jpeg_xl,
    open_rgb,
    png,
    standard_jpeg,
)

JPEG_STEPS = (255, 200, 160, 130, 105, 80, 60, 40, 28, 20, 14, 10, 7, 4, 2)
STANDARD_JPEG_QUALITIES = (1, 5, 8, 12, 20, 30, 45, 60, 75, 85, 92, 97)
WEBP_QUALITIES = (0, 0.5, 1, 2, 5, 10, 20, 35, 50, 65, 80, 90, 95, 100)
AVIF_QUALITIES = (0, 3, 6, 10, 16, 24, 34, 46, 58, 70, 80, 90)
JPEG_XL_DISTANCES = (25, 19, 15, 12, 9, 6, 4, 2.5, 1.5, 1, 0.5, 0.25, 0.1)
# Gray images are always measured up to 30 dB on Fashion-MNIST, where the published curves end
_GRAY_RUNGS = {"JPEG": 8, "WebP": 7, "AVIF": 6, "JPEG XL": 7}
_RGB_RUNGS = 4  # enough for a Bjontegaard delta
# Above this many pixels, the slowest encoders gain little and would take hours
_LARGE = 64 * 64


@dataclass(frozen=True)
class Ladder:
    """Settings of one codec in ascending order of quality, of which at least `fewest` are measured."""

    rungs: tuple[GeneralCodec, ...]
    fewest: int = 1

    @property
    def name(self) -> str:
        """The name of the codec."""
        return self.rungs[0].name

    @property
    def lossless(self) -> bool:
        """Whether its files are lossless."""
        return self.rungs[0].lossless


def general_ladders(image_shape: tuple[int, ...]) -> list[Ladder]:
    """Return all settings of general codecs for images (height, width[, 3]), the lossy ones first.

    A lossy codec has several ladders for RGB, one per subsampling of chroma.
    """
    large = prod(image_shape[:2]) > _LARGE
    if len(image_shape) == 2:
        lossy = [Ladder(rungs, _GRAY_RUNGS[rungs[0].name]) for rungs in _gray(3 if large else 0)]
    else:
        lossy = [Ladder(rungs, _RGB_RUNGS) for rungs in _rgb(3 if large else 0)]
    open_file = open_gray if len(image_shape) == 2 else open_rgb
    lossless = (
        GeneralCodec("PNG", "lossless", png, open_file, lossless=True),
        GeneralCodec("WebP", "lossless", lossless_webp, open_file, lossless=True),
        GeneralCodec("JPEG XL", "lossless", partial(lossless_jpeg_xl, 9 if large else 10), open_jpeg_xl, True),
    )
    return [*lossy, *(Ladder((codec,)) for codec in lossless)]


def _gray(speed: int) -> Iterator[tuple[GeneralCodec, ...]]:
    yield tuple(GeneralCodec("JPEG", f"step {s}", partial(jpeg, s, "4:0:0"), open_gray) for s in JPEG_STEPS)
    yield tuple(
        GeneralCodec("WebP", f"quality {q}", partial(lossy_webp, q, False), open_gray) for q in WEBP_QUALITIES
    )
    yield tuple(
        GeneralCodec("AVIF", f"quality {q}", partial(avif, q, "4:0:0", speed), open_gray) for q in AVIF_QUALITIES
    )
    yield tuple(
        GeneralCodec("JPEG XL", f"distance {d}", partial(jpeg_xl, d), open_jpeg_xl) for d in JPEG_XL_DISTANCES
    )


def _rgb(speed: int) -> Iterator[tuple[GeneralCodec, ...]]:
    for chroma in ("4:4:4", "4:2:0"):
        yield tuple(
            GeneralCodec("JPEG", f"step {s}, {chroma}", partial(jpeg, s, chroma), open_rgb) for s in JPEG_STEPS
        )
        yield tuple(
            GeneralCodec("JPEG", f"quality {q}, {chroma}", partial(standard_jpeg, q, chroma), open_rgb)
            for q in STANDARD_JPEG_QUALITIES
        )
    for sharp, words in ((False, "4:2:0"), (True, "4:2:0 by sharp YUV")):
        yield tuple(
            GeneralCodec("WebP", f"quality {q}, {words}", partial(lossy_webp, q, sharp), open_rgb)
            for q in WEBP_QUALITIES
        )
    for chroma in ("4:4:4", "4:2:0"):
        yield tuple(
            GeneralCodec("AVIF", f"quality {q}, {chroma}", partial(avif, q, chroma, speed), open_rgb)
            for q in AVIF_QUALITIES
        )
    yield tuple(
        GeneralCodec("JPEG XL", f"distance {d}, XYB", partial(jpeg_xl, d), open_jpeg_xl) for d in JPEG_XL_DISTANCES
    )
