"""Guarantee a PSNR: for each image the lowest quality that reaches it, else more effort, else every pixel."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import Stack, slices
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.entropy.prior import Integers
from fmae_edge.runtime.errors import ArgumentError, shown
from fmae_edge.runtime.images import to_levels
from fmae_edge.runtime.latent_coder import LatentCoder

MAX_EFFORT = 9
_EXACT = 0  # the quality of an image that is stored exactly
# A search of all qualities takes hundreds of milliseconds per image, and is in vain for most that one pass did not
# bring to `min_psnr`. So the highest quality is searched first. No other was found to be that many dB better: on
# the first 400 training images, the default bundle gained at most 0.13 dB with gradients; on 150, 1.52 dB without.
_MOST_ABOVE_HIGHEST = 2.5

Coded = tuple[int, bytes]  # the quality of an image and its payload


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


def psnr_of(squared_error: int, numbers: int) -> float:
    """Return the PSNR in dB of an image of `numbers` pixels or channels, given its summed error in levels."""
    return 10 * math.log10(255**2 * numbers / squared_error) if squared_error else math.inf


def reach_min_psnr(coder: LatentCoder, images: Stack, min_psnr: float, effort: int) -> Iterator[Coded]:
    """Yield the quality and the payload of each image; quality 0 is an image that is stored exactly.

    Each decoded image has at least `min_psnr` dB, in 8-bit levels and in the graphs of `coder`.
    """
    for part in slices(len(images), coder.images_at_once):
        batch = images[part]
        found: dict[int, Coded] = {}
        # Else only the image itself would do, which no graph decodes except by chance
        if psnr_of(1, batch[0].size) >= min_psnr:
            found = _Batch(coder, batch, min_psnr).coded(effort)
        for number, image in enumerate(to_levels(batch)):
            yield found.get(number) or (_EXACT, _exact(image))


class _Batch:
    """Images that are tried at several qualities."""

    def __init__(self, coder: LatentCoder, images: NDArray[Any], min_psnr: float) -> None:
        self._coder, self._images, self._min_psnr = coder, images, min_psnr
        self._latents = coder.latents(images)

    def coded(self, effort: int) -> dict[int, Coded]:
        """Return the images that reach the PSNR, by their number in the batch."""
        everyone = range(len(self._images))
        found = self._lowest_qualities(everyone, range(1, QUALITIES + 1), effort)
        left = [number for number in everyone if number not in found]
        if left and effort < MAX_EFFORT:
            probed = self._try(left, QUALITIES, MAX_EFFORT)
            hopeful = [each.number for each in probed if each.psnr >= self._min_psnr - _MOST_ABOVE_HIGHEST]
            found |= self._lowest_qualities(hopeful, range(1, QUALITIES), MAX_EFFORT)
            found |= self._good_enough([each for each in probed if each.number not in found], QUALITIES)
        return found

    def _lowest_qualities(self, numbers: Sequence[int], qualities: Sequence[int], effort: int) -> dict[int, Coded]:
        """Return those of some images that reach the PSNR, each at the first of these qualities that does."""
        found: dict[int, Coded] = {}
        for quality in qualities:
            left = [number for number in numbers if number not in found]
            if not left:
                break
            found |= self._good_enough(self._try(left, quality, effort), quality)
        return found

    def _good_enough(self, tried: Sequence["_Tried"], quality: int) -> dict[int, Coded]:
        chosen = [each for each in tried if each.psnr >= self._min_psnr]
        if not chosen:
            return {}
        payloads = self._coder.payloads_of(np.stack([each.symbols for each in chosen]), quality)
        return {each.number: (quality, payload) for each, payload in zip(chosen, payloads, strict=True)}

    def _try(self, numbers: list[int], quality: int, effort: int) -> list["_Tried"]:
        """Quantise and decode some images."""
        images = self._images[numbers]
        symbols = self._coder.quantise(self._latents[numbers], images, quality, effort)
        errors = self._coder.squared_errors(symbols, images, quality).tolist()
        psnrs = [psnr_of(error, images[0].size) for error in errors]
        return list(map(_Tried, numbers, symbols, psnrs))


class _Tried(NamedTuple):
    """An image at one quality: its number in the batch, its symbols (latent,), and the PSNR in dB once decoded."""

    number: int
    symbols: Integers
    psnr: float


def _exact(image: NDArray[np.uint8]) -> bytes:
    from fmae_edge.runtime.format.lossless import encode_lossless  # few images need it

    return encode_lossless(image)
