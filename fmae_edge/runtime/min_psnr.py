"""Guarantee a PSNR: for each image the lowest quality that reaches it, else more effort, else every pixel."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import Stack, slices
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.errors import ArgumentError, shown
from fmae_edge.runtime.images import to_levels
from fmae_edge.runtime.latent_coder import LatentCoder

MAX_EFFORT = 9
_EXACT = 0  # the quality of an image that is stored exactly
_MOST_GAIN = 3.0  # dB by effort: an image that misses `min_psnr` by more is not searched, which takes seconds


def as_min_psnr(value: object) -> float:
    """Return a PSNR in dB as a float. Raises ArgumentError if it is not a number above 0; infinity is one."""
    number = math.nan
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer beyond all floats
            number = math.inf
    if not number > 0:
        raise ArgumentError("min_psnr", f"is {shown(value)}; expected a number of dB above 0")
    return number


def reach_min_psnr(coder: LatentCoder, images: Stack, min_psnr: float, effort: int) -> Iterator[tuple[int, bytes]]:
    """Yield the quality and the payload of each image; quality 0 is an image that is stored exactly.

    Each decoded image has at least `min_psnr` dB, in 8-bit levels and in the graphs of `coder`.
    """
    for part in slices(len(images), coder.images_at_once):
        batch = images[part]
        found: dict[int, tuple[int, bytes]] = {}
        # No quality decodes every pixel exactly, except by chance
        if psnr_of(1, batch[0].size) >= min_psnr:
            found = _coded(coder, batch, min_psnr, effort)
        for number, image in enumerate(to_levels(batch)):
            yield found.get(number) or (_EXACT, _exact(image))


def psnr_of(squared_error: int, numbers: int) -> float:
    """Return the PSNR in dB of an image of `numbers` pixels or channels, given its summed error in levels."""
    return 10 * math.log10(255**2 * numbers / squared_error) if squared_error else math.inf


def _coded(coder: LatentCoder, images: NDArray[Any], min_psnr: float, effort: int) -> dict[int, tuple[int, bytes]]:
    """Return the quality and the payload of the images that reach `min_psnr`, by their number."""
    latents = coder.latents(images)
    found: dict[int, tuple[int, bytes]] = {}
    best = dict.fromkeys(range(len(images)), -math.inf)  # the best PSNR of an image so far
    for tried in dict.fromkeys((effort, MAX_EFFORT)):
        left = [number for number in best if best[number] > min_psnr - _MOST_GAIN or tried == effort]
        for quality in range(1, QUALITIES + 1):
            left = [number for number in left if number not in found]
            if not left:
                break
            symbols = coder.quantise(latents[left], images[left], quality, tried)
            errors = coder.squared_errors(symbols, images[left], quality).tolist()
            reached = []
            for row, (number, error) in enumerate(zip(left, errors, strict=True)):
                psnr = psnr_of(error, images[number].size)
                best[number] = max(best[number], psnr)
                if psnr >= min_psnr:
                    reached.append(row)
            payloads = coder.payloads_of(symbols[reached], quality)
            found |= {left[row]: (quality, payload) for row, payload in zip(reached, payloads, strict=True)}
    return found


def _exact(image: NDArray[np.uint8]) -> bytes:
    from fmae_edge.runtime.format.lossless import encode_lossless  # few images need it

    return encode_lossless(image)
