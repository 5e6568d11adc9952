"""The two graphs of a bundle at work: checked images to latent values, and values to images."""

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.bundle import Bundle
from fmae_edge.runtime.errors import BundleError, InputError
from fmae_edge.runtime.images import to_levels, to_reals, to_uint8
from fmae_edge.runtime.latents import to_values
from fmae_edge.runtime.sessions import open_session, takes_levels

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


class Graphs:
    """The encoder and the decoder of a bundle in one precision; each is loaded at its first use."""

    def __init__(self, bundle: Bundle, precision: Precision, threads: int) -> None:
        self._bundle = bundle
        self._precision = precision
        self._threads = threads
        self._sessions: dict[tuple[str, int], InferenceSession] = {}
        self._steps = np.array(bundle.manifest.latent_steps, np.float32)

    def encode(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the latent values (N, latent_size) of images that `as_batch` has checked.

        Raises BundleError if the encoder's weights make no numbers of them.
        """
        manifest = self._bundle.manifest
        values = np.empty((len(images), manifest.latent_size), np.float32)
        encoder = self._session("encoder", len(images))
        to_pixels = to_levels if takes_levels(encoder) else to_reals
        for at in range(0, len(images), _IMAGES_PER_RUN):
            pixels = to_pixels(images[at : at + _IMAGES_PER_RUN], manifest.image_channels)
            (values[at : at + _IMAGES_PER_RUN],) = encoder.run(None, {"image": pixels})
        if not np.isfinite(values).all():
            raise BundleError(f"{self._bundle.path}: its encoder gives latents that are not finite")
        return values

    def decode(self, latents: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the images of latents (N, latent_size) that `as_latent_batch` has checked.

        Raises InputError if they are so large that pixels overflow.
        """
        image_shape = self._bundle.manifest.image_shape
        images = np.empty((len(latents), *image_shape), np.uint8)
        decoder = self._session("decoder", len(latents))
        for at in range(0, len(latents), _IMAGES_PER_RUN):
            values = to_values(latents[at : at + _IMAGES_PER_RUN], self._steps)
            (pixels,) = decoder.run(None, {"latent": values})
            if pixels.dtype != np.uint8:
                if not np.isfinite(pixels).all():
                    raise InputError("latents are too large to decode: pixels overflow")
                pixels = to_uint8(pixels)
            images[at : at + _IMAGES_PER_RUN] = pixels.reshape(-1, *image_shape)
        return images

    def _session(self, half: Literal["encoder", "decoder"], images: int) -> "InferenceSession":
        """Return the session that runs `images` at once, opened at its first use."""
        threads = self._threads if images >= _IMAGES_FOR_THREADS else 1
        if (half, threads) not in self._sessions:
            self._sessions[half, threads] = self._open(half, threads)
        return self._sessions[half, threads]

    def _open(self, half: Literal["encoder", "decoder"], threads: int) -> "InferenceSession":
        manifest = self._bundle.manifest
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
