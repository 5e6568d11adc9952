"""The codec: images to latents and .fmae files, and back, with the graphs and the prior of a bundle."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fmae_edge.runtime.arrays import as_integer
from fmae_edge.runtime.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.fmae_file import FmaeFile, pack_many, pack_one, unpack
from fmae_edge.runtime.graphs import GRAPHS, PRECISIONS, Graphs, Precision
from fmae_edge.runtime.images import as_batch
from fmae_edge.runtime.latent_coder import LatentCoder
from fmae_edge.runtime.latents import as_latent_batch, as_latent_dtype, to_dtype
from fmae_edge.runtime.manifest import QUALITIES, Manifest
from fmae_edge.runtime.search import MAX_EFFORT
from fmae_edge.runtime.sessions import available_cpus

_MAX_THREADS = 1024
DEFAULT_QUALITY = 5


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
        self._graphs = Graphs(self._bundle, precision, threads or available_cpus())
        self._coder = LatentCoder(self._bundle, self._graphs)

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
        steps = np.array(self.manifest.latent_steps, np.float32)
        latents = to_dtype(self._graphs.encode(batch), stored_as, steps)
        return latents[0] if single else latents

    def decode(self, latents: object) -> NDArray[np.uint8]:
        """Decode (64,) to (28, 28), or (N, 64) to (N, 28, 28) uint8: the bundle's geometry.

        `latents` are float32 or float16 values, or int8 symbols, as `encode` gives them.

        Raises InputError if `latents` have another shape or dtype, or are not finite.
        """
        batch, single = as_latent_batch(latents, self.manifest.latent_size)
        images = self._graphs.decode(batch)
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
        file = self._unpack(content)
        payloads, single = file.payloads, file.single
        if index is not None:
            index = as_integer("index", index)
            if not 0 <= index < len(payloads):
                raise InputError(f"holds {len(payloads)} images, and no image {index!r}; they count from 0")
            payloads, single = payloads[index : index + 1], True
        images = self._coder.decompress(payloads, file.quality)
        return images[0] if single else images

    def symbols(self, content: bytes) -> NDArray[np.int64]:
        """Return the quantised latents (N, 64) in a .fmae file's bytes, as whole steps of the file's quality.

        They are the same on every machine. Raises as `decompress` does.
        """
        file = self._unpack(content)
        return self._coder.symbols(file.payloads, file.quality)

    def names(self, content: bytes) -> tuple[str, ...] | None:
        """Return the images' names in a .fmae file, None if they were not kept. Raises as `decompress` does."""
        return self._unpack(content).names

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
        if max_bytes is not None:
            max_bytes = as_integer("max_bytes", max_bytes)
        return self._coder.compress(batch, quality, effort, max_bytes, pack)

    def _unpack(self, content: bytes) -> FmaeFile:
        if not isinstance(content, bytes | bytearray | memoryview):
            raise InputError(f"the content of a .fmae file is bytes, not {type(content).__name__}")
        return unpack(bytes(content), self.manifest.bundle_id)
