"""Measure the parity of the gradient's graph: compare it with automatic differentiation in PyTorch."""

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.model.autoencoder import Autoencoder, channels_first, to_pixels
from fmae_edge.runtime.engine.sessions import open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_GRADIENT_DIFFERENCE = 1e-4  # as a share of the norm of PyTorch's gradients
_IMAGES, _PIXELS = 16, 16 * 64 * 64  # a wrong operator changes the gradient of every image
_SMALLEST = 1e-30  # a decoder that ignores its latents has gradients of 0


@dataclass(frozen=True)
class GradientParity:
    """The difference between the gradients of a graph and those of PyTorch in float64, on some images.

    `difference` is the norm of the differences over all images, as a share of the norm of PyTorch's gradients: the
    largest at batches of 1 and of all images, with the optimisations of onnxruntime on and off.
    """

    images: int
    difference: float

    def failures(self) -> list[str]:
        """Return a sentence if the gate fails."""
        if self.difference <= MAX_GRADIENT_DIFFERENCE:  # false for NaN
            return []
        return [
            f"gradient: difference, share of norm, is {self.difference:.3g}, "
            f"the gate is {MAX_GRADIENT_DIFFERENCE:g}"
        ]

    def to_record(self) -> dict[str, Any]:
        """Return the figures as JSON values; a difference that is not finite becomes None."""
        return {"images": self.images, "difference": self.difference if math.isfinite(self.difference) else None}


def measure_gradient(model: Autoencoder, graph: bytes, images: Tensor) -> GradientParity:
    """Compare `graph`, which has its weights, with `model` on the first of uint8 `images` (N, height, width[, 3]).

    Each image is compared with the latent of another, because near its own latent the gradient is small.
    """
    config = model.config
    images = images[: max(1, min(_IMAGES, _PIXELS // (config.height * config.width)))]
    with torch.inference_mode():
        latents = model.encoder(to_pixels(images)).roll(1, dims=0).numpy()
    expected = error_gradients(model, latents, images)
    norm = max(float(np.linalg.norm(expected)), _SMALLEST)
    levels = channels_first(images).contiguous().numpy()
    differences = []
    for optimise in (False, True):
        session = open_session(graph, "the graph of the gradient", threads=1, optimise=optimise)
        for batch in (1, len(images)):
            found = _run(session, latents, levels, batch)
            differences.append(float(np.linalg.norm(found - expected)) / norm)
    return GradientParity(len(images), float(np.max(differences)))  # NaN if one is


def error_gradients(model: Autoencoder, latents: NDArray[np.float32], images: Tensor) -> NDArray[np.float64]:
    """Return PyTorch's gradients (N, latent_size) of the summed squared error of pixels in [0, 1], in float64."""
    decoder = copy.deepcopy(model.decoder).double()
    at = torch.tensor(latents, dtype=torch.float64, requires_grad=True)
    error = (decoder(at) - channels_first(images).double() / 255).square().sum()
    (gradients,) = torch.autograd.grad(error, at)
    result: NDArray[np.float64] = gradients.numpy()
    return result


def _run(
    session: "InferenceSession", latents: NDArray[np.float32], levels: NDArray[np.uint8], batch: int
) -> NDArray[np.float32]:
    parts = [slice(at, at + batch) for at in range(0, len(latents), batch)]
    return np.concatenate(
        [session.run(["gradient"], {"latent": latents[part], "image": levels[part]})[0] for part in parts]
    )
