"""Equalise the ranges of the channels between two layers for one int8 scale, without changing the function."""

from dataclasses import replace

from torch import Tensor

from fmae_edge.export.layers import Conv, Dense, Flatten, Layer, Weighted, apply

# Least share of the largest range per channel: less would make the weights after it too unequal
_SMALLEST = 1e-2


def equalise(layers: list[Layer], inputs: Tensor) -> list[Layer]:
    """relu(W x / r) r = relu(W x) for r > 0: scale each channel down before a layer and up in its weights.

    r is the square root of the channel's range over `inputs` (N, ...), half way between equal ranges and
    unchanged weights (Nagel et al., "Data-free quantization through weight equalization
    and bias correction", ICCV 2019, balance the same two).
    """
    layers = list(layers)
    x, source = inputs, None
    for at, layer in enumerate(layers):
        if isinstance(layer, Dense | Conv):
            if source is not None:
                before = layers[at - 1]
                channels = before.grid[2] if isinstance(before, Flatten) else x.shape[-1]
                ranges = x.reshape(-1, channels).amax(dim=0)
                factors = (ranges / ranges.max().clamp(min=1e-12)).clamp(min=_SMALLEST).sqrt()
                layers[source] = _scale_outputs(layers[source], 1 / factors)
                layers[at] = layer = _scale_inputs(layer, factors)
                x = x / factors.repeat(x.shape[-1] // channels)
            source = at if layer.relu else None
        x = apply(layer, x)
    return layers


def scale_dense_inputs(dense: Dense, factors: Tensor) -> Dense:
    """W x = (W diag(f)) (x / f): `dense` for inputs divided by `factors` (in,)."""
    return replace(dense, weight=dense.weight * factors[:, None])


def _scale_outputs(layer: Layer, factors: Tensor) -> Weighted:
    # Channels are the fastest axis in every order of features, so cells repeat them
    if isinstance(layer, Dense):
        factors = factors.repeat(len(layer.bias) // len(factors))
        return replace(layer, weight=layer.weight * factors, bias=layer.bias * factors)
    assert isinstance(layer, Conv)
    factors = factors.repeat(len(layer.bias) // len(factors))
    return replace(layer, kernel=layer.kernel * factors[:, None, None, None], bias=layer.bias * factors)


def _scale_inputs(layer: Weighted, factors: Tensor) -> Weighted:
    if isinstance(layer, Dense):
        return scale_dense_inputs(layer, factors.repeat(len(layer.weight) // len(factors)))
    return replace(layer, kernel=layer.kernel * factors)
