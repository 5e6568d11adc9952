"""The graph check of the runtime accepts every graph that export can write, and no other operators."""

import random

import numpy as np
import onnx
import pytest
import torch

from fmae_edge.export.float_graph import float_graph
from fmae_edge.export.gradient_graph import gradient_graph
from fmae_edge.export.graph_builder import IR_VERSION, MICROSOFT, OPSET
from fmae_edge.export.int8_target import TARGETS
from fmae_edge.export.network import network_of
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.config import ModelConfig, default_config
from fmae_edge.runtime.bundle import onnx_file
from fmae_edge.runtime.bundle.gradient_check import check_gradient, most_of_gradient, with_weights
from fmae_edge.runtime.bundle.gradient_operators import GRADIENT_OPERATORS
from fmae_edge.runtime.bundle.graph_check import check_graph, most_needs
from fmae_edge.runtime.bundle.operators import OPERATORS
from tests.export.conftest import plain_graphs
from tests.export.int8_halves import Int8Halves


def int8_graphs(config, rewrite, target="avx2", stay_float=()):
    """Return an encoder and a decoder with random weights."""
    images = torch.randint(0, 256, (3, config.image_channels, config.height, config.width))
    halves = Int8Halves(random_model(config).double(), images.to(torch.uint8), target, stay_float, rewrite)
    return halves.encoder_graph, halves.decoder_graph


def float_graphs(config, rewrite):
    network = network_of(random_model(config))
    image = ("image", np.float32, (config.image_channels, config.height, config.width))
    latent = ("latent", np.float32, (config.latent_size,))
    decoder = rewrite_decoder(network.decoder) if rewrite else network.decoder
    return float_graph(network.encoder, image, latent), float_graph(decoder, latent, image)


def random_model(config):
    torch.manual_seed(0)
    return Autoencoder(config).eval().requires_grad_(False)


def check(config, encoder, decoder):
    image = ("image", (config.image_channels, config.height, config.width))
    latent = ("latent", (config.latent_size,))
    most = most_needs(config.image_channels * config.height * config.width, config.latent_size)
    check_graph(encoder.SerializeToString(), "encoder", image, latent, most)
    check_graph(decoder.SerializeToString(), "decoder", latent, image, most)


def check_gradient_of(config, decoder):
    latent, image = (config.latent_size,), (config.image_channels, config.height, config.width)
    bound = with_weights(gradient_graph(decoder).SerializeToString(), decoder.SerializeToString(), "gradient")
    most = most_of_gradient(most_needs(config.image_channels * config.height * config.width, config.latent_size))
    check_gradient(bound, "gradient", latent, image, most)


def random_config(source):
    levels = source.randint(1, 4)
    height, width = source.randint(8, 40), source.randint(8, 40)
    widths = tuple(source.randint(1, 40) for _ in range(levels))
    return ModelConfig(height, width, source.choice((1, 3)), source.randint(1, 90), widths)


@pytest.mark.parametrize("seed", range(10))
def test_graphs_of_any_geometry_are_accepted(seed):
    source = random.Random(seed)
    config, rewrite = random_config(source), source.random() < 0.5
    stay_float = {name for name in ("conv1", "conv2", "dense") if source.random() < 0.3}
    check(config, *int8_graphs(config, rewrite, source.choice(TARGETS), stay_float))
    check(config, *float_graphs(config, rewrite))
    check_gradient_of(config, float_graphs(config, rewrite=True)[1])


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(8, 8, 1, 2, (3, 5)),
        ModelConfig(8, 256, 1, 2, (3, 5, 7, 7, 7, 7)),
        ModelConfig(28, 28, 1, 64, (128, 256, 512)),
        ModelConfig(64, 64, 3, 256),
        ModelConfig(128, 128, 3, 64),
        default_config(256, 256, 3),
        default_config(255, 9),
    ],
    ids=str,
)
def test_small_images_large_images_and_wide_models_are_accepted(config):
    check(config, *float_graphs(config, rewrite=True))
    check_gradient_of(config, float_graphs(config, rewrite=True)[1])


def test_the_check_knows_exactly_the_operators_that_export_writes():
    graphs = [
        *plain_graphs("odd width"),
        *float_graphs(ModelConfig(8, 9, 1, 2, (2, 3, 2)), rewrite=True),
        *float_graphs(ModelConfig(8, 8, 1, 2, (2, 3)), rewrite=True),
        *int8_graphs(ModelConfig(8, 8, 1, 2, (2, 3, 2)), rewrite=True),
        *int8_graphs(ModelConfig(8, 8, 1, 2, (2, 3)), rewrite=False, target="arm", stay_float={"conv1", "dense"}),
    ]
    nodes = [node for graph in graphs for node in graph.graph.node]
    written = {f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in nodes}
    assert written == set(OPERATORS)


def test_the_check_of_gradients_knows_exactly_the_operators_that_export_writes():
    graphs = [
        gradient_graph(float_graphs(ModelConfig(8, 9, 1, 2, widths), rewrite=True)[1])
        for widths in ((2,), (2, 3), (2, 3, 2))
    ]
    assert {node.op_type for graph in graphs for node in graph.graph.node} == GRADIENT_OPERATORS


def test_versions_and_types_are_those_of_onnx():
    assert onnx_file.OPSETS == {"": OPSET, MICROSOFT: 1}
    assert max(onnx_file.IR_VERSIONS) == IR_VERSION
    for name in ("FLOAT", "UINT8", "INT8", "INT32", "INT64", "BOOL"):
        assert getattr(onnx_file, name) == getattr(onnx.TensorProto, name)
