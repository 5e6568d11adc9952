"""The codec: images to latents and .fmae files, and back, with the graphs and the prior of a bundle."""

import math
import os
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fmae_edge.runtime.arrays import as_integer
from fmae_edge.runtime.bundle import DEFAULT_BUNDLE, read_bundle, read_checked
from fmae_edge.runtime.errors import BundleError, InputError
from fmae_edge.runtime.fmae_file import FmaeFile, pack_many, pack_one, unpack
from fmae_edge.runtime.images import as_batch, to_levels, to_reals, to_uint8
from fmae_edge.runtime.latents import as_latent_batch, as_latent_dtype, to_dtype, to_values
from fmae_edge.runtime.manifest import PRIOR_NAME, QUALITIES, Manifest, Qualities
from fmae_edge.runtime.prior import Integers, Prior, read_prior
from fmae_edge.runtime.search import MAX_EFFORT, search
from fmae_edge.runtime.sessions import available_cpus, open_session, takes_levels
from fmae_edge.runtime.symbol_coder import clip_symbols, count_bits, decode_symbols, encode_symbols

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Precision = Literal["int8", "fp32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
GRAPHS: dict[Precision, tuple[str, str]] = {
    "int8": ("encoder.onnx", "decoder.onnx"),
    "fp32": ("encoder.fp32.onnx", "decoder.fp32.onnx"),
}
# Measured by benchmarks/session_options.py. Images of one call to onnxruntime: from 16 on, more are not faster
# on one thread; two threads gain a little up to 64. Of fewer than 8, waking other threads costs more than they do.
_IMAGES_PER_RUN = 64
_IMAGES_FOR_THREADS = 8
_MAX_THREADS = 1024
DEFAULT_QUALITY = 5
# A symbol's interval and that of its escape shift out two bytes each, and a message ends with one
_PAYLOAD_BYTES_A_LATENT = 4
_LEVELS_THAT_EFFORT_SAVES = 2


class Codec:
    """Compress images to latents and back with the bundle in folder `bundle`, by default the one in the wheel.

    `precision` chooses the int8 or the float32 graphs, `threads` how many threads onnxruntime may use
    (by default the CPUs that this process may run on); a few images alone always run on one.

    Raises BundleError if the bundle is not whole, InputError if an argument is none of the above.

    Example::

        codec = Codec()
        latent = codec.encode(image)  # (28, 28) uint8 -> (64,) float32
        image = codec.decode(latent)  # (64,) float32 -> (28, 28) uint8
        content = codec.compress(image)  # (28, 28) uint8 -> bytes of a .fmae file
        image = codec.decompress(content)  # the bytes of such a file -> (28, 28) uint8
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | None = None,
        *,
        precision: Precision = "int8",
        threads: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise InputError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
        if threads is not None and (type(threads) is not int or not 1 <= threads <= _MAX_THREADS):
            raise InputError(f"threads is {threads!r}; expected an integer from 1 to {_MAX_THREADS}")
        # The graphs of the other precision are not run, so they are not read either
        self._bundle = read_bundle(DEFAULT_BUNDLE if bundle is None else Path(bundle), only=GRAPHS[precision])
        self._precision = precision
        self._threads = threads or available_cpus()
        self._sessions: dict[tuple[str, int], InferenceSession] = {}
        self._steps = np.array(self.manifest.latent_steps, np.float32)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself: geometry, quantiser steps, measured figures."""
        return self._bundle.manifest

    def encode(self, images: object, dtype: DTypeLike = "float32") -> NDArray[Any]:
        """Encode (28, 28) to (64,), or (N, 28, 28) to (N, 64): the bundle's geometry.

        `images` are uint8, or floating point in [0, 1]. `dtype` is float32 or float16 for latent values,
        int8 for symbols in the bundle's quantiser steps (beyond 127 steps they are clipped).

        Raises InputError if `images` have another shape, dtype or range, BundleError if the encoder's weights
        make no numbers of them.
        """
        stored_as = as_latent_dtype(dtype)
        batch, single = as_batch(images, self.manifest.image_shape)
        values = np.empty((len(batch), self.manifest.latent_size), np.float32)
        encoder = self._session("encoder", len(batch))
        to_pixels = to_levels if takes_levels(encoder) else to_reals
        for at in range(0, len(batch), _IMAGES_PER_RUN):
            pixels = to_pixels(batch[at : at + _IMAGES_PER_RUN], self.manifest.image_channels)
            (values[at : at + _IMAGES_PER_RUN],) = encoder.run(None, {"image": pixels})
        if not np.isfinite(values).all():
            raise BundleError(f"{self._bundle.path}: its encoder gives latents that are not finite")
        latents = to_dtype(values, stored_as, self._steps)
        return latents[0] if single else latents

    def decode(self, latents: object) -> NDArray[np.uint8]:
        """Decode (64,) to (28, 28), or (N, 64) to (N, 28, 28) uint8: the bundle's geometry.

        `latents` are float32 or float16 values, or int8 symbols, as `encode` gives them.

        Raises InputError if `latents` have another shape or dtype, or are not finite.
        """
        batch, single = as_latent_batch(latents, self.manifest.latent_size)
        images = np.empty((len(batch), *self.manifest.image_shape), np.uint8)
        decoder = self._session("decoder", len(batch))
        for at in range(0, len(batch), _IMAGES_PER_RUN):
            values = to_values(batch[at : at + _IMAGES_PER_RUN], self._steps)
            (pixels,) = decoder.run(None, {"latent": values})
            if pixels.dtype != np.uint8:
                if not np.isfinite(pixels).all():
                    raise InputError("latents are too large to decode: pixels overflow")
                pixels = to_uint8(pixels)
            images[at : at + _IMAGES_PER_RUN] = pixels.reshape(-1, *self.manifest.image_shape)
        return images[0] if single else images

    def compress(
        self, image: object, quality: int = DEFAULT_QUALITY, effort: int = 0, max_bytes: int | None = None
    ) -> bytes:
        """Return the bytes of a .fmae file of one image (28, 28), as `encode` takes it.

        `quality` is 1 (fewest bytes) to 9; with `max_bytes` it is the highest whose file is no longer than that,
        and `quality` is not looked at. `effort` is 0 (one pass) to 9: rounds of search for cheaper symbols.

        Raises InputError if an argument is none of these or no quality fits, BundleError if the bundle has no
        prior.
        """
        batch, single = as_batch(image, self.manifest.image_shape)
        if not single:
            raise InputError(
                f"compress takes one image of {self.manifest.image_shape}; use compress_batch for a stack"
            )

        def pack(payloads: list[bytes], quality: int) -> bytes:
            return pack_one(payloads[0], quality, self.manifest.bundle_id)

        return self._compress(batch, quality, effort, max_bytes, pack)

    def compress_batch(
        self,
        images: object,
        quality: int = DEFAULT_QUALITY,
        effort: int = 0,
        max_bytes: int | None = None,
        names: Sequence[str] | None = None,
    ) -> bytes:
        """Return the bytes of one .fmae file of a stack of images (N, 28, 28), with a name for each if given.

        The options are those of `compress`; `max_bytes` is for the whole file. Raises as `compress` does.
        """
        batch, single = as_batch(images, self.manifest.image_shape)
        if single:
            raise InputError("compress_batch takes a stack of images; use compress for one")

        def pack(payloads: list[bytes], quality: int) -> bytes:
            return pack_many(payloads, quality, self.manifest.bundle_id, names)

        return self._compress(batch, quality, effort, max_bytes, pack)

    def decompress(self, content: bytes, index: int | None = None) -> NDArray[np.uint8]:
        """Return the image (28, 28) of a .fmae file's bytes, or the stack (N, 28, 28) that the file holds.

        With `index`, return that image (28, 28) of a stack; no other is decoded.

        Raises InputError if the bytes are no whole .fmae file of this bundle, or `index` is none of theirs.
        """
        symbols, step, single = self._read_symbols(content, index)
        images = self.decode(symbols.astype(np.float32) * np.float32(step))
        return images[0] if single else images

    def symbols(self, content: bytes) -> NDArray[np.int64]:
        """Return the quantised latents (N, 64) in a .fmae file's bytes, as whole steps of the file's quality.

        They are the same on every machine. Raises as `decompress` does.
        """
        return self._read_symbols(content)[0]

    def names(self, content: bytes) -> tuple[str, ...] | None:
        """Return the images' names in a .fmae file, None if they were not kept. Raises as `decompress` does."""
        return self._unpack(content).names

    def _unpack(self, content: bytes) -> FmaeFile:
        if not isinstance(content, bytes | bytearray | memoryview):
            raise InputError(f"the content of a .fmae file is bytes, not {type(content).__name__}")
        return unpack(bytes(content), self.manifest.bundle_id)

    def _read_symbols(self, content: bytes, index: int | None = None) -> tuple[Integers, float, bool]:
        file = self._unpack(content)
        payloads, single = file.payloads, file.single
        longest = max(map(len, payloads), default=0)
        if longest > _PAYLOAD_BYTES_A_LATENT * self.manifest.latent_size + 1:
            raise InputError(f"corrupted, {longest} bytes are more than an image's payload can have")
        if index is not None:
            index = as_integer("index", index)
            if not 0 <= index < len(payloads):
                raise InputError(f"holds {len(payloads)} images, and no image {index!r}; they count from 0")
            payloads, single = payloads[index : index + 1], True
        symbols = decode_symbols(self._prior, payloads, self.manifest.latent_size, file.quality - 1)
        return symbols, self._step(file.quality), single

    def _compress(
        self,
        batch: NDArray[Any],
        quality: int,
        effort: int,
        max_bytes: int | None,
        pack: Callable[[list[bytes], int], bytes],
    ) -> bytes:
        quality, effort = as_integer("quality", quality), as_integer("effort", effort)
        for name, value, least, most in (("quality", quality, 1, QUALITIES), ("effort", effort, 0, MAX_EFFORT)):
            if not least <= value <= most:
                raise InputError(f"{name} is {value}; expected an integer from {least} to {most}")
        latents = self.encode(batch)

        def content_at(quality: int, effort: int) -> bytes:
            symbols = clip_symbols(np.rint(latents / np.float32(self._step(quality))))
            if effort:
                symbols = self._search(symbols, batch, quality, effort)
            return pack(encode_symbols(self._prior, symbols, quality - 1), quality)

        if max_bytes is None:
            return content_at(quality, effort)
        most_bytes = as_integer("max_bytes", max_bytes)
        levels = range(QUALITIES, 0, -1)
        if effort:  # saves little more than a level takes, so only the next above what fits without can fit too
            highest = next((at for at in levels if len(content_at(at, 0)) <= most_bytes), 1)
            levels = range(min(highest + _LEVELS_THAT_EFFORT_SAVES, QUALITIES), 0, -1)
        for at in levels:
            content = content_at(at, effort)
            if len(content) <= most_bytes:
                return content
        raise InputError(f"max_bytes is {max_bytes}, and the lowest quality takes {len(content)} bytes")

    def _search(self, symbols: Integers, batch: NDArray[Any], quality: int, effort: int) -> Integers:
        pixels = to_levels(batch, self.manifest.image_channels).reshape(len(batch), math.prod(batch.shape[1:]))
        step = np.float32(self._step(quality))

        def decode(tried: Integers) -> NDArray[np.float32]:
            return self.decode(tried.astype(np.float32) * step).reshape(len(tried), -1).astype(np.float32)

        # From mean squared error of pixels in [0, 1] to summed squared error of levels
        bit_cost = self._qualities.bit_costs[quality - 1] * pixels.shape[1] * 255**2
        count = partial(count_bits, self._prior, quality=quality - 1)
        return search(symbols, pixels.astype(np.float32), bit_cost, effort, decode, count)

    def _step(self, quality: int) -> float:
        return self._qualities.steps[quality - 1] * self._qualities.unit

    @property
    def _qualities(self) -> Qualities:
        if self.manifest.qualities is None:
            raise BundleError(
                f"{self._bundle.path}: has no prior, which .fmae files need; export the bundle again"
            )
        return self.manifest.qualities

    @cached_property
    def _prior(self) -> Prior:
        """The prior of the bundle, read at its first use: latents in .npy files need none."""
        qualities, manifest = self._qualities, self.manifest
        content = read_checked(self._bundle.path, PRIOR_NAME, manifest.files[PRIOR_NAME])
        where = f"{self._bundle.path}: {PRIOR_NAME}"
        return read_prior(content, manifest.latent_size, qualities.steps, where)

    def _session(self, half: Literal["encoder", "decoder"], images: int) -> "InferenceSession":
        """Return the session that runs `images` at once, opened at its first use."""
        threads = self._threads if images >= _IMAGES_FOR_THREADS else 1
        if (half, threads) not in self._sessions:
            self._sessions[half, threads] = self._open(half, threads)
        return self._sessions[half, threads]

    def _open(self, half: Literal["encoder", "decoder"], threads: int) -> "InferenceSession":
        manifest = self.manifest
        image = {"image": [manifest.image_channels, manifest.image_height, manifest.image_width]}
        latent = {"latent": [manifest.latent_size]}
        encoder, decoder = GRAPHS[self._precision]
        name, takes, gives = (encoder, image, latent) if half == "encoder" else (decoder, latent, image)
        where = f"{self._bundle.path}: {name}"
        session = open_session(self._bundle.files[name], where, threads)
        for ports, expected in ((session.get_inputs(), takes), (session.get_outputs(), gives)):
            found = {port.name: list(port.shape[1:]) for port in ports}
            if found != expected or any(isinstance(port.shape[0], int) for port in ports):
                raise BundleError(f"{where} has {found} where the manifest needs {expected}")
            for port in ports:
                types = ("tensor(uint8)", "tensor(float)") if port.name == "image" else ("tensor(float)",)
                if port.type not in types:
                    raise BundleError(f"{where}: {port.name} is {port.type}, expected {' or '.join(types)}")
        return session
