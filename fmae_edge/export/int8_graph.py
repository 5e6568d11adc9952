"""Write int8 layers as a graph of the operators that onnxruntime runs, channels last.

onnxruntime can also make such a graph itself, from float operators between QuantizeLinear and DequantizeLinear.
With explicit operators, nothing depends on its optimiser, the layout stays the same from layer to layer, and the
graph loads faster.
"""

from dataclasses import replace

import numpy as np
import onnx
from torch import Tensor

from fmae_edge.export.int8_layers import FloatLayer, Int8Step, Quantiser
from fmae_edge.export.int8_writer import PIXELS, Int8Writer
from fmae_edge.export.layers import Dense, Grid
from fmae_edge.export.rewrite import scale_dense_inputs


def encoder_int8_graph(steps: list[Int8Step], source: Quantiser, shape: Grid, latent_size: int) -> onnx.ModelProto:
    """Return the graph of "image" uint8 (batch, channels, height, width) -> "latent" float32 (batch, latent_size).

    `source` is the input quantiser of the first of `steps`; `shape` is (height, width, channels) of one image.
    """
    height, width, channels = shape
    writer = Int8Writer(("image", np.uint8, (channels, height, width)), (channels, height, width))
    if channels > 1:
        writer.transpose("image.channels_last", (1, 2, 0))
    writer.shape = shape
    writer.change_levels("image", PIXELS, source)
    for step in steps:
        writer.add(step)
    return writer.finish(("latent", np.float32, (latent_size,)))


def decoder_int8_graph(
    steps: list[Int8Step], latent_steps: Tensor, source: Quantiser, target: Quantiser, shape: Grid
) -> onnx.ModelProto:
    """Return the graph of "latent" float32 (batch, latent_size) -> "image" uint8 (batch, channels, height, width).

    The first of `steps` takes latents divided by `latent_steps` (latent_size,), quantised to integers of `source`
    unless it is a float layer of real numbers. `target` is the quantiser of the pixels after the last of `steps`.
    """
    height, width, channels = shape
    size = (len(latent_steps),)
    writer = Int8Writer(("latent", np.float32, size), size)
    match steps:
        case [FloatLayer(layer=Dense() as dense, source=None) as first, *others]:
            steps = [replace(first, layer=scale_dense_inputs(dense, 1 / latent_steps)), *others]
        case _:
            writer.quantise("latent.quantised", source, latent_steps.numpy())
    for step in steps:
        writer.add(step)
    writer.change_levels("pixels", target, PIXELS)
    if channels > 1:
        writer.transpose("pixels.channels_first", (2, 0, 1))
    writer.shape = (channels, height, width)
    return writer.finish(("image", np.uint8, (channels, height, width)))
