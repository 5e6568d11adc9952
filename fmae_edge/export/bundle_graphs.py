"""Build the graphs of a bundle from a trained model."""

import tempfile
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from fmae_edge.export.errors import ExportError
from fmae_edge.export.float_graph import float_graph
from fmae_edge.export.gradient_graph import gradient_graph
from fmae_edge.export.int8_network import DEFAULT_MAX_LOSS_DB, Int8Network, choose_layers
from fmae_edge.export.int8_target import DEFAULT_TARGET, TargetName, int8_target
from fmae_edge.export.network import PARTS, Network, names_in, network_of
from fmae_edge.export.plain_graph import plain_decoder_graph, plain_encoder_graph
from fmae_edge.export.quantise import DEFAULT_METHOD, CalibrationMethod
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME
from fmae_edge.runtime.engine.sessions import load_onnxruntime

_HELD_OUT_IMAGES = 1000
# Of larger images, as many pixels: each layer is quantised and measured on all of them, which takes minutes
_FULL_PIXELS = 32 * 32
_SEED = 0
_INT8_OPS = {"QLinearConv", "QGemm"}
# All activations are in memory at once, about 3 MB per image of 28x28
MAX_CALIBRATION_IMAGES, _CALIBRATION_PIXELS = 4096, 4096 * 28 * 28


@dataclass(frozen=True)
class ExportOptions:
    """Options of the graphs: rewritten or as trained, the target CPUs, and how int8 ranges are calibrated.

    Of images larger than 32x32, fewer are used, with as many pixels: 8 of 256x256 for 512. Layers stay in float32
    until the int8 graphs lose at most `int8_loss`, in dB of pooled PSNR.

    Raises ExportError unless the number of calibration images is 1 to 4096 and `int8_loss` at least 0.
    """

    rewrite: bool = True
    int8_target: TargetName = DEFAULT_TARGET
    calibration: CalibrationMethod = DEFAULT_METHOD
    calibration_images: int = 512
    int8_loss: float = DEFAULT_MAX_LOSS_DB

    def __post_init__(self) -> None:
        if not 1 <= self.calibration_images <= MAX_CALIBRATION_IMAGES:
            raise ExportError(
                f"calibration_images is {self.calibration_images}; expected 1 to {MAX_CALIBRATION_IMAGES}"
            )
        if not self.int8_loss >= 0:  # also true for NaN
            raise ExportError(f"int8_loss is {self.int8_loss}; expected dB of PSNR, 0 or more")


DEFAULT_OPTIONS = ExportOptions()


@dataclass(frozen=True)
class Built:
    """Serialised graphs by file name, and a record of how they were made."""

    graphs: dict[str, bytes]
    record: dict[str, Any]


def build_graphs(
    model: Autoencoder,
    train_images: Tensor,
    latent_steps: Tensor,
    options: ExportOptions,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Built:
    """Return the graphs of `model`, quantised by uint8 `train_images` (N, height, width[, 3]).

    `latent_steps` (latent_size,) are the quantiser steps of the latents in the int8 decoder. Both the images that
    calibrate and those that decide which layers stay in float are drawn from `train_images`; they never overlap.
    `on_progress` gets (layers tried in int8, total layers). Only rewritten decoders get a graph of the gradient.

    Raises ExportError if a layer that should run in int8 does not, or a weight is not finite.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise ExportError("the model has weights that are NaN or infinite, so it cannot be exported")
    order = torch.randperm(len(train_images), generator=torch.Generator().manual_seed(_SEED))
    pixels = model.config.height * model.config.width
    held_out_count = min(_as_many_pixels(_HELD_OUT_IMAGES, pixels), len(order) // 2)
    most = min(_as_many_pixels(options.calibration_images, pixels), _CALIBRATION_PIXELS // pixels)
    calibration = train_images[order[: min(most, len(order) - held_out_count)]]
    held_out = train_images[order[len(order) - held_out_count :]]
    trained = network_of(model)
    network = replace(trained, decoder=rewrite_decoder(trained.decoder)) if options.rewrite else trained
    with torch.inference_mode():
        int8 = Int8Network(
            network, calibration, latent_steps, int8_target(options.int8_target), options.calibration
        )
        measure = int8.measure_on(held_out)
        chosen = choose_layers(
            int8.layer_names,
            network.faster_in_float,
            measure.reference_psnr,
            measure.psnr,
            on_progress,
            options.int8_loss,
        )
        graphs = int8.graphs(chosen.stay_float)
    if options.rewrite:
        graphs |= _float_graphs(network)
    else:
        graphs |= {
            "encoder.fp32.onnx": plain_encoder_graph(model),
            DECODER_NAME: plain_decoder_graph(model),  # a reference has no use for a gradient
        }
    content = {name: graph.SerializeToString(deterministic=True) for name, graph in graphs.items()}
    work = {f"{part}.{name}": count for part in PARTS for name, count in network.multiply_adds(part).items()}
    for part in PARTS:
        promised = [name for name in int8.layer_names if name not in chosen.stay_float]
        require_int8(content[f"{part}.onnx"], names_in(part, promised))
    record = {
        **asdict(options),
        "calibration_images": len(calibration),
        "int8_loss": {"db": chosen.loss_db, "limit_db": options.int8_loss, "training_images": len(held_out)},
        "layers": [{**choice._asdict(), "multiply_adds": work[choice.name]} for choice in chosen.layers],
    }
    return Built(content, record)


def _as_many_pixels(images: int, pixels: int) -> int:
    return max(1, min(images, images * _FULL_PIXELS // pixels))


def _float_graphs(network: Network) -> dict[str, onnx.ModelProto]:
    height, width, channels = network.image
    image = ("image", np.float32, (channels, height, width))
    latent = ("latent", np.float32, (network.latent_size,))
    decoder = float_graph(network.decoder, latent, image)
    return {
        "encoder.fp32.onnx": float_graph(network.encoder, image, latent),
        DECODER_NAME: decoder,
        GRADIENT_NAME: gradient_graph(decoder),
    }


def optimised_graph(graph: bytes) -> onnx.GraphProto:
    """Return `graph` as onnxruntime runs it on this machine after its optimisations."""
    ort = load_onnxruntime()
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as folder:
        optimised = Path(folder, "optimised.onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 3  # it would warn that an optimised graph is for this machine only
        options.optimized_model_filepath = str(optimised)
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return onnx.load(optimised).graph


def require_int8(graph: bytes, layers: Collection[str]) -> None:
    """Raise ExportError if one of `layers` does not run in int8 in the optimised form of `graph`.

    Layers are found by their weights, which an int8 operator must read.
    """
    readers = {name: node.op_type for node in optimised_graph(graph).node for name in node.input}
    wrong = [layer for layer in layers if readers.get(f"{layer}.weight") not in _INT8_OPS]
    if wrong:
        raise ExportError(f"these layers should run in int8 but do not: {', '.join(wrong)}")
