"""Run the graphs of a bundle: images to latent values, latent values to images, and the gradient of an error."""

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import Stack, slices
from fmae_edge.runtime.bundle.bundle import Bundle
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME, PRIOR_NAME
from fmae_edge.runtime.engine.cpu_model import dot_products
from fmae_edge.runtime.engine.providers import Providers, as_providers, require_installed, runs_on_cpu
from fmae_edge.runtime.engine.sessions import (
    counted_call,
    failure,
    load_onnxruntime,
    open_session,
    takes_levels,
)
from fmae_edge.runtime.engine.weight_zero_points import with_fast_zero_points
from fmae_edge.runtime.errors import ArgumentError, BundleError, InputError, shown
from fmae_edge.runtime.images import (
    channels_first,
    channels_last,
    fewer_if_larger,
    to_levels,
    to_reals,
    to_uint8,
)
from fmae_edge.runtime.latents import all_finite, to_values

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Precision = Literal["int8", "fp32"]
Part = Literal["encoder", "decoder", "gradient"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
GRAPHS: dict[Precision, tuple[str, str]] = {
    "int8": ("encoder.onnx", "decoder.onnx"),
    "fp32": ("encoder.fp32.onnx", "decoder.fp32.onnx"),
}
# Measured by benchmarks/session_options.py. On one thread, encoders are slower with more than 32 images per call
# to onnxruntime; two threads gain a little up to 64. With fewer than 8, waking other threads costs more than it
# saves.
# Of larger images, fewer per call bound the memory and are faster: activations that leave the CPU cache took up to
# 3 times as long (64x64 RGB: 0.38 ms per image one at a time, 0.93 ms eight at a time).
_IMAGES_PER_RUN, _LARGER_PER_RUN = 32, 16
_IMAGES_FOR_THREADS = 8
# The gradient keeps all results until its backward pass. By benchmarks/gradient.py, more images at once are not
# faster. The numbers in the results of a call bound its memory, which is kept for the next call.
_GRADIENTS_PER_THREAD, _GRADIENT_NUMBERS = 8, 1 << 22


# Re-entrant: a signal handler may use a codec while the thread that it interrupts loads the graphs
_loading = threading.RLock()
_all: WeakSet["Graphs"] = WeakSet()


def as_precision(precision: object, providers: Providers = ()) -> Precision:
    """Return the name of a precision; for None, fp32 if other providers than the CPU's run the graphs, else int8.

    Raises ArgumentError if it is not one of PRECISIONS, or int8 for other providers: the int8 graphs are made for
    the CPU's, and others run them slowly or not at all.
    """
    on_cpu = runs_on_cpu(providers)
    if precision is None:
        return "int8" if on_cpu else "fp32"
    for name in PRECISIONS:
        if precision == name:
            if name == "int8" and not on_cpu:
                raise ArgumentError(
                    "precision", f"is int8, which runs on the CPU only; use fp32 on {providers[0][0]}"
                )
            return name
    raise ArgumentError("precision", f"is {shown(precision)}; expected one of {', '.join(PRECISIONS)}")


class RunOptions(NamedTuple):
    """How to run the graphs: which ones, the threads that were requested, and the execution providers."""

    precision: Precision
    threads: int | None
    providers: Providers


def as_run_options(precision: object, threads: int | None, providers: object) -> RunOptions:
    """Return checked options of a codec; `choose_threads` checks `threads`. Raises ArgumentError."""
    checked = as_providers(providers)
    return RunOptions(as_precision(precision, checked), threads, checked)


def in_memory(bundle: Bundle, precision: Precision) -> Bundle:
    """Return the bundle with the bytes of all files that a codec of this precision may need, and of no others."""
    names = (*GRAPHS[precision], PRIOR_NAME, *((GRADIENT_NAME, DECODER_NAME) if bundle.has_gradient else ()))
    return replace(bundle, files={name: bundle.file(name) for name in names if name in bundle.manifest.files})


def _start_anew() -> None:
    """In a forked process, drop the parent's sessions, and a lock that one of the parent's threads may hold."""
    global _loading
    _loading = threading.RLock()
    for graphs in _all:
        graphs.abandon_sessions()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


class _Graph(NamedTuple):
    """A loaded graph that returns arrays (N, *shape) for each shape of `gives`; `where` names it in messages.

    `outputs` are their names. It takes 8-bit images if `takes_levels`, and `per_run` images at once.
    """

    session: "InferenceSession"
    outputs: list[str]
    where: str
    gives: tuple[tuple[int, ...], ...]
    takes_levels: bool
    per_run: int

    def run(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Return the only output for the input `name`. Raises BundleError if the graph fails."""
        return self.run_all({name: values}, len(values))[0]

    def run_all(self, inputs: dict[str, NDArray[Any]], count: int) -> list[NDArray[Any]]:
        """Return all outputs for `count` inputs, by name. Raises BundleError if the graph fails."""
        try:
            with counted_call():
                outputs: list[NDArray[Any]] = self.session.run(self.outputs, inputs)
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            raise failure(error, f"{self.where} fails in onnxruntime") from error
        for output, shape in zip(outputs, self.gives, strict=True):
            if output.shape != (count, *shape):
                raise BundleError(
                    f"{self.where} returns an array of shape {output.shape}; expected {(count, *shape)}"
                )
        return outputs


class Graphs:
    """The encoder, the decoder and its gradient, of a bundle in one precision; any number of threads may use them.

    Each is loaded at its first use in a process, because onnxruntime's sessions do not work in a forked process.
    `providers` run the encoder and the decoder, by default the CPU. The gradient always runs on the CPU.

    Raises ArgumentError or FmaeError if the installed onnxruntime does not have the providers.
    """

    def __init__(self, bundle: Bundle, precision: Precision, threads: int, providers: Providers = ()) -> None:
        if providers:
            require_installed(load_onnxruntime(), providers)
        self._bundle = bundle
        self._precision = precision
        self._threads = threads
        self._providers = providers
        self._loaded: dict[tuple[str, int], _Graph] = {}
        manifest = bundle.manifest
        self._steps = np.array(manifest.latent_steps, np.float32)
        pixels = manifest.image_height * manifest.image_width
        small = fewer_if_larger(_IMAGES_PER_RUN, pixels) == _IMAGES_PER_RUN
        self._per_run = _IMAGES_PER_RUN if small else fewer_if_larger(_LARGER_PER_RUN, pixels)
        _all.add(self)

    def __str__(self) -> str:
        providers = "".join(f", {name}" for name, _ in self._providers)
        return f"{self._precision}, threads={self._threads}{providers}"

    def abandon_sessions(self) -> None:
        """Load the graphs again at their next use, and never free the sessions of the parent process.

        Freeing a session waits for its threads, which do not exist in a forked process.
        """
        from ctypes import py_object, pythonapi

        for graph in self._loaded.values():
            pythonapi.Py_IncRef(py_object(graph.session))
        self._loaded = {}

    def encode(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the latent values (N, latent_size) of images that `as_batch` has checked.

        Raises BundleError if the encoder returns NaN or infinity.
        """
        encoder = self._graph("encoder", len(images))
        to_pixels = to_levels if encoder.takes_levels else to_reals
        if 0 < len(images) <= encoder.per_run:  # without a copy of the result
            values = encoder.run("image", channels_first(to_pixels(images)))
        else:
            values = np.empty((len(images), *encoder.gives[0]), np.float32)
            for part in slices(len(images), encoder.per_run):
                values[part] = encoder.run("image", channels_first(to_pixels(images[part])))
        if not all_finite(values):
            raise BundleError(f"{self._bundle.where}: its encoder returns latents that are NaN or infinite")
        return values

    def decode(self, latents: Stack) -> NDArray[np.uint8]:
        """Return the images of latents (N, latent_size) that `as_latent_batch` has checked.

        Raises InputError if the latents are so large that pixels overflow.
        """
        decoder = self._graph("decoder", len(latents))
        if 0 < len(latents) <= decoder.per_run:  # without a copy of gray images
            return np.ascontiguousarray(self._decoded(decoder, latents[:]))
        images = np.empty((len(latents), *self._bundle.manifest.image_shape), np.uint8)
        for part in slices(len(latents), decoder.per_run):
            images[part] = self._decoded(decoder, latents[part])
        return images

    def _decoded(self, decoder: _Graph, latents: NDArray[Any]) -> NDArray[np.uint8]:
        pixels = decoder.run("latent", to_values(latents, self._steps))
        if pixels.dtype != np.uint8:
            if not np.isfinite(pixels).all():
                raise InputError("latents are too large to decode: pixels overflow")
            pixels = to_uint8(pixels)
        return channels_last(pixels)

    @property
    def has_gradient(self) -> bool:
        """Whether the bundle has the graph that `error_gradient` needs."""
        return self._bundle.has_gradient

    def error_gradient(
        self, latents: NDArray[np.float32], images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the pixels (N, H, W[, 3]) in [0, 1] of the float32 decoder, and the gradient (N, latent_size).

        The gradient is that of the squared error, summed over the pixels in [0, 1] of each image, with respect to
        its latent values (N, latent_size). `images` are levels 0 to 255, (N, H, W[, 3]). The graph is read and
        loaded at the first use.

        Raises BundleError if the bundle has no such graph, its files are missing or damaged, or a result is NaN or
        infinite.
        """
        pixels = np.empty((len(latents), *self._bundle.manifest.image_shape), np.float32)
        gradients = np.empty(latents.shape, np.float32)
        graph = self._graph("gradient", len(latents))
        for part in slices(len(latents), graph.per_run):
            inputs = {"latent": latents[part], "image": channels_first(images[part])}
            decoded, gradients[part] = graph.run_all(inputs, len(inputs["latent"]))
            pixels[part] = channels_last(decoded)
        if not np.isfinite(gradients).all():
            raise BundleError(f"{graph.where} returns gradients that are NaN or infinite")
        return pixels, gradients

    def _graph(self, part: Part, images: int) -> _Graph:
        """Return the graph for this number of images per call."""
        threads = self._threads if images >= _IMAGES_FOR_THREADS else 1
        key = (part, threads)
        if key not in self._loaded:
            with _loading:
                if key not in self._loaded:
                    self._loaded[key] = self._load(part, threads)
        return self._loaded[key]

    def _load(self, part: Part, threads: int) -> _Graph:
        bundle, manifest = self._bundle, self._bundle.manifest
        image = (manifest.image_channels, manifest.image_height, manifest.image_width)
        latent = (manifest.latent_size,)
        encoder, decoder = GRAPHS[self._precision]
        name, gives = {
            "encoder": (encoder, (latent,)),
            "decoder": (decoder, (image,)),
            "gradient": (GRADIENT_NAME, (image, latent)),
        }[part]
        where, searches = f"{bundle.where}: {name}", part == "gradient"
        if searches:
            graph, numbers = bundle.gradient_graph()
            per_run = max(1, min(_GRADIENTS_PER_THREAD * threads, _GRADIENT_NUMBERS // numbers))
        else:
            graph, per_run = bundle.files[name], self._per_run
        if self._precision == "int8" and not searches:
            graph = with_fast_zero_points(graph, part == "encoder", dot_products())
        providers = () if searches else self._providers
        with counted_call():
            session = open_session(graph, where, threads, arena=searches, providers=providers)
            outputs = [output.name for output in session.get_outputs()]
        return _Graph(session, outputs, where, gives, takes_levels(session), per_run)
