"""Both halves of a model in int8, as export makes them, without the choice of layers that stay in float."""

import numpy as np

from fmae_edge.export.int8_graph import decoder_int8_graph, encoder_int8_graph
from fmae_edge.export.int8_layers import Quantiser, run_int8
from fmae_edge.export.int8_target import int8_target
from fmae_edge.export.layers import Dense, run
from fmae_edge.export.network import network_of
from fmae_edge.export.quantise import quantise
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.runtime.engine.sessions import open_session


class Int8Halves:
    """Both halves of a model in int8: their steps, graphs and calibration inputs."""

    def __init__(self, model, images, target, stay_float=(), rewrite=True):
        network = network_of(model.float())
        model.double()
        encoder, decoder = network.encoder, network.decoder
        if rewrite:
            decoder = rewrite_decoder(decoder)
        self.target = int8_target(target)
        low, high = self.target.levels
        self.pixels, self.symbols = (
            Quantiser(1 / 255, low, low, high),
            Quantiser(1.0, (low + high + 1) // 2, low, high),
        )
        self.images = images.permute(0, 2, 3, 1)
        reals = self.images.float() / 255
        self.latents = run(encoder, reals)
        self.latent_steps = self.latents.abs().amax(dim=0) / 120 + 1e-3
        dense, *rest = decoder
        scaled = Dense(dense.name, dense.weight * self.latent_steps[:, None], dense.bias, dense.relu)
        self.encoder = quantise(encoder, reals, self.pixels, self.target, "min-max", stay_float)
        self.takes_symbols = dense.name not in stay_float
        symbols = self.symbols if self.takes_symbols else None
        self.decoder = quantise(
            [scaled, *rest], self.latents / self.latent_steps, symbols, self.target, "min-max", stay_float
        )
        size = self.latents.shape[1]
        self.encoder_graph = encoder_int8_graph(self.encoder, self.pixels, network.image, size)
        self.decoder_graph = decoder_int8_graph(
            self.decoder, self.latent_steps, self.symbols, self.pixels, network.image
        )

    def encode(self, images, **options):
        """Encode uint8 (N, height, width, channels) with onnxruntime."""
        return _run(self.encoder_graph, np.ascontiguousarray(images.permute(0, 3, 1, 2).numpy()), **options)

    def decode(self, latents, **options):
        return _run(self.decoder_graph, latents.numpy(), **options).transpose(0, 2, 3, 1)

    def encode_exactly(self, images):
        return run_int8(self.encoder, images.double()).numpy()

    def decode_exactly(self, latents):
        scaled = latents / self.latent_steps
        return run_int8(self.decoder, self.symbols.quantise(scaled) if self.takes_symbols else scaled).numpy()


def _run(graph, value, optimise=True):
    session = open_session(graph.SerializeToString(), "graph", threads=1, optimise=optimise)
    return session.run(None, {session.get_inputs()[0].name: value})[0]
