"""What every engine of `engines.py` is given, what it gives back, and how that is checked before it is timed."""

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
# Of the latents' range, and of pixels in [0, 1]
FLOAT_TOLERANCE = 1e-3
# Of an int8 engine's pixels against PyTorch's: the trained model's own error is 0.005, that of wrong images 0.1
INT8_MSE = 1e-3


class UnavailableError(Exception):
    """An engine that is installed and cannot run here, with the reason."""


@dataclass(frozen=True)
class Material:
    """The model, and the largest batch of what it takes with what PyTorch makes of it.

    `levels` are uint8 images (N, 1, size, size), `images` the same in [0, 1], `latents` (N, latent_size) what
    PyTorch encodes them to and `pixels` what it decodes those to. `plain` are the serialised ONNX graphs as
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
        """Return what `task` takes, as float32."""
        return self.images if task == "encode" else self.latents


# A call runs one batch of the images or latents of the material and returns what the engine gives for it
Call = Callable[[], np.ndarray]
Calls = dict[tuple[Task, int], Call]


@dataclass(frozen=True)
class Engine:
    """One engine: `build` makes its calls by task and batch, from the material and a number of threads."""

    name: str
    packages: tuple[str, ...]
    build: Callable[[Material, int], Calls]
    int8: bool = False


def make_material(model: Autoencoder, levels: np.ndarray, plain: Mapping[Task, bytes]) -> Material:
    """Run PyTorch over uint8 `levels` (N, 1, size, size)."""
    images = levels.astype(np.float32) / 255
    latents = model.encoder(torch.from_numpy(images))
    return Material(model, levels, images, latents.numpy(), model.decoder(latents).numpy(), plain)


def check(engine: Engine, calls: Calls, material: Material) -> float:
    """Return by how much the outputs differ from PyTorch's at most.

    That is a mean squared error of pixels for an int8 engine, and a share of the range for any other. Ends
    the program if an engine computes something else than PyTorch: its time would mean nothing.
    """
    differences = [
        _difference(engine, task, np.array(call()).reshape(batch, -1), material)
        for (task, batch), call in calls.items()
    ]
    limit = INT8_MSE if engine.int8 else FLOAT_TOLERANCE
    for (task, batch), difference in zip(calls, differences, strict=True):
        if not difference <= limit:  # NaN is none of it either
            raise SystemExit(
                f"{engine.name}, {task}, batch {batch}: does not compute what PyTorch does: "
                f"it differs by {difference:.2g}, {limit:.2g} is allowed"
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
    """Keep a converter's chatter off the terminal, what its C++ prints included."""
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
