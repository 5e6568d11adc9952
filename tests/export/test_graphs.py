"""The float32 graphs, plain and rewritten: their ports, their content, and that they compute the model."""

import numpy as np
import onnx
import pytest

from fmae_edge.export.float_graph import float_graph
from fmae_edge.export.network import network_of
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.graph_check import check_graph, most_needs
from fmae_edge.runtime.bundle.onnx_file import read_graph
from fmae_edge.runtime.engine.sessions import open_session
from tests.export.conftest import CONFIGS, make_model, plain_graphs

# PyTorch takes seconds to export a model, so only three are exported plain: they differ in every way
CASES = [(name, "rewritten") for name in CONFIGS]
CASES += [(name, "plain") for name in ("trained", "three channels", "odd width")]


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def model(case):
    return make_model(case[0])


@pytest.fixture(scope="module")
def graphs(model, case):
    if case[1] == "plain":
        return plain_graphs(case[0])
    config = model.config
    image = ("image", np.float32, (config.image_channels, config.height, config.width))
    latent = ("latent", np.float32, (config.latent_size,))
    single = model.float()
    try:
        network = network_of(single)
        decoder = rewrite_decoder(network.decoder)
        return float_graph(network.encoder, image, latent), float_graph(decoder, latent, image)
    finally:
        model.double()


def ports(values):
    return [(v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]) for v in values]


def test_ports_are_named_and_only_the_batch_is_free(graphs, model):
    config = model.config
    image = ("image", ["batch", config.image_channels, config.height, config.width])
    latent = ("latent", ["batch", config.latent_size])
    encoder, decoder = (graph.graph for graph in graphs)
    assert (ports(encoder.input), ports(encoder.output)) == ([image], [latent])
    assert (ports(decoder.input), ports(decoder.output)) == ([latent], [image])


def test_the_runtime_accepts_them(graphs, model):
    config = model.config
    image = ("image", (config.image_channels, config.height, config.width))
    latent = ("latent", (config.latent_size,))
    most = most_needs(config.image_channels * config.height * config.width, config.latent_size)
    for graph, takes, gives in zip(graphs, (image, latent), (latent, image), strict=True):
        check_graph(graph.SerializeToString(), "graph", takes, gives, most)


@pytest.mark.parametrize("optimise", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_every_config_exports_to_the_same_function(model, graphs, random_images, random_latents, batch, optimise):
    images = random_images[:batch].double() / 255
    latents = random_latents[-batch:]
    for half, graph, value in zip((model.encoder, model.decoder), graphs, (images, latents), strict=True):
        session = open_session(graph.SerializeToString(), "graph", threads=1, optimise=optimise)
        (found,) = session.run(None, {session.get_inputs()[0].name: value.float().numpy()})
        expected = half(value).numpy()
        # test_rewrite holds 1e-6 in float64; here float32 also rounds sums of up to 20
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("path", sorted(DEFAULT_BUNDLE.glob("*.onnx")), ids=lambda path: path.name)
def test_the_shipped_graphs_are_valid_and_without_traces_of_the_machine_that_made_them(path):
    content = path.read_bytes()
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph, full_check=True)
    for trace in (b".py", b"/home", b"/tmp", b"site-packages", b"torch"):
        assert trace not in content
    assert not graph.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in graph.graph.node)
    assert {entry.data_location for entry in graph.graph.initializer} == {onnx.TensorProto.DEFAULT}


def test_the_plain_export_is_the_model_as_trained_without_traces():
    graph = plain_graphs("odd width")[1]
    ops = [node.op_type for node in graph.graph.node]
    assert ops.count("ConvTranspose") == 2
    assert b".py" not in graph.SerializeToString()
    read_graph(graph.SerializeToString())  # else the runtime would refuse a bundle that is not rewritten
