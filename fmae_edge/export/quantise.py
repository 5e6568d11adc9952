"""Static int8 quantisation of a graph, by onnxruntime's quantiser, and the check that it took effect."""

import logging
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from fmae_edge.export.errors import ExportError
from fmae_edge.export.graphs import strip_metadata

CALIBRATION_IMAGES = 512
_CALIBRATION_BATCH = 64
# What the quantiser is told, in the words of its API; recorded in the manifest.
METHOD = {
    "format": "QDQ",
    "activations": "uint8, per tensor",
    # Without VNNI, x86 adds two uint8 x int8 products in 16 bits, which full-range weights saturate:
    # 7 bits cannot, so that the graphs compute the same everywhere.
    "weights": "int8, per channel, reduced to 7 bits",
    "calibration": "min-max; logits of pixels clipped where they round to black or white",
}
# sigmoid(-x) is half a grey level here: beyond it, a pixel rounds to 0 or 255 whatever its logit is. Min-max
# ranges reach several times as far, for the black background, and leave the greys too few of the 256 levels.
_LOGIT_LIMIT = math.log(2 * 255 - 1)
_INT8_OPS = {"QLinearConv", "QGemm"}
_FLOAT_OPS = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul"}


def quantise_encoder(graph: onnx.ModelProto, images: NDArray[np.float32]) -> onnx.ModelProto:
    """Return the encoder `graph` in int8, calibrated on `images` (N, channels, size, size) in [0, 1].

    The latents stay float32: 256 levels would be all the precision that any later quantiser could use.
    Raises ExportError if a convolution or dense layer of the result still runs in float.
    """
    return _quantise(graph, images, {"OpTypesToExcludeOutputQuantization": ["Gemm"]})


def quantise_decoder(graph: onnx.ModelProto, latents: NDArray[np.float32]) -> onnx.ModelProto:
    """Return the decoder `graph` in int8, calibrated on `latents` (N, latent_size).

    Raises ExportError if a convolution or dense layer of the result still runs in float.
    """
    (sigmoid,) = (node for node in graph.graph.node if node.op_type == "Sigmoid")
    ranges = {sigmoid.input[0]: (-_LOGIT_LIMIT, _LOGIT_LIMIT), sigmoid.output[0]: (0.0, 1.0)}
    overrides = {
        tensor: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for tensor, (low, high) in ranges.items()
    }
    return _quantise(graph, latents, {"TensorQuantOverrides": overrides})


def _quantise(
    graph: onnx.ModelProto, calibration: NDArray[np.float32], options: dict[str, Any]
) -> onnx.ModelProto:
    (graph_input,) = graph.graph.input
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as folder, _quiet():
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(graph, source)
        quantize_static(
            source,
            target,
            _Batches(graph_input.name, calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=options,
        )
        quantised = strip_metadata(onnx.load(target))
    onnx.checker.check_model(quantised, full_check=True)
    _require_int8(quantised, layers=sum(node.op_type in _FLOAT_OPS for node in graph.graph.node))
    return quantised


def optimised_ops(graph: bytes) -> Counter[str]:
    """Count the operators of the graph that onnxruntime really runs, after its own optimisation."""
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as folder:
        optimised = Path(folder, "optimised.onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 3  # it warns that an optimised graph suits this machine only
        options.optimized_model_filepath = str(optimised)
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(optimised).graph.node)


def _require_int8(graph: onnx.ModelProto, layers: int) -> None:
    ops = optimised_ops(graph.SerializeToString())
    in_float = {op: ops[op] for op in _FLOAT_OPS & ops.keys()}
    in_int8 = sum(ops[op] for op in _INT8_OPS)
    if in_float or in_int8 != layers:
        raise ExportError(f"of {layers} layers that should run in int8, {in_int8} do; still in float: {in_float}")


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """The calibration inputs, as the quantiser asks for them."""

    def __init__(self, name: str, values: NDArray[np.float32]) -> None:
        starts = range(0, len(values), _CALIBRATION_BATCH)
        self._batches = iter([{name: values[at : at + _CALIBRATION_BATCH]} for at in starts])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice off the terminal: its preprocessing leaves graphs as plain as these alone."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
