"""Code images as payloads of .fmae files and back, with the graphs, the quantiser and the prior of a bundle."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import Stack, slices
from fmae_edge.runtime.bundle.bundle import Bundle
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME, Qualities
from fmae_edge.runtime.engine.graphs import Graphs
from fmae_edge.runtime.entropy.prior import Integers, Prior, read_prior
from fmae_edge.runtime.entropy.symbol_bits import SymbolBits
from fmae_edge.runtime.entropy.symbol_coder import clip_symbols, decode_symbols, encode_symbols
from fmae_edge.runtime.errors import BundleError
from fmae_edge.runtime.images import fewer_if_larger, to_levels
from fmae_edge.runtime.latents import LatentDtype, to_dtype

if TYPE_CHECKING:
    from fmae_edge.runtime.entropy.image_stream import StreamContent, StreamImage

# A symbol's interval and that of its escape take up to two bytes each, and a message ends with one more
_PAYLOAD_BYTES_PER_LATENT = 4
# Both are for images of 28x28, and bound memory for any number of images. Smaller numbers do not save memory;
# fewer payloads take longer.
_IMAGES_AT_ONCE = 256
_PAYLOADS_AT_ONCE = 1024
_LEARNING_RATE = 3.0  # of the search's gradient steps, in units of the quantiser steps: measured


class LatentCoder:
    """Codes images with a bundle's graphs and prior.

    The prior is read at its first use, because latents in .npy files do not need it.
    """

    def __init__(self, bundle: Bundle, graphs: Graphs) -> None:
        self._bundle = bundle
        self._graphs = graphs
        self._read_prior: Prior | None = None
        self.image_shape, self.latent_size = bundle.manifest.image_shape, bundle.manifest.latent_size
        self._steps = np.array(bundle.manifest.latent_steps, np.float32)
        numbers = math.prod(self.image_shape)
        self.images_at_once = fewer_if_larger(_IMAGES_AT_ONCE, numbers)  # to bound memory
        self._decoded_at_once = fewer_if_larger(_PAYLOADS_AT_ONCE, numbers)

    def payloads(self, images: Stack, quality: int, effort: int) -> Iterator[bytes]:
        """Yield the payload of each image; `images` are checked."""
        for part in slices(len(images), self.images_at_once):
            batch = images[part]
            symbols = self.quantise(self.latents(batch), batch, quality, effort)
            yield from self.payloads_of(symbols, quality)

    def latents(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the latent values (N, latent_size) of checked images."""
        return self._graphs.encode(images)

    def stored_latents(self, images: Stack, dtype: LatentDtype) -> NDArray[Any]:
        """Return the latents (N, latent_size) of checked images in a dtype that `as_latent_dtype` returned."""
        if len(images) <= self.images_at_once:
            return to_dtype(self._graphs.encode(images[:]), dtype, self._steps)
        stored = np.empty((len(images), self.latent_size), dtype)
        for part in slices(len(images), self.images_at_once):
            stored[part] = to_dtype(self._graphs.encode(images[part]), dtype, self._steps)
        return stored

    def quantise(self, latents: NDArray[np.float32], images: NDArray[Any], quality: int, effort: int) -> Integers:
        """Return the symbols (N, latent_size) of images with these latent values."""
        in_steps = latents / self._step(quality)
        return self._search(in_steps, images, quality, effort) if effort else clip_symbols(np.rint(in_steps))

    def squared_errors(self, symbols: Integers, images: NDArray[Any], quality: int) -> NDArray[np.int64]:
        """Return the squared error (N,) of each image that symbols decode to: a sum, in levels 0 to 255."""
        difference = self._decode(symbols, quality).astype(np.int32) - to_levels(images)
        errors: NDArray[np.int64] = np.square(difference).sum(axis=tuple(range(1, images.ndim)), dtype=np.int64)
        return errors

    @property
    def longest_payload(self) -> int:
        """The number of bytes that no payload of an encoder exceeds."""
        return _PAYLOAD_BYTES_PER_LATENT * self.latent_size + 1

    def payloads_of(self, symbols: Integers, quality: int) -> list[bytes]:
        """Return the payloads of quantised latents (N, latent_size)."""
        return encode_symbols(self._prior, symbols, quality - 1)

    def stream_images(self, symbols: Integers, quality: int, own_quality: bool) -> "list[StreamImage]":
        """Return quantised latents (N, latent_size) as images of a packet's message."""
        from fmae_edge.runtime.entropy.image_stream import stream_images  # most codecs use no packets

        return stream_images(self._prior, symbols, quality, own_quality)

    def read_stream(self, message: bytes, quality: int | None, max_images: int) -> "StreamContent":
        """Return the images in a packet's message; `quality` is None if each names its own.

        Raises InputError as `image_stream.read_stream` does.
        """
        from fmae_edge.runtime.entropy.image_stream import read_stream

        return read_stream(self._prior, message, self.latent_size, quality, max_images)

    def symbols(self, payloads: Sequence[bytes], quality: int) -> Integers:
        """Return the quantised latents (N, latent_size) in payloads that are short enough."""
        return decode_symbols(self._prior, payloads, self.latent_size, quality - 1)

    def images(self, payloads: Sequence[bytes], quality: int) -> NDArray[np.uint8]:
        """Return the images in payloads that are short enough."""
        return self._images(lambda part: self.symbols(payloads[part], quality), len(payloads), quality)

    def images_of(self, symbols: Stack, quality: int) -> NDArray[np.uint8]:
        """Return the images of checked symbols (N, latent_size)."""
        return self._images(lambda part: symbols[part], len(symbols), quality)

    def _images(self, symbols_of: Callable[[slice], Integers], count: int, quality: int) -> NDArray[np.uint8]:
        images = np.empty((count, *self.image_shape), np.uint8)
        for part in slices(count, _PAYLOADS_AT_ONCE):
            symbols = symbols_of(part)
            for some in slices(len(symbols), self._decoded_at_once):
                images[part][some] = self._decode(symbols[some], quality)
        return images

    def _decode(self, symbols: Integers, quality: int) -> NDArray[np.uint8]:
        return self._graphs.decode(symbols.astype(np.float32) * self._step(quality))

    def _search(self, latents: NDArray[np.float32], images: NDArray[Any], quality: int, effort: int) -> Integers:
        from fmae_edge.runtime.entropy.search import Descent, Problem, search  # most files are written without it

        levels = to_levels(images)
        pixels = levels.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
        step = self._step(quality)
        bits = SymbolBits(self._prior, quality - 1)

        def decode(symbols: Integers) -> NDArray[np.float32]:
            return self._decode(symbols, quality).reshape(len(symbols), -1).astype(np.float32)

        def gradient(symbols: Integers, rows: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            decoded, slopes = self._graphs.error_gradient(symbols.astype(np.float32) * step, levels[rows])
            errors = np.square(decoded.reshape(len(rows), -1) * np.float32(255) - pixels[rows]).sum(axis=1)
            return errors, slopes * (step * np.float32(255**2))

        # From mean squared error of pixels in [0, 1] to summed squared error of levels
        bit_cost = self._qualities.bit_costs[quality - 1] * pixels.shape[1] * 255**2
        problem = Problem(bit_cost, decode, bits.count, bits.near)
        rate = _LEARNING_RATE / self._qualities.steps[quality - 1]
        descent = Descent(gradient, rate) if self._graphs.has_gradient else None
        return search(latents, pixels, effort, problem, descent)

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
        if self._read_prior is None:  # two threads may both read it: no harm, and no lock that a fork could keep
            bundle, steps = self._bundle, self._qualities.steps
            where = f"{bundle.where}: {PRIOR_NAME}"
            self._read_prior = read_prior(bundle.file(PRIOR_NAME), self.latent_size, steps, where)
        return self._read_prior
