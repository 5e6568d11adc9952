"""The codec: images to latents and back, with the two graphs of a bundle."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fmae_edge.runtime.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.errors import BundleError, InputError
from fmae_edge.runtime.images import as_batch, to_levels, to_reals, to_uint8
from fmae_edge.runtime.latents import as_latent_batch, as_latent_dtype, to_dtype, to_values
from fmae_edge.runtime.manifest import Manifest
from fmae_edge.runtime.sessions import available_cpus, open_session, takes_levels

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


class Codec:
    """Compress images to latents and back with the bundle in folder `bundle`, by default the one in the wheel.

    `precision` chooses the int8 or the float32 graphs, `threads` how many threads onnxruntime may use
    (by default the CPUs that this process may run on); a few images alone always run on one.

    Raises BundleError if the bundle is not whole, InputError if an argument is none of the above.

    Example::

        codec = Codec()
        latent = codec.encode(image)  # (28, 28) uint8 -> (64,) float32
        image = codec.decode(latent)  # (64,) float32 -> (28, 28) uint8
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
