"""The float32 graphs: what their ports are called, what they carry, and that they are the model."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fmae_edge.export.graphs import decoder_graph, encoder_graph
from fmae_edge.export.rewrite import ConvDecoder, conv_from_transposed
from fmae_edge.runtime.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.sessions import open_session
from fmae_edge.train.config import ModelConfig
from fmae_edge.train.model import Autoencoder

CONFIG = ModelConfig(16, 2, 6, (3, 5))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Autoencoder(CONFIG).eval()


@pytest.fixture(scope="module")
def graphs(model):
    return {"encoder": encoder_graph(model), "decoder": decoder_graph(model)}


def ports(values):
    return [(v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]) for v in values]


def test_ports_are_named_and_only_the_batch_is_free(graphs):
    image, latent = ("image", ["batch", 2, 16, 16]), ("latent", ["batch", 6])
    assert (ports(graphs["encoder"].graph.input), ports(graphs["encoder"].graph.output)) == (
        [image],
        [latent],
    )
    assert (ports(graphs["decoder"].graph.input), ports(graphs["decoder"].graph.output)) == (
        [latent],
        [image],
    )


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_other_configs_export_to_the_same_function(model, graphs, batch):
    images, latents = torch.rand(batch, 2, 16, 16), torch.randn(batch, 6)
    for name, value in (("encoder", images), ("decoder", latents)):
        session = open_session(graphs[name].SerializeToString(), name, threads=1)
        (found,) = session.run(None, {session.get_inputs()[0].name: value.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(found, getattr(model, name)(value).numpy(), atol=1e-6)


def test_no_transposed_convolution_is_left(graphs):
    assert "ConvTranspose" not in {node.op_type for node in graphs["decoder"].graph.node}


@pytest.mark.parametrize("path", sorted(DEFAULT_BUNDLE.glob("*.onnx")), ids=lambda path: path.name)
def test_the_shipped_graphs_are_valid_and_tell_nothing_of_their_makers_machine(path):
    content = path.read_bytes()
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph, full_check=True)
    for trace in (b".py", b"/home", b"/tmp", b"site-packages", b"torch"):
        assert trace not in content
    assert not graph.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in graph.graph.node)
    assert {entry.data_location for entry in graph.graph.initializer} == {onnx.TensorProto.DEFAULT}


def test_the_rewritten_decoder_is_the_decoder(model):
    latents = torch.randn(9, 6)
    torch.testing.assert_close(ConvDecoder(model.decoder)(latents), model.decoder(latents), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "change", [{"stride": 2}, {"padding": 0}, {"kernel_size": 5}, {"dilation": 2}, {"groups": 2}]
)
def test_what_the_identity_does_not_cover_is_refused(change):
    options = {"kernel_size": 3, "stride": 1, "padding": 1} | change
    with pytest.raises(ValueError, match="only 3x3, stride 1, padding 1"):
        conv_from_transposed(nn.ConvTranspose2d(4, 4, **options))
