"""Check that int8 layers are still int8 in the optimised graph, which is what onnxruntime runs."""

import tempfile
from collections.abc import Collection
from pathlib import Path

import onnx

from fmae_edge.export.errors import ExportError
from fmae_edge.runtime.engine.sessions import load_onnxruntime

_INT8_OPS = {"QLinearConv", "QGemm"}


def optimised_graph(graph: bytes) -> onnx.GraphProto:
    """Return the graph that onnxruntime makes of `graph` and runs on this machine."""
    ort = load_onnxruntime()
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as folder:
        optimised = Path(folder, "optimised.onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 3  # it warns that an optimised graph fits only this machine
        options.optimized_model_filepath = str(optimised)
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return onnx.load(optimised).graph


def require_int8(graph: bytes, layers: Collection[str]) -> None:
    """Raise ExportError if one of `layers` does not run in int8.

    A layer is found by its weights, which an int8 operator must read.
    """
    readers = {name: node.op_type for node in optimised_graph(graph).node for name in node.input}
    wrong = [layer for layer in layers if readers.get(f"{layer}.weight") not in _INT8_OPS]
    if wrong:
        raise ExportError(f"these layers should run in int8, but do not: {', '.join(wrong)}")
