"""Quantise both halves of a network to int8, measure the loss, and choose the layers that stay in float32."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import onnx
import torch
from torch import Tensor

from fmae_edge.export.int8_graph import decoder_int8_graph, encoder_int8_graph
from fmae_edge.export.int8_layers import Int8Step, Quantiser, run_int8
from fmae_edge.export.int8_target import Int8Target
from fmae_edge.export.layers import Dense, run, with_channels
from fmae_edge.export.network import PARTS, Network, Part, names_in
from fmae_edge.export.quantise import CalibrationMethod, quantise
from fmae_edge.export.rewrite import equalise, scale_dense_inputs
from fmae_edge.measure.quality import pooled_psnr

# Largest loss by int8 in dB of pooled PSNR. While the loss is larger, the layer that loses most returns to float.
MAX_LOSS_DB = 0.04
_PIXELS_AT_ONCE = 50 * 28 * 28  # bounds memory


class Int8Network:
    """Both halves of `network` in int8 for `target`, calibrated on uint8 images (N, height, width[, 3]).

    `latent_steps` (latent_size,) are the quantiser steps of the latents in the decoder. Latents divided by them
    share one scale.
    """

    def __init__(
        self,
        network: Network,
        calibration: Tensor,
        latent_steps: Tensor,
        target: Int8Target,
        method: CalibrationMethod,
    ) -> None:
        low, high = target.levels
        pixels, symbols = Quantiser(1 / 255, low, low, high), Quantiser(1.0, (low + high + 1) // 2, low, high)
        images = with_channels(calibration).float() / 255
        latents = run(network.encoder, images) / latent_steps
        dense, *others = network.decoder
        assert isinstance(dense, Dense)
        encoder = equalise(network.encoder, images)
        decoder = equalise([scale_dense_inputs(dense, latent_steps), *others], latents)

        @cache  # one half stays the same while layers of the other are tried
        def steps(part: Part, stay_float: frozenset[str]) -> list[Int8Step]:
            if part == "encoder":
                return quantise(encoder, images, pixels, target, method, stay_float)
            return quantise(decoder, latents, symbols, target, method, stay_float)

        self._network, self._steps = network, steps
        self._pixels, self._symbols, self._latent_steps = pixels, symbols, latent_steps
        self.layer_names = [f"{part}.{layer.name}" for part in PARTS for layer in network.weighted(part)]

    def graphs(self, stay_float: frozenset[str]) -> dict[str, onnx.ModelProto]:
        """Return the graphs by file name; layers in `stay_float`, such as "encoder.conv1", are in float32."""
        encoder, decoder = (self._steps(part, frozenset(names_in(part, stay_float))) for part in PARTS)
        image, latent_size = self._network.image, self._network.latent_size
        return {
            "encoder.onnx": encoder_int8_graph(encoder, self._pixels, image, latent_size),
            "decoder.onnx": decoder_int8_graph(decoder, self._latent_steps, self._symbols, self._pixels, image),
        }

    def reconstruct(self, images: Tensor, stay_float: frozenset[str]) -> Tensor:
        """Return the reconstructions in [0, 1] of uint8 images (N, height, width, channels).

        The arithmetic is exact, so they do not depend on the CPU of this machine.
        """
        encoder, decoder = (self._steps(part, frozenset(names_in(part, stay_float))) for part in PARTS)
        levels = self._pixels.quantise(images.double() / 255)
        latents = run_int8(encoder, levels) / self._latent_steps
        return run_int8(decoder, self._symbols.quantise(latents)) / 255

    def measure_on(self, images: Tensor) -> "Measure":
        """Prepare the measurement of the loss of int8 on uint8 images (N, height, width[, 3])."""
        originals = with_channels(images)
        latents = [run(self._network.encoder, batch.float() / 255) for batch in _batches(originals)]
        pixels = torch.cat([run(self._network.decoder, batch) for batch in latents])
        return Measure(self, originals, pooled_psnr((originals.float() / 255).numpy(), pixels.numpy()))


@dataclass(frozen=True)
class Measure:
    """Pooled PSNR in dB on uint8 `originals` (N, height, width, channels); `reference_psnr` is that of float32."""

    network: Int8Network
    originals: Tensor
    reference_psnr: float

    def psnr(self, stay_float: frozenset[str]) -> float:
        """Return the PSNR of the 8-bit reconstructions, with the layers in `stay_float` in float32."""
        decoded = torch.cat([self.network.reconstruct(batch, stay_float) for batch in _batches(self.originals)])
        return pooled_psnr((self.originals.float() / 255).numpy(), decoded.numpy())


def _batches(images: Tensor) -> tuple[Tensor, ...]:
    height, width = images.shape[1:3]
    return images.split(max(1, _PIXELS_AT_ONCE // (height * width)))


@dataclass(frozen=True)
class LayerChoice:
    """Precision of one layer, and the pooled PSNR in dB that is lost if this layer runs in int8."""

    name: str
    precision: str
    loss_db: float


def choose_layers(
    names: list[str],
    faster_in_float: frozenset[str],
    reference: float,
    psnr_with: Callable[[frozenset[str]], float],
) -> tuple[frozenset[str], list[LayerChoice]]:
    """Choose the layers that stay in float; return them, and a measurement of each of `names`.

    Layers that are not `faster_in_float` run in int8, unless they lose too much PSNR. `reference` is the pooled
    PSNR in dB in float32; `psnr_with(stay_float)` returns it in int8 with these layers in float32.
    """
    losses = {name: psnr_with(faster_in_float | {name}) - psnr_with(faster_in_float - {name}) for name in names}
    stay_float, psnr = faster_in_float, psnr_with(faster_in_float)
    for name in sorted(set(names) - faster_in_float, key=lambda name: -losses[name]):
        if reference - psnr <= MAX_LOSS_DB:
            break
        stay_float |= {name}
        psnr = psnr_with(stay_float)
    choices = [LayerChoice(name, "fp32" if name in stay_float else "int8", losses[name]) for name in names]
    return stay_float, choices
