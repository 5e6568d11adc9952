"""Export the graphs of a model with PyTorch, not rewritten, as a reference for parity and speed."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from fmae_edge.export.errors import ExportError
from fmae_edge.export.graph_builder import IR_VERSION, OPSET
from fmae_edge.model.autoencoder import Autoencoder


def plain_encoder_graph(model: Autoencoder) -> onnx.ModelProto:
    """Return the encoder: "image" (batch, channels, height, width) in [0, 1] -> "latent" (batch, latent_size)."""
    config = model.config
    example = torch.zeros(2, config.image_channels, config.height, config.width)
    return _export(model.encoder, example, "image", "latent")


def plain_decoder_graph(model: Autoencoder) -> onnx.ModelProto:
    """Return the decoder: "latent" (batch, latent_size) -> "image" (batch, channels, height, width) in [0, 1]."""
    return _export(model.decoder, torch.zeros(2, model.config.latent_size), "latent", "image")


def _export(module: nn.Module, example: Tensor, takes: str, gives: str) -> onnx.ModelProto:
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            input_names=[takes],
            output_names=[gives],
            dynamic_shapes=({0: Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            optimize=True,  # the default since torch 2.7
            verbose=False,
        )
    if program is None:
        raise ExportError("torch.onnx.export returned no graph")
    graph = strip_metadata(program.model_proto)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def strip_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` without metadata, in which the exporter writes paths of source files.

    Shapes of intermediate results are removed too, because the runtime refuses them.
    """
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    stripped.ir_version = IR_VERSION
    stripped.ClearField("metadata_props")
    stripped.doc_string = ""
    stripped.producer_name, stripped.producer_version = "fmae-edge", ""
    graph = stripped.graph
    graph.name = "fmae"
    graph.ClearField("value_info")
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.doc_string = ""
    return stripped


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the progress reports and internal deprecation warnings of the exporter."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
