"""Compare the int8 graphs with weights around 0 and around -1: `python benchmarks/weight_zero_points.py`.

`fmae_edge/runtime/engine/weight_zero_points.py` says why they differ, and uses the faster form. The results must
be equal, as they are on CPUs whose sums have 32 bits; otherwise the command fails. One CPU, interleaved calls of
the graphs of the default bundle, or of another one that is given.
"""

import os
import sys
from functools import partial

import numpy as np
import onnx
from onnx import numpy_helper

from fmae_edge.commands.console import format_table
from fmae_edge.evaluate.bench import interleave
from fmae_edge.runtime.bundle.built_in import as_bundle_folder
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.engine.cpu_model import cpu_name, dot_products
from fmae_edge.runtime.engine.sessions import open_session

BATCHES = (1, 4, 16, 64)
ROUNDS = 40


def main() -> None:
    """Measure and print the table."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    files = read_bundle(as_bundle_folder(sys.argv[1] if len(sys.argv) > 1 else None)).files
    calls = {}
    for name in ("encoder.onnx", "decoder.onnx"):
        layers = [node.output[0] for node in convolutions(onnx.load_from_string(files[name]))]
        expected = {}
        for around in ("0", *layers, "all"):
            changed = {"0": [], "all": layers}.get(around, [around])
            session = open_session(shifted(files[name], changed), name, threads=1)
            (port,) = session.get_inputs()
            for batch in BATCHES:
                numbers = np.random.default_rng(0).integers(0, 100, (batch, *port.shape[1:]))
                feed = {port.name: numbers.astype(np.uint8 if port.type == "tensor(uint8)" else np.float32)}
                (result,) = session.run(None, feed)
                if not np.array_equal(result, expected.setdefault(batch, result)):
                    raise SystemExit(f"{name} with the weights of {around} around -1 gives another result")
                calls[name, around, batch] = partial(session.run, None, feed)
    medians = {key: np.median(times) for key, times in interleave(calls, ROUNDS).items()}
    print(f"{cpu_name()}, int8 dot products: {', '.join(dot_products()) or 'none'}\n")
    rows = [
        (f"{name}: {around}", *(f"{medians[name, around, batch] / batch * 1e6:.0f} us" for batch in BATCHES))
        for name, around in dict.fromkeys((name, around) for name, around, _ in calls)
    ]
    print(format_table(("weights around -1, time per image", *(f"batch {batch}" for batch in BATCHES)), rows))


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the int8 convolutions of a graph."""
    return [node for node in model.graph.node if node.op_type == "QLinearConv"]


def shifted(content: bytes, layers: list[str]) -> bytes:
    """Return a graph in which the weights of the int8 convolutions `layers` and their zero points are 1 lower."""
    model = onnx.load_from_string(content)
    constants = {constant.name: constant for constant in model.graph.initializer}
    for node in convolutions(model):
        if node.output[0] in layers:
            for name in (node.input[3], node.input[5]):
                values = numpy_helper.to_array(constants[name]).astype(np.int16) - 1  # -127 at least, before
                constants[name].CopyFrom(numpy_helper.from_array(values.astype(np.int8), name))
    return model.SerializeToString()


if __name__ == "__main__":
    main()
