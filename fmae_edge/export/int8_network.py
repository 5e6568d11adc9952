"""Quantise both halves of a network to int8, measure the loss, and choose the layers that stay in float32."""

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import NamedTuple

import onnx
import torch
from torch import Tensor

from fmae_edge.export.int8_graph import decoder_int8_graph, encoder_int8_graph
from fmae_edge.export.int8_layers import Int8Step, Quantiser, run_int8
from fmae_edge.export.int8_target import Int8Target
from fmae_edge.export.layers import Dense, run, with_channels
from fmae_edge.export.network import PARTS, Network, Part, names_in
from fmae_edge.export.quantise import CalibrationMethod, Stage, quantise
from fmae_edge.export.rewrite import equalise, scale_dense_inputs
from fmae_edge.measure.quality import pooled_psnr

# Largest loss by int8 in dB of pooled PSNR. While the loss is larger, the layer that loses most returns to float.
# Measured on training images, so that images which training never saw lose at most 0.05.
DEFAULT_MAX_LOSS_DB = 0.04
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

        last: dict[Part, list[Stage]] = {part: [] for part in PARTS}

        # One half stays the same while layers of the other are tried. Steps of large images take up to 50 MB.
        @lru_cache(maxsize=4)
        def steps(part: Part, stay_float: frozenset[str]) -> list[Int8Step]:
            if part == "encoder":
                return quantise(encoder, images, pixels, target, method, stay_float, last[part])
            source = None if dense.name in stay_float else symbols
            return quantise(decoder, latents, source, target, method, stay_float, last[part])

        self._network, self._steps, self._dense = network, steps, dense.name
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

    def encode(self, images: Tensor, stay_float: frozenset[str]) -> Tensor:
        """Return the latents of uint8 images (N, height, width, channels), with these encoder layers in float32.

        The arithmetic of int8 layers is exact, so their results do not depend on the CPU of this machine.
        """
        steps = self._steps("encoder", stay_float)
        levels = (self._pixels.quantise(batch.double() / 255) for batch in _batches(images))
        return torch.cat([run_int8(steps, batch) for batch in levels])

    def decode(self, latents: Tensor, stay_float: frozenset[str]) -> Tensor:
        """Return the images (N, height, width, channels), uint8, with these decoder layers in float32."""
        scaled = latents / self._latent_steps
        inputs = scaled if self._dense in stay_float else self._symbols.quantise(scaled)
        steps, (height, width, _) = self._steps("decoder", stay_float), self._network.image
        batches = inputs.split(max(1, _PIXELS_AT_ONCE // (height * width)))
        return torch.cat([run_int8(steps, batch).to(torch.uint8) for batch in batches])

    def measure_on(self, images: Tensor) -> "Measure":
        """Prepare the measurement of the loss of int8 on uint8 images (N, height, width[, 3])."""
        return Measure(self, self._network, with_channels(images))


class Measure:
    """Pooled PSNR in dB of 8-bit reconstructions of uint8 `originals` (N, height, width, channels).

    `reference_psnr` is that of `network` in float32.
    """

    def __init__(self, int8: Int8Network, network: Network, originals: Tensor) -> None:
        self._int8, self._originals = int8, originals.contiguous()
        latents = [run(network.encoder, batch.float() / 255) for batch in _batches(originals)]
        decoded = [torch.round(255 * run(network.decoder, batch)).to(torch.uint8) for batch in latents]
        self.reference_psnr = self._psnr(torch.cat(decoded))
        self._encode = cache(partial(int8.encode, self._originals))  # decoder layers do not change latents

    def psnr(self, stay_float: frozenset[str]) -> float:
        """Return the PSNR with the layers in `stay_float`, such as "encoder.conv1", in float32."""
        encoder, decoder = (frozenset(names_in(part, stay_float)) for part in PARTS)
        return self._psnr(self._int8.decode(self._encode(encoder), decoder))

    def _psnr(self, decoded: Tensor) -> float:
        return pooled_psnr(self._originals.numpy(), decoded.double().numpy() / 255)


def _batches(images: Tensor) -> tuple[Tensor, ...]:
    height, width = images.shape[1:3]
    return images.split(max(1, _PIXELS_AT_ONCE // (height * width)))


class LayerChoice(NamedTuple):
    """Precision of one layer, the reason if it stays in float, and the pooled PSNR in dB that it loses in int8."""

    name: str
    precision: str
    reason: str | None
    loss_db: float


class Precisions(NamedTuple):
    """The layers that stay in float, the choice for each layer, and the loss of int8 with it in dB."""

    stay_float: frozenset[str]
    layers: list[LayerChoice]
    loss_db: float


FASTER, TOO_LOSSY = "faster in float32", "too much quality lost in int8"


def choose_layers(
    names: list[str],
    faster_in_float: frozenset[str],
    reference: float,
    psnr_with: Callable[[frozenset[str]], float],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    max_loss_db: float = DEFAULT_MAX_LOSS_DB,
) -> Precisions:
    """Choose the layers that stay in float.

    Layers of `names` that are not `faster_in_float` run in int8, unless all together lose more than `max_loss_db`:
    then those that lose most stay in float too, one after the other. `reference` is the pooled PSNR in dB in
    float32; `psnr_with(stay_float)` returns it in int8 with these layers in float32. `on_progress` gets (layers
    tried, total layers).
    """
    psnr = cache(psnr_with)
    losses = {}
    for tried, name in enumerate(reversed(names), 1):  # the layers before the one that changes stay as they are
        losses[name] = psnr(faster_in_float | {name}) - psnr(faster_in_float - {name})
        on_progress(tried, len(names))
    stay_float = faster_in_float
    for name in sorted(set(names) - faster_in_float, key=lambda name: -losses[name]):
        if reference - psnr(stay_float) <= max_loss_db:
            break
        stay_float |= {name}
    reasons = {name: FASTER if name in faster_in_float else TOO_LOSSY for name in stay_float}
    layers = [
        LayerChoice(name, "fp32" if name in stay_float else "int8", reasons.get(name), losses[name])
        for name in names
    ]
    return Precisions(stay_float, layers, reference - psnr(stay_float))
