"""Measure parity: compare each graph of a bundle with PyTorch on real images.

Every graph runs at several batch sizes, with the optimisations of onnxruntime on and off. The latents of the
encoder are compared with those of PyTorch. The decoder gets these latents, and its pixels are compared with
PyTorch's reconstruction, so the gates apply to the complete codec.
"""

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.measure.quality import pooled_psnr
from fmae_edge.model.autoencoder import Autoencoder, channels_first, to_pixels
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.engine.graphs import GRAPHS, PRECISIONS, Precision
from fmae_edge.runtime.engine.sessions import open_session, takes_levels

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCHES = (1, 7, 256)
_PIXELS_AT_ONCE = 256 * 64 * 64  # bounds memory: the largest batch of larger images has fewer
MAX_PIXEL_DIFFERENCE = 1e-5
MAX_LATENT_DIFFERENCE = 1e-4  # as a share of the range of PyTorch's latents
MAX_INT8_LOSS_DB = 0.10
_TORCH_PIXELS = 50 * 28 * 28

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """One precision at one batch size, optimised or not, against PyTorch on the same images.

    Latent differences are shares of the range (largest minus smallest) of PyTorch's latents. Pixels are in [0, 1].
    PSNR is pooled, in dB; `loss_db` is the loss against PyTorch.
    """

    precision: Precision
    batch: int
    optimised: bool
    latent_max: float
    latent_mean: float
    pixel_max: float
    pixel_mean: float
    psnr: float
    psnr_against_torch: float
    loss_db: float

    def failures(self) -> list[str]:
        """Return a sentence for each gate that fails."""
        if self.precision == "int8":
            gates = [("PSNR lost, dB", self.loss_db, MAX_INT8_LOSS_DB)]
        else:
            gates = [
                ("largest latent difference, share of range", self.latent_max, MAX_LATENT_DIFFERENCE),
                ("largest pixel difference", self.pixel_max, MAX_PIXEL_DIFFERENCE),
            ]
        case = f"{self.precision}, batch {self.batch}, optimisations {'on' if self.optimised else 'off'}"
        # Unlike `>`, `not <=` catches NaN
        return [
            f"{case}: {name} is {value:.3g}, the gate is {gate:g}"
            for name, value, gate in gates
            if not value <= gate
        ]


@dataclass(frozen=True)
class Parity:
    """All comparisons of a bundle, the number of images, and the pooled PSNR of PyTorch in dB."""

    images: int
    torch_psnr: float
    comparisons: tuple[Comparison, ...]

    def failures(self) -> list[str]:
        """Return a sentence for each gate that fails."""
        return [failure for comparison in self.comparisons for failure in comparison.failures()]

    def to_record(self) -> dict[str, Any]:
        """Return the figures as JSON values for the manifest; values that are not finite become None."""
        rows = [
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in asdict(comparison).items()
            }
            for comparison in self.comparisons
        ]
        gates = {
            "fp32_pixel_max": MAX_PIXEL_DIFFERENCE,
            "fp32_latent_max": MAX_LATENT_DIFFERENCE,
            "int8_loss_db": MAX_INT8_LOSS_DB,
        }
        return {
            "images": self.images,
            "torch_psnr": self.torch_psnr,
            "gates": gates,
            "failures": self.failures(),
            "comparisons": rows,
        }


def measure_parity(
    model: Autoencoder,
    graphs: Mapping[str, bytes],
    images: Tensor,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Parity:
    """Compare `model` with the four graphs of a bundle on uint8 images (N, height, width[, 3]).

    `on_progress` gets (comparisons done, total comparisons).
    """
    originals = to_pixels(images)
    size = model.config.height * model.config.width
    at_once = max(1, _TORCH_PIXELS // size)
    with torch.inference_mode():
        latents = torch.cat([model.encoder(batch) for batch in originals.split(at_once)])
        pixels = torch.cat([model.decoder(batch) for batch in latents.split(at_once)])
    levels = channels_first(images).contiguous().numpy()
    reference = _Reference(levels, originals.numpy(), latents.numpy(), pixels.numpy())
    cases = [
        (precision, min(batch, _PIXELS_AT_ONCE // size), optimised)
        for batch in BATCHES  # the slowest first, which keeps all threads busy
        for precision in PRECISIONS
        for optimised in (False, True)
    ]
    # Cases run in parallel on one thread each, which is faster than in sequence and gives the same results
    with ThreadPoolExecutor(available_cpus()) as pool:
        futures = [pool.submit(_compare, reference, graphs, *case) for case in cases]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            on_progress(done, len(cases))
        comparisons = tuple(future.result() for future in futures)
    return Parity(len(images), reference.psnr, comparisons)


class _Reference:
    """Original images, in 256 levels and in [0, 1], and the results of PyTorch."""

    def __init__(self, levels: NDArray[np.uint8], originals: Array, latents: Array, pixels: Array) -> None:
        self.levels = levels
        self.originals, self.latents, self.pixels = originals, latents, pixels
        self.latent_range = float(latents.max() - latents.min())
        self.psnr = pooled_psnr(originals, pixels)


def _compare(
    reference: _Reference, graphs: Mapping[str, bytes], precision: Precision, batch: int, optimised: bool
) -> Comparison:
    encoder, decoder = (
        open_session(graphs[name], name, threads=1, optimise=optimised) for name in GRAPHS[precision]
    )
    latents = _run(encoder, reference.levels if takes_levels(encoder) else reference.originals, batch)
    pixels = _run(decoder, latents, batch)
    if pixels.dtype == np.uint8:
        pixels = pixels / np.float32(255)
    latent_difference = np.abs(latents - reference.latents) / reference.latent_range
    pixel_difference = np.abs(pixels - reference.pixels)
    quality = pooled_psnr(reference.originals, pixels)
    return Comparison(
        precision=precision,
        batch=batch,
        optimised=optimised,
        latent_max=float(latent_difference.max()),
        latent_mean=float(latent_difference.mean()),
        pixel_max=float(pixel_difference.max()),
        pixel_mean=float(pixel_difference.mean()),
        psnr=quality,
        psnr_against_torch=pooled_psnr(reference.pixels, pixels),
        loss_db=reference.psnr - quality,
    )


def _run(session: "InferenceSession", values: NDArray[Any], batch: int) -> NDArray[Any]:
    (port,) = session.get_inputs()
    parts = [session.run(None, {port.name: values[at : at + batch]})[0] for at in range(0, len(values), batch)]
    return np.concatenate(parts)
