"""Images to .fmae files and back: the graphs, the quantiser and the prior, and the best quality that fits."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arrays import Stack, as_integer, slices
from fmae_edge.runtime.bundle.bundle import Bundle
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME, QUALITIES, Qualities
from fmae_edge.runtime.engine.graphs import Graphs
from fmae_edge.runtime.entropy.prior import Integers, Prior, read_prior
from fmae_edge.runtime.entropy.search import MAX_EFFORT, search
from fmae_edge.runtime.entropy.symbol_coder import clip_symbols, count_bits, decode_symbols, encode_symbols
from fmae_edge.runtime.errors import ArgumentError, BundleError, InputError
from fmae_edge.runtime.format.fmae_file import MAX_IMAGES, pack_many, pack_one
from fmae_edge.runtime.format.payloads import Payloads
from fmae_edge.runtime.images import to_levels

DEFAULT_QUALITY = 5
# A symbol's interval and that of its escape shift out two bytes each, and a message ends with one
_PAYLOAD_BYTES_A_LATENT = 4
# These bound memory, however many images are coded; fewer at once take no less, and fewer payloads take longer
IMAGES_AT_ONCE = 256
_PAYLOADS_AT_ONCE = 1024


@dataclass(frozen=True)
class CodingOptions:
    """How to compress: `quality` 1 to 9, which `max_bytes` overrides unless it is None, and `effort` 0 to 9."""

    quality: int
    effort: int
    max_bytes: int | None


def as_options(quality: object, effort: object, max_bytes: object) -> CodingOptions:
    """Return the options of `Codec.compress`. Raises InputError if one is not an integer or out of range."""
    return CodingOptions(
        as_quality(quality),
        _in_range("effort", effort, 0, MAX_EFFORT),
        None if max_bytes is None else as_integer("max_bytes", max_bytes),
    )


def as_quality(quality: object) -> int:
    """Return a quality as an integer. Raises InputError if it is not from 1 to 9."""
    return _in_range("quality", quality, 1, QUALITIES)


def _in_range(name: str, value: object, least: int, most: int) -> int:
    number = as_integer(name, value)
    if not least <= number <= most:
        raise InputError(f"{name} is {number}; expected an integer from {least} to {most}")
    return number


def as_max_images(max_images: object) -> int:
    """Return how many images a file may hold, by default as many as the format allows.

    Raises InputError if `max_images` is not an integer from 0 up.
    """
    most = MAX_IMAGES if max_images is None else as_integer("max_images", max_images)
    if most < 0:
        raise InputError(f"max_images is {most}; expected 0 or more")
    return most


class LatentCoder:
    """Codes with the prior of a bundle, which is read at its first use: latents in .npy files need none."""

    def __init__(self, bundle: Bundle, graphs: Graphs) -> None:
        self._bundle = bundle
        self._graphs = graphs
        self._read_prior: Prior | None = None

    def payloads(self, images: Stack, quality: int, effort: int) -> Iterator[bytes]:
        """Yield the payload of each of checked images."""
        for part in slices(len(images), IMAGES_AT_ONCE):
            some = images[part]
            symbols = self.quantise(self.latents(some), some, quality, effort)
            yield from self.payloads_of(symbols, quality)

    def latents(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the latent values (N, latent_size) of checked images."""
        return self._graphs.encode(images)

    def quantise(self, latents: NDArray[np.float32], images: NDArray[Any], quality: int, effort: int) -> Integers:
        """Return the symbols (N, latent_size) for images with these latent values."""
        symbols = clip_symbols(np.rint(latents / self._step(quality)))
        return self._search(symbols, images, quality, effort) if effort else symbols

    def squared_error(self, symbols: Integers, images: NDArray[Any], quality: int) -> int:
        """Return the summed squared error of the images that symbols decode to, in levels 0 to 255."""
        levels = to_levels(images, self._bundle.manifest.image_channels)
        difference = self._decode(symbols, quality).reshape(levels.shape).astype(np.int32) - levels
        return int(np.square(difference).sum(dtype=np.int64))

    def require_short(self, payloads: Payloads) -> None:
        """Raise InputError if one of payloads is longer than any that an encoder writes."""
        if payloads.longest > _PAYLOAD_BYTES_A_LATENT * self._bundle.manifest.latent_size + 1:
            raise InputError(f"corrupted: a payload has {payloads.longest} bytes, more than one image can take")

    def payloads_of(self, symbols: Integers, quality: int) -> list[bytes]:
        """Return the payloads of quantised latents (N, latent_size)."""
        return encode_symbols(self._prior, symbols, quality - 1)

    def symbols(self, payloads: Sequence[bytes], quality: int) -> Integers:
        """Return the quantised latents (N, latent_size) in payloads that are short enough."""
        return decode_symbols(self._prior, payloads, self._bundle.manifest.latent_size, quality - 1)

    def images(self, payloads: Sequence[bytes], quality: int) -> NDArray[np.uint8]:
        """Return the images in payloads that are short enough."""
        return self._images(lambda part: self.symbols(payloads[part], quality), len(payloads), quality)

    def images_of(self, symbols: Stack, quality: int) -> NDArray[np.uint8]:
        """Return the images of checked symbols (N, latent_size)."""
        return self._images(lambda part: symbols[part], len(symbols), quality)

    def _images(self, symbols_of: Callable[[slice], Integers], count: int, quality: int) -> NDArray[np.uint8]:
        images = np.empty((count, *self._bundle.manifest.image_shape), np.uint8)
        for part in slices(count, _PAYLOADS_AT_ONCE):
            images[part] = self._decode(symbols_of(part), quality)
        return images

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
                f"{self._bundle.where}: has no prior, which .fmae files need; export the bundle again"
            )
        return qualities

    @property
    def _prior(self) -> Prior:
        if self._read_prior is None:  # two threads may both read it: no harm, and no lock to be held in a fork
            bundle, steps = self._bundle, self._qualities.steps
            where = f"{bundle.where}: {PRIOR_NAME}"
            self._read_prior = read_prior(bundle.file(PRIOR_NAME), bundle.manifest.latent_size, steps, where)
        return self._read_prior


_LATENTS_KEPT = 16384  # bounds memory: images beyond are encoded again for each quality

Pack = Callable[[Iterable[bytes], int], bytes]  # payloads and their quality -> the bytes of a file


class _TooManyBytesError(Exception):
    """The payloads alone are longer than the file may be."""


class FmaeWriter:
    """Writes files of the bundle with `bundle_id`, whose coder is `coder`."""

    def __init__(self, coder: LatentCoder, bundle_id: str) -> None:
        self._coder, self._bundle_id = coder, bundle_id

    def one_each(self, images: Stack, options: CodingOptions) -> Iterator[bytes]:
        """Yield a file for each image. Raises InputError if `options.max_bytes` is too few for one."""

        def pack(payloads: Iterable[bytes], quality: int) -> bytes:
            (payload,) = payloads
            return pack_one(payload, quality, self._bundle_id)

        if options.max_bytes is None:
            payloads = self._coder.payloads(images, options.quality, options.effort)
            return (pack([payload], options.quality) for payload in payloads)
        parts = slices(len(images), 1)
        return (self._best_that_fits(images[one], options.effort, options.max_bytes, pack) for one in parts)

    def stack(self, images: Stack, options: CodingOptions, names: Sequence[str] | None) -> bytes:
        """Return one file of all images. Raises InputError if `options.max_bytes` is too few for it."""

        def pack(payloads: Iterable[bytes], quality: int) -> bytes:
            return pack_many(payloads, quality, self._bundle_id, names)

        if options.max_bytes is None:
            return pack(self._coder.payloads(images, options.quality, options.effort), options.quality)
        return self._best_that_fits(images, options.effort, options.max_bytes, pack)

    def _best_that_fits(self, images: Stack, effort: int, max_bytes: int, pack: Pack) -> bytes:
        """Return the file whose decoded images have the least error, of those that are no longer than `max_bytes`.

        The error may grow from one quality to the next, for an image and for a stack, so all nine are tried.
        """
        kept: dict[int, NDArray[np.float32]] = {}

        def latents_of(part: slice, some: NDArray[Any]) -> NDArray[np.float32]:
            if part.start in kept:
                return kept[part.start]
            latents = self._coder.latents(some)
            if part.stop <= _LATENTS_KEPT:
                kept[part.start] = latents
            return latents

        def candidate(quality: int) -> tuple[int, bytes] | None:
            """Return the squared error of a quality and its file, None if the file is too long."""
            errors: list[int] = []

            def payloads() -> Iterator[bytes]:
                for part in slices(len(images), IMAGES_AT_ONCE):
                    some = images[part]
                    symbols = self._coder.quantise(latents_of(part, some), some, quality, effort)
                    yield from self._coder.payloads_of(symbols, quality)
                    errors.append(self._coder.squared_error(symbols, some, quality))  # if there was room for them

            try:
                content = pack(_at_most(max_bytes, payloads()), quality)
            except _TooManyBytesError:
                return None
            return (sum(errors), content) if len(content) <= max_bytes else None

        candidates = filter(None, map(candidate, range(1, QUALITIES + 1)))  # one at a time, which bounds memory
        best = min(candidates, key=lambda pair: pair[0], default=None)
        if best is None:
            fewest = len(pack(self._coder.payloads(images, 1, effort), 1))
            raise ArgumentError("max_bytes", f"is {max_bytes}, and the lowest quality takes {fewest} bytes")
        return best[1]


def _at_most(most: int, payloads: Iterable[bytes]) -> Iterator[bytes]:
    """Yield payloads of so many bytes in all. Raises _TooManyBytesError at the one that exceeds them."""
    for payload in payloads:
        most -= len(payload)
        if most < 0:
            raise _TooManyBytesError
        yield payload
