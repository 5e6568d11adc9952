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

from fmae_edge.export.gradient_parity import MAX_GRADIENT_DIFFERENCE, GradientParity, measure_gradient
from fmae_edge.measure.quality import mse_per_image, psnr
from fmae_edge.model.autoencoder import Autoencoder, channels_first, to_pixels
from fmae_edge.runtime.bundle.gradient_check import with_weights
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.engine.graphs import GRAPHS, PRECISIONS, Precision
from fmae_edge.runtime.engine.sessions import open_session, takes_levels

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCHES = (1, 7, 256)
# All test images of Fashion-MNIST. Of larger images than 32x32, as many pixels as 10,000 of those have: more take
# many minutes and change no figure
_MOST_IMAGES, _MOST_PIXELS = 10_000, 10_000 * 32 * 32
# These bound memory. The largest batch of images over 32x32 has fewer; larger ones would also be slower.
_PIXELS_AT_ONCE = 256 * 32 * 32
_TORCH_PIXELS = 50 * 28 * 28
_NUMBERS_AT_ONCE = 10_000 * 28 * 28
MAX_PIXEL_DIFFERENCE = 1e-5
MAX_LATENT_DIFFERENCE = 1e-4  # as a share of the range of PyTorch's latents
MAX_INT8_LOSS_DB = 0.10

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
    """All comparisons of a bundle with PyTorch, whose pooled PSNR in dB is `torch_psnr`.

    `images` of `held_out_images` images are compared: not all, if they are many or large. `gradient` is None for
    a bundle without the graph of the gradient.
    """

    images: int
    held_out_images: int
    torch_psnr: float
    comparisons: tuple[Comparison, ...]
    gradient: GradientParity | None = None

    def failures(self) -> list[str]:
        """Return a sentence for each gate that fails."""
        failures = [failure for comparison in self.comparisons for failure in comparison.failures()]
        return [*failures, *(self.gradient.failures() if self.gradient else ())]

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
            **({"gradient_difference": MAX_GRADIENT_DIFFERENCE} if self.gradient else {}),
        }
        return {
            "images": self.images,
            "held_out_images": self.held_out_images,
            "torch_psnr": self.torch_psnr,
            "gates": gates,
            "failures": self.failures(),
            "comparisons": rows,
            **({"gradient": self.gradient.to_record()} if self.gradient else {}),
        }


def measure_parity(
    model: Autoencoder,
    graphs: Mapping[str, bytes],
    images: Tensor,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Parity:
    """Compare `model` with the graphs of a bundle on uint8 images (N, height, width[, 3]).

    At most the first 10,000 are compared, and of images of 256x256 the first 156: held-out images are in random
    order. They are compared in parts, so memory does not depend on N. `on_progress` gets (comparisons done, total
    comparisons), counting each part.
    """
    size, held_out = model.config.height * model.config.width, len(images)
    images = images[: max(1, min(_MOST_IMAGES, _MOST_PIXELS // size))]
    at_once = max(1, _TORCH_PIXELS // size)
    parts = images.split(max(1, _NUMBERS_AT_ONCE // images[0].numel()))
    with torch.inference_mode():
        encoded = [torch.cat([model.encoder(to_pixels(x)) for x in part.split(at_once)]) for part in parts]
    latent_range = float(max(part.max() for part in encoded) - min(part.min() for part in encoded))
    # The slowest first, which keeps all threads busy
    batches = dict.fromkeys(min(batch, max(1, _PIXELS_AT_ONCE // size)) for batch in BATCHES)
    pairs = [_Pair(graphs, precision, on) for precision in PRECISIONS for on in (False, True)]
    cases = [_Case(pair, batch) for batch in batches for pair in pairs]
    torch_errors = []
    # Cases run in parallel on one thread each, which is faster than in sequence and gives the same results
    with ThreadPoolExecutor(available_cpus()) as pool:
        for before, (part, latents) in enumerate(zip(parts, encoded, strict=True)):
            with torch.inference_mode():
                pixels = torch.cat([model.decoder(some) for some in latents.split(at_once)]).numpy()
            levels, originals = channels_first(part).contiguous().numpy(), to_pixels(part).contiguous().numpy()
            reference = _Reference(levels, originals, latents.numpy(), pixels, latent_range)
            torch_errors.append(mse_per_image(originals, pixels))
            futures = [pool.submit(case.add, reference) for case in cases]
            for done, future in enumerate(as_completed(futures), start=before * len(cases) + 1):
                future.result()
                on_progress(done, len(parts) * len(cases))
    gradient = None
    if GRADIENT_NAME in graphs:
        graph = with_weights(graphs[GRADIENT_NAME], graphs[DECODER_NAME], GRADIENT_NAME)
        gradient = measure_gradient(model, graph, images)
    torch_psnr = _pooled(torch_errors)
    comparisons = tuple(case.comparison(torch_psnr) for case in cases)
    return Parity(len(images), held_out, torch_psnr, comparisons, gradient)


@dataclass(frozen=True)
class _Reference:
    """A part of the images, in 256 levels and in [0, 1], and the results of PyTorch."""

    levels: NDArray[np.uint8]
    originals: Array
    latents: Array
    pixels: Array
    latent_range: float  # over all parts


class _Pair:
    """The encoder and the decoder of one precision, optimised or not; any number of threads may use them."""

    def __init__(self, graphs: Mapping[str, bytes], precision: Precision, optimised: bool) -> None:
        self.precision, self.optimised = precision, optimised
        self.encoder, self.decoder = (
            open_session(graphs[name], name, threads=1, optimise=optimised) for name in GRAPHS[precision]
        )


class _Case:
    """One pair of graphs at one batch size, and its differences from PyTorch on the parts so far."""

    def __init__(self, pair: _Pair, batch: int) -> None:
        self._pair, self._batch = pair, batch
        self._counts: list[int] = []
        # One entry per part: the largest and the mean difference
        self._latents: list[tuple[float, float]] = []
        self._pixels: list[tuple[float, float]] = []
        # One entry per image
        self._errors: list[NDArray[np.float64]] = []
        self._errors_against_torch: list[NDArray[np.float64]] = []

    def add(self, reference: _Reference) -> None:
        """Run the graphs on a part of the images, and compare."""
        encoder, decoder = self._pair.encoder, self._pair.decoder
        latents = self._run(encoder, reference.levels if takes_levels(encoder) else reference.originals)
        pixels = self._run(decoder, latents)
        if pixels.dtype == np.uint8:
            pixels = pixels / np.float32(255)
        self._counts.append(len(latents))
        self._errors.append(mse_per_image(reference.originals, pixels))
        self._errors_against_torch.append(mse_per_image(reference.pixels, pixels))
        self._latents.append(_largest_and_mean(np.abs(latents - reference.latents) / reference.latent_range))
        pixels -= reference.pixels
        self._pixels.append(_largest_and_mean(np.abs(pixels, out=pixels)))

    def comparison(self, torch_psnr: float) -> Comparison:
        """Return the figures of all parts, given the pooled PSNR of PyTorch in dB."""
        psnr_of_graphs = _pooled(self._errors)
        latent_max, latent_mean = self._over_parts(self._latents)
        pixel_max, pixel_mean = self._over_parts(self._pixels)
        return Comparison(
            precision=self._pair.precision,
            batch=self._batch,
            optimised=self._pair.optimised,
            latent_max=latent_max,
            latent_mean=latent_mean,
            pixel_max=pixel_max,
            pixel_mean=pixel_mean,
            psnr=psnr_of_graphs,
            psnr_against_torch=_pooled(self._errors_against_torch),
            loss_db=torch_psnr - psnr_of_graphs,
        )

    def _over_parts(self, figures: list[tuple[float, float]]) -> tuple[float, float]:
        largest, means = np.array(figures).T
        return float(largest.max()), float(np.average(means, weights=self._counts))

    def _run(self, session: "InferenceSession", values: NDArray[Any]) -> NDArray[Any]:
        (port,) = session.get_inputs()
        starts = range(0, len(values), self._batch)
        return np.concatenate([session.run(None, {port.name: values[at : at + self._batch]})[0] for at in starts])


def _largest_and_mean(differences: NDArray[Any]) -> tuple[float, float]:
    return float(differences.max()), float(differences.mean())


def _pooled(errors: list[NDArray[np.float64]]) -> float:
    """Return the pooled PSNR in dB of the mean squared errors of images, in parts."""
    return psnr(float(np.concatenate(errors).mean()))
