"""Both halves of a network in int8, with any of their layers left in float, and what that costs."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
import torch
from torch import Tensor

from fmae_edge.evaluate.quality import mse_per_image, psnr
from fmae_edge.export.calibration import CalibrationMethod
from fmae_edge.export.equalise import equalise, scale_dense_inputs
from fmae_edge.export.int8_graph import decoder_int8_graph, encoder_int8_graph
from fmae_edge.export.int8_layers import Int8Step, Quantiser
from fmae_edge.export.int8_target import Int8Target
from fmae_edge.export.layers import Dense, run
from fmae_edge.export.network import PARTS, Network, Part
from fmae_edge.export.quantise import quantise
from fmae_edge.runtime.sessions import available_cpus, open_session

_BATCH = 50


class Int8Network:
    """Quantise `network` for `target`, calibrated on uint8 images (N, height, width).

    `latent_steps` (latent_size,) are the steps in which the decoder takes the latents: divided by them, all
    dimensions have the range of one scale.
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
        images = calibration.unsqueeze(-1).float() / 255
        latents = run(network.encoder, images) / latent_steps
        dense, *rest = network.decoder
        assert isinstance(dense, Dense)
        encoder = equalise(network.encoder, images)
        decoder = equalise([scale_dense_inputs(dense, latent_steps), *rest], latents)

        @cache  # the encoder stays as it is while the decoder's layers are tried, and the other way round
        def graph(part: Part, stay_float: frozenset[str]) -> onnx.ModelProto:
            steps: list[Int8Step]
            if part == "encoder":
                steps = quantise(encoder, images, pixels, target, method, stay_float)
                return encoder_int8_graph(steps, pixels, network.image, network.latent_size)
            steps = quantise(decoder, latents, symbols, target, method, stay_float)
            return decoder_int8_graph(steps, latent_steps, symbols, pixels, network.image)

        self._network, self._graph = network, graph
        self.layer_names = [f"{part}.{layer.name}" for part in PARTS for layer in network.weighted(part)]

    def graphs(self, stay_float: Collection[str]) -> dict[str, onnx.ModelProto]:
        """Return the graphs by file name, with the layers of these names, like "encoder.conv1", in float."""

        def of(part: Part) -> frozenset[str]:
            return frozenset(name.partition(".")[2] for name in stay_float if name.startswith(part))

        return {f"{part}.onnx": self._graph(part, of(part)) for part in PARTS}

    def measure_on(self, images: Tensor) -> "Measure":
        """Return what measures on uint8 images (N, height, width) what int8 costs."""
        latents = run(self._network.encoder, images.unsqueeze(-1).float() / 255)
        pixels = run(self._network.decoder, latents).permute(0, 3, 1, 2)
        originals = images.unsqueeze(1)
        return Measure(self, originals, _pooled_psnr(originals, pixels))


@dataclass(frozen=True)
class Measure:
    """Pooled PSNR in dB on uint8 `originals` (N, 1, height, width); `reference_psnr` is that of float32."""

    network: Int8Network
    originals: Tensor
    reference_psnr: float

    def psnr(self, stay_float: frozenset[str]) -> float:
        """Return the PSNR of 8-bit images with the layers of these names in float."""
        x = self.originals.numpy()
        for graph in self.network.graphs(stay_float).values():
            (port,) = graph.graph.input
            session = open_session(graph.SerializeToString(), graph.graph.name, available_cpus())
            batches = [x[at : at + _BATCH] for at in range(0, len(x), _BATCH)]
            x = np.concatenate([session.run(None, {port.name: batch})[0] for batch in batches])
        return _pooled_psnr(self.originals, torch.from_numpy(x).float() / 255)


def _pooled_psnr(originals: Tensor, reconstructions: Tensor) -> float:
    return psnr(float(mse_per_image((originals.float() / 255).numpy(), reconstructions.numpy()).mean()))
