"""Judge a model at the end of its training, on a few images, before there is a bundle."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fmae_edge.evaluate.advantage import Point
from fmae_edge.evaluate.codec_settings import Ladder, general_ladders
from fmae_edge.evaluate.image_choice import with_at_most
from fmae_edge.evaluate.rate_points import measure_single
from fmae_edge.evaluate.verdict import Curves, Verdict, judge

Pixels = NDArray[np.uint8]

_MOST_IMAGES = 200
_MOST_NUMBERS = 200 * 32 * 32 * 3
_CODECS = ("WebP", "JPEG XL", "AVIF")  # JPEG is never the best one


def judge_quickly(
    ours: Sequence[Point],
    images: Pixels,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verdict:
    """Compare (bytes per image, PSNR in dB) points of a model with WebP, JPEG XL and AVIF, one image per file.

    At most 200 of the held-out `images` (N, height, width[, 3]) are coded, and fewer if they are larger than 32x32
    RGB; the points of the model may come from more. The lossy settings of each codec are measured only up to the
    quality of the model.
    """
    shape = images.shape[1:]
    chosen = with_at_most(images, min(_MOST_IMAGES * math.prod(shape), _MOST_NUMBERS))
    enough = max((psnr for _, psnr in ours), default=-math.inf)
    ladders = [each for each in general_ladders(shape) if each.name in _CODECS and not each.lossless]
    others: dict[str, list[Point]] = {}
    for number, ladder in enumerate(ladders, 1):
        others.setdefault(ladder.name, []).extend(_climb(ladder, chosen, enough))
        on_progress(number, len(ladders))
    return judge({"single": Curves(ours, others)}, len(chosen))


def _climb(ladder: Ladder, images: Pixels, enough: float) -> list[Point]:
    points: list[Point] = []
    for codec in ladder.rungs:
        point = measure_single(codec, images)
        points.append((point.bytes_per_image, point.quality.psnr_pooled))
        if points[-1][1] >= enough:
            break
    return points
