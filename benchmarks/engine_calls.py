"""The inputs and outputs of every engine of `engines.py`, and the check of the outputs before the timing."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from fmae_edge.model.autoencoder import Autoencoder

Task = Literal["encode", "decode"]
TASKS: tuple[Task, ...] = ("encode", "decode")
BATCHES = (1, 4, 16, 64)
# Largest difference from PyTorch, as a share of the range of latents or of pixels in [0, 1]
FLOAT_TOLERANCE = 1e-3
# Mean squared error of pixels against PyTorch's. The model's own error is 0.005, that of wrong images 0.1
INT8_MSE = 1e-3


class UnavailableError(Exception):
    """An engine is installed but cannot run here. The message is the reason."""


@dataclass(frozen=True)
class Material:
    """The model, and the largest batch of its inputs with PyTorch's outputs.

    `levels` are uint8 images (N, 1, size, size), and `images` the same in [0, 1]. `latents` (N, latent_size) are
    their encodings by PyTorch, and `pixels` the decodings of these. `plain` are the serialised ONNX graphs as
    PyTorch exports them.
    """

    model: Autoencoder
    levels: np.ndarray
    images: np.ndarray
    latents: np.ndarray
    pixels: np.ndarray
    plain: Mapping[Task, bytes]

    def module(self, task: Task) -> torch.nn.Module:
        """Return the half of the model that does `task`."""
        return self.model.encoder if task == "encode" else self.model.decoder

    def floats(self, task: Task) -> np.ndarray:
        """Return the inputs of `task` as float32."""
        return self.images if task == "encode" else self.latents


# A call runs one batch of images or latents and returns the engine's outputs
Call = Callable[[], np.ndarray]
Calls = dict[tuple[Task, int], Call]


@dataclass(frozen=True)
class Engine:
    """One engine. `build` returns its calls by task and batch, given the material and the number of threads."""

    name: str
    packages: tuple[str, ...]
    build: Callable[[Material, int], Calls]
    int8: bool = False


def make_material(model: Autoencoder, levels: np.ndarray, plain: Mapping[Task, bytes]) -> Material:
    """Return the material for uint8 `levels` (N, 1, size, size), with the outputs of PyTorch."""
    images = levels.astype(np.float32) / 255
    latents = model.encoder(torch.from_numpy(images))
    return Material(model, levels, images, latents.numpy(), model.decoder(latents).numpy(), plain)


def check(engine: Engine, calls: Calls, material: Material) -> float:
    """Return the largest difference of the outputs from PyTorch's.

    It is a mean squared error of pixels for int8 engines, and a share of the range for the others. Raises
    SystemExit if the difference is too large, because the time of a wrong result means nothing.
    """
    differences = [
        _difference(engine, task, np.array(call()).reshape(batch, -1), material)
        for (task, batch), call in calls.items()
    ]
    limit = INT8_MSE if engine.int8 else FLOAT_TOLERANCE
    for (task, batch), difference in zip(calls, differences, strict=True):
        if not difference <= limit:  # also true for NaN
            raise SystemExit(
                f"{engine.name}, {task}, batch {batch}: differs from PyTorch by {difference:.2g}; "
                f"at most {limit:.2g} is allowed"
            )
    return max(differences)


def _difference(engine: Engine, task: Task, output: np.ndarray, material: Material) -> float:
    expected = (material.latents if task == "encode" else material.pixels)[: len(output)].reshape(len(output), -1)
    if engine.int8:
        if task == "encode":
            output = material.model.decoder(torch.from_numpy(output)).flatten(1).numpy()
        elif output.dtype == np.uint8:
            output = output / np.float32(255)
        pixels = material.pixels[: len(output)].reshape(len(output), -1)
        return float(np.square(output - pixels).mean())
    extent = np.ptp(material.latents) if task == "encode" else 1.0
    return float(np.abs(output - expected).max() / extent)


@contextmanager
def silenced() -> Iterator[None]:
    """Suppress the output of converters, also that of their C++ code."""
    kept = [os.dup(stream) for stream in (1, 2)]
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(sink, stream)
        yield
    finally:
        for stream, before in zip((1, 2), kept, strict=True):
            os.dup2(before, stream)
            os.close(before)
        os.close(sink)


def slices(task: Task, values: np.ndarray) -> Iterator[tuple[tuple[Task, int], np.ndarray]]:
    """Yield the key and the input of each batch of `task`."""
    for batch in BATCHES:
        yield (task, batch), values[:batch].copy()
