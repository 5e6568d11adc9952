"""Images to the payloads of .fmae files and back: the graphs, the quantiser of a quality, and the prior."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arrays import Stack, slices
from fmae_edge.runtime.bundle import Bundle, read_checked
from fmae_edge.runtime.errors import BundleError, InputError
from fmae_edge.runtime.graphs import Graphs
from fmae_edge.runtime.images import to_levels
from fmae_edge.runtime.manifest import PRIOR_NAME, QUALITIES, Qualities
from fmae_edge.runtime.payloads import Payloads
from fmae_edge.runtime.prior import Integers, Prior, read_prior
from fmae_edge.runtime.search import search
from fmae_edge.runtime.symbol_coder import clip_symbols, count_bits, decode_symbols, encode_symbols

# A symbol's interval and that of its escape shift out two bytes each, and a message ends with one
_PAYLOAD_BYTES_A_LATENT = 4
_LEVELS_THAT_EFFORT_SAVES = 2
_IMAGES_AT_ONCE = 1024  # bounds memory, however many are coded
_LATENTS_KEPT = 16 * _IMAGES_AT_ONCE  # bounds it too: images beyond are encoded again for the next quality


class _TooManyBytesError(Exception):
    """Payloads alone are longer than the file may be."""


def _no_more_than(most: int, payloads: Iterable[bytes]) -> Iterator[bytes]:
    """Yield payloads up to so many bytes; raise _TooManyBytesError at the one that exceeds them."""
    for payload in payloads:
        most -= len(payload)
        if most < 0:
            raise _TooManyBytesError
        yield payload


class LatentCoder:
    """Codes with the prior of a bundle, which is read at its first use: latents in .npy files need none."""

    def __init__(self, bundle: Bundle, graphs: Graphs) -> None:
        self._bundle = bundle
        self._graphs = graphs
        self._read_prior: Prior | None = None

    def payloads(self, images: Stack, quality: int, effort: int) -> Iterator[bytes]:
        """Yield the payload of each of checked images."""
        for part in slices(len(images), _IMAGES_AT_ONCE):
            some = images[part]
            yield from self._encode(some, self._graphs.encode(some), quality, effort)

    def fit(
        self, images: Stack, effort: int, max_bytes: int, pack: Callable[[Iterable[bytes], int], bytes]
    ) -> bytes:
        """Return what `pack` makes of the payloads of checked images and the highest quality with which that fits.

        Raises InputError if more than `max_bytes` are needed even at the lowest.
        """
        kept: dict[int, NDArray[np.float32]] = {}

        def payloads_at(quality: int, effort: int) -> Iterator[bytes]:
            for part in slices(len(images), _IMAGES_AT_ONCE):
                some = images[part]
                latents = kept.get(part.start)
                if latents is None:
                    latents = self._graphs.encode(some)
                    if len(kept) < _LATENTS_KEPT // _IMAGES_AT_ONCE:
                        kept[part.start] = latents
                yield from self._encode(some, latents, quality, effort)

        def fitting(quality: int, effort: int) -> bytes | None:
            try:
                content = pack(_no_more_than(max_bytes, payloads_at(quality, effort)), quality)
            except _TooManyBytesError:
                return None
            return content if len(content) <= max_bytes else None

        levels = range(QUALITIES, 0, -1)
        if effort:  # saves little more than a level takes, so only the next above what fits without can fit too
            highest = next((at for at in levels if fitting(at, 0)), 1)
            levels = range(min(highest + _LEVELS_THAT_EFFORT_SAVES, QUALITIES), 0, -1)
        for at in levels:
            content = fitting(at, effort)
            if content is not None:
                return content
        least = len(pack(payloads_at(1, effort), 1))
        raise InputError(f"max_bytes is {max_bytes}, and the lowest quality takes {least} bytes")

    def require_short(self, payloads: Payloads) -> None:
        """Raise InputError if one of payloads is longer than any that an encoder writes."""
        if payloads.longest > _PAYLOAD_BYTES_A_LATENT * self._bundle.manifest.latent_size + 1:
            raise InputError(f"corrupted, {payloads.longest} bytes are more than an image's payload can have")

    def payloads_of(self, symbols: Integers, quality: int) -> list[bytes]:
        """Return the payloads of quantised latents (N, latent_size)."""
        return encode_symbols(self._prior, symbols, quality - 1)

    def symbols(self, payloads: Sequence[bytes], quality: int) -> Integers:
        """Return the quantised latents (N, latent_size) in payloads that are short enough."""
        return decode_symbols(self._prior, payloads, self._bundle.manifest.latent_size, quality - 1)

    def images(self, payloads: Sequence[bytes], quality: int) -> NDArray[np.uint8]:
        """Return the images in payloads that are short enough."""
        images = np.empty((len(payloads), *self._bundle.manifest.image_shape), np.uint8)
        for part in slices(len(payloads), _IMAGES_AT_ONCE):
            images[part] = self._decode(self.symbols(payloads[part], quality), quality)
        return images

    def _encode(
        self, images: NDArray[Any], latents: NDArray[np.float32], quality: int, effort: int
    ) -> list[bytes]:
        symbols = clip_symbols(np.rint(latents / self._step(quality)))
        if effort:
            symbols = self._search(symbols, images, quality, effort)
        return self.payloads_of(symbols, quality)

    def _decode(self, symbols: Integers, quality: int) -> NDArray[np.uint8]:
        return self._graphs.decode(symbols.astype(np.float32) * self._step(quality))

    def _search(self, symbols: Integers, images: NDArray[Any], quality: int, effort: int) -> Integers:
        channels = self._bundle.manifest.image_channels
        pixels = to_levels(images, channels).reshape(len(images), math.prod(images.shape[1:]))

        def decode(tried: Integers) -> NDArray[np.float32]:
            return self._decode(tried, quality).reshape(len(tried), -1).astype(np.float32)

        # From mean squared error of pixels in [0, 1] to summed squared error of levels
        bit_cost = self._qualities.bit_costs[quality - 1] * pixels.shape[1] * 255**2
        count = partial(count_bits, self._prior, quality=quality - 1)
        return search(symbols, pixels.astype(np.float32), bit_cost, effort, decode, count)

    def _step(self, quality: int) -> np.float32:
        return np.float32(self._qualities.steps[quality - 1] * self._qualities.unit)

    @property
    def _qualities(self) -> Qualities:
        qualities = self._bundle.manifest.qualities
        if qualities is None:
            raise BundleError(
                f"{self._bundle.path}: has no prior, which .fmae files need; export the bundle again"
            )
        return qualities

    @property
    def _prior(self) -> Prior:
        if self._read_prior is None:  # two threads may both read it: no harm, and no lock to be held in a fork
            manifest, path = self._bundle.manifest, self._bundle.path
            steps = self._qualities.steps
            content = read_checked(path, PRIOR_NAME, manifest)
            self._read_prior = read_prior(content, manifest.latent_size, steps, f"{path}: {PRIOR_NAME}")
        return self._read_prior
