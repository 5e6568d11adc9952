"""Write layers as a float32 graph. Channels are first, which is fastest for float32 in onnxruntime."""

import math
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from fmae_edge.export.graph_builder import GraphBuilder, Port
from fmae_edge.export.layers import (
    Conv,
    Crop,
    Dense,
    DepthToSpace,
    Flatten,
    Grid,
    Keep,
    Layer,
    Mask,
    MaxPool,
    PadEdges,
    Sigmoid,
    Unflatten,
    Upsample,
)


def float_graph(layers: list[Layer], takes: Port, gives: Port) -> onnx.ModelProto:
    """Return the graph of `layers`; ports are (name, float32, (channels, height, width) or (size,))."""
    graph = GraphBuilder(takes)
    for at, layer in enumerate(layers):
        before = layers[at - 1] if at else None
        after = layers[at + 1] if at + 1 < len(layers) else None
        name = f"{type(layer).__name__.lower()}{at}"
        match layer:
            case Dense():
                weight, bias = _channels_first(layer, before, after)
                _add(graph, "Gemm", layer.name, weight, bias, layer.relu)
            case Conv():
                kernel = layer.kernel.permute(0, 3, 1, 2)
                sizes = {"kernel_shape": list(kernel.shape[2:]), "pads": [layer.pad] * 4}
                _add(graph, "Conv", layer.name, kernel, layer.bias, layer.relu, **sizes)
            case PadEdges():
                ends = graph.constant(f"{name}.pads", [0] * 6 + [layer.rows, layer.columns], np.int64)
                graph.node("Pad", name, ends, mode="edge")
            case MaxPool():
                graph.node("MaxPool", name, kernel_shape=[2, 2], strides=[2, 2])
            case Upsample():
                scales = graph.constant(f"{name}.scales", [1, 1, 2, 2], np.float32)
                graph.node(
                    "Resize",
                    name,
                    "",
                    scales,
                    mode="nearest",
                    nearest_mode="floor",
                    coordinate_transformation_mode="asymmetric",
                )
            case Flatten():
                graph.node("Flatten", name)
            case Unflatten():
                height, width, channels = layer.grid
                graph.reshape(name, (channels, height, width))
            case Mask():
                keep = layer.keep.permute(2, 0, 1)
                graph.node("Mul", name, graph.constant(f"{name}.keep", keep[None].numpy(), np.float32))
            case DepthToSpace():
                graph.node("DepthToSpace", name, blocksize=layer.block, mode="DCR")
            case Crop():
                graph.slice(name, (layer.margin, layer.margin), (-layer.margin, -layer.margin), (2, 3))
            case Keep():
                graph.slice(name, (0, 0), (layer.height, layer.width), (2, 3))
            case Sigmoid():
                graph.node("Sigmoid", name)
    return graph.finish(gives)


def _add(
    graph: GraphBuilder, op: str, name: str, weight: Tensor, bias: Tensor, relu: bool, **attributes: Any
) -> None:
    weights = graph.constant(f"{name}.weight", weight.numpy(), np.float32)
    graph.node(op, name, weights, graph.constant(f"{name}.bias", bias.numpy(), np.float32), **attributes)
    if relu:
        graph.node("Relu", f"{name}.relu")


def _channels_first(dense: Dense, before: Layer | None, after: Layer | None) -> tuple[Tensor, Tensor]:
    """Return weight (in, out) and bias of `dense` with its input and output features in channels-first order."""
    weight, bias = dense.weight, dense.bias
    if isinstance(before, Flatten):
        weight = weight[_order(before.grid)]
    if isinstance(after, Unflatten):
        order = _order(after.grid)
        weight, bias = weight[:, order], bias[order]
    return weight, bias


def _order(grid: Grid) -> Tensor:
    """Return the index of each feature of (channels, height, width) in (height, width, channels)."""
    return torch.arange(math.prod(grid)).view(grid).permute(2, 0, 1).flatten()
