"""Compare the graphs of the bundle with the arithmetic floor: the rate at which this CPU multiplies matrices.

The peak is measured with onnxruntime's own matrix products with constant weights. So it is the rate of the kernels
that the graphs use, not a number from a data sheet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from engine_calls import BATCHES, Task
from onnx import TensorProto, helper, numpy_helper

from fmae_edge.export.graph_builder import IR_VERSION, OPSET
from fmae_edge.export.layers import Conv, Dense, Layer, matrix, multiply_adds
from fmae_edge.export.network import network_of
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.runtime.engine.sessions import open_session

Precision = Literal["int8", "float32"]
PRODUCTS = ((512, 512, 512), (1024, 576, 128))  # rows, inner size, columns
COUNTINGS = ("all in the graph", "without structural zeros", "as trained")


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one image through one graph, as each of COUNTINGS counts them.

    The rewrites put structural zeros into the weights, and products with them are not useful work. A rewritten
    decoder has less useful work than the model as trained. The count of the trained model gives the rate that a
    graph without rewriting would need.
    """

    engine: str
    task: Task
    precision: Precision
    counts: tuple[int, int, int]


@dataclass(frozen=True)
class Floor:
    """A graph at its best batch: multiply-adds per image by one counting, in G/s, and as a share of the peak."""

    engine: str
    task: Task
    batch: int
    counting: str
    multiply_adds: int
    rate: float
    share: float


def peak_calls(threads: int) -> dict[tuple[Precision, tuple[int, int, int]], Callable[[], object]]:
    """Return the matrix products to time, by precision and size."""
    calls = {}
    numbers = np.random.default_rng(0)
    for size in PRODUCTS:
        rows, inner, columns = size
        # 7-bit weights: sums of two products of 8-bit weights saturate in 16 bits on CPUs without VNNI
        weights = numbers.integers(-64, 64, (inner, columns), dtype=np.int8)
        x = numbers.integers(0, 256, (rows, inner), dtype=np.uint8)
        for precision, graph, feed in (
            ("int8", _int8_product(weights, rows), x),
            ("float32", _float_product(weights.astype(np.float32), rows), x.astype(np.float32)),
        ):
            session = open_session(graph.SerializeToString(), f"{precision} product", threads)
            calls[precision, size] = lambda session=session, feed={"x": feed}: session.run(None, feed)
    return calls


def peaks(seconds: Mapping[tuple[Precision, tuple[int, int, int]], float]) -> dict[Precision, float]:
    """Return the best multiply-adds per second for each precision, from the seconds per product."""
    rates: dict[Precision, float] = {}
    for (precision, size), taken in seconds.items():
        rates[precision] = max(rates.get(precision, 0.0), float(np.prod(size)) / taken)
    return rates


def work_of(model: Autoencoder) -> list[Work]:
    """Return the work of the four graphs of a bundle.

    Only decoders are rewritten. The first convolution of the int8 encoder, 3 % of its work, runs in float32.
    """
    trained = network_of(model)
    image, latent = trained.image, (trained.latent_size,)
    encoder, decoder = trained.encoder, rewrite_decoder(trained.decoder)
    return [
        Work("fmae-edge float32", "encode", "float32", _counts(encoder, encoder, image)),
        Work("fmae-edge int8", "encode", "int8", _counts(encoder, encoder, image)),
        Work("fmae-edge float32", "decode", "float32", _counts(decoder, trained.decoder, latent)),
        Work("fmae-edge int8", "decode", "int8", _counts(decoder, trained.decoder, latent)),
    ]


def floors(
    work: list[Work], peak: Mapping[Precision, float], medians: Mapping[tuple[str, Task, int], float]
) -> list[Floor]:
    """Compare `work` with `peak`. `medians` are seconds per call by engine, task and batch."""
    found = []
    for one in work:
        taken, batch = min((medians[one.engine, one.task, batch] / batch, batch) for batch in BATCHES)
        for counting, count in zip(COUNTINGS, one.counts, strict=True):
            rate = count / taken
            found.append(
                Floor(one.engine, one.task, batch, counting, count, rate / 1e9, rate / peak[one.precision])
            )
    return found


def _counts(layers: list[Layer], trained: list[Layer], shape: tuple[int, ...]) -> tuple[int, int, int]:
    of_layer = multiply_adds(layers, shape)
    weights = {layer.name: matrix(layer) for layer in layers if isinstance(layer, Dense | Conv)}
    useful = sum(
        count * int(weights[name].count_nonzero()) // weights[name].numel() for name, count in of_layer.items()
    )
    return sum(of_layer.values()), useful, sum(multiply_adds(trained, shape).values())


def _int8_product(weights: np.ndarray, rows: int) -> onnx.ModelProto:
    constants = {
        "scale": np.float32(0.02),
        "zero": np.uint8(0),
        "weights": weights,
        "weights_zero": np.int8(0),
        "y_scale": np.float32(8),
        "y_zero": np.uint8(128),
    }
    inputs = ["x", "scale", "zero", "weights", "scale", "weights_zero", "y_scale", "y_zero"]
    return _product("QLinearMatMul", inputs, constants, TensorProto.UINT8, (rows, *weights.shape))


def _float_product(weights: np.ndarray, rows: int) -> onnx.ModelProto:
    return _product("MatMul", ["x", "weights"], {"weights": weights}, TensorProto.FLOAT, (rows, *weights.shape))


def _product(
    operator: str, inputs: list[str], constants: dict, kind: int, size: tuple[int, int, int]
) -> onnx.ModelProto:
    rows, inner, columns = size
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["y"])],
        "product",
        [helper.make_tensor_value_info("x", kind, (rows, inner))],
        [helper.make_tensor_value_info("y", kind, (rows, columns))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
