"""Exact rewrites: each takes layers and returns layers that compute the same function.

The rewrites of the decoder make it faster. Equalisation makes both halves easier to quantise. The numbers of a
cell are always ordered by row, column, channel.
"""

from dataclasses import replace

import torch
from torch import Tensor

from fmae_edge.export.layers import (
    Conv,
    Crop,
    Dense,
    DepthToSpace,
    Flatten,
    Layer,
    Mask,
    Unflatten,
    Upsample,
    Weighted,
    apply,
    shapes,
)
from fmae_edge.model.algebra import PHASES, dense_then_conv

# Smallest range of a channel, as a share of the largest: below it, the weights of the next layer differ too much
_SMALLEST_RANGE = 1e-2


def rewrite_decoder(layers: list[Layer]) -> list[Layer]:
    """Return the layers of a decoder in the fastest form for float32 and int8."""
    dense = layers[0]
    assert isinstance(dense, Dense)
    match layers:
        case [Dense() as dense, Unflatten() as grid, Conv() as conv, *others]:
            layers = [*fold_dense(dense, grid, conv), *others]
    grids = [(dense.weight.shape[0],), *shapes(layers, (dense.weight.shape[0],))]
    ups = [at for at, layer in enumerate(layers) if isinstance(layer, Upsample)]
    rewritten: list[Layer] = []
    at = 0
    while at < len(layers):
        match layers[at : at + 4]:
            # Only for the last two: kernels over larger cells are mostly zeros
            case [Upsample(), Conv() as inner, Upsample(), Conv() as outer] if at == ups[-2]:
                height, width, _ = grids[at]
                rewritten += upsample_twice(inner, outer, (height, width))
                at += 4
            case [Upsample(), Conv() as conv, *_]:
                rewritten += upsample_once(conv)
                at += 2
            case [layer, *_]:
                rewritten.append(layer)
                at += 1
    return rewritten


def fold_dense(dense: Dense, grid: Unflatten, conv: Conv) -> list[Layer]:
    """conv(W z + b) = (conv W) z + conv(b): two linear maps in a row are one."""
    if dense.relu:
        raise ValueError("a dense layer with a ReLU cannot be merged with the next layer")
    height, width, channels = grid.grid
    # dense_then_conv has the feature order of PyTorch: channels slowest
    weight = dense.weight.t().unflatten(0, grid.grid).permute(2, 0, 1, 3).flatten(0, 2)
    bias = dense.bias.unflatten(0, grid.grid).permute(2, 0, 1).flatten()
    rows = dense_then_conv(weight, bias, (channels, height, width), conv.kernel.permute(0, 3, 1, 2))
    rows = rows.permute(0, 2, 3, 1)
    folded = Dense(dense.name, rows[:-1].flatten(1), (rows[-1] + conv.bias).flatten(), conv.relu)
    return [folded, Unflatten((height, width, conv.kernel.shape[0]))]


def upsample_once(conv: Conv) -> list[Layer]:
    """conv3x3(upsample(x)) = crop(depth_to_space(conv2x2(x))): each output phase sees only 2x2 source pixels.

    The phases of cell i are the output rows 2i - 1 and 2i: one row too many at each end, which the crop removes.
    """
    return [_in_phases(conv), DepthToSpace(2), Crop(1)]


def upsample_twice(inner: Conv, outer: Conv, grid: tuple[int, int]) -> list[Layer]:
    """outer(upsample(inner(upsample(x)))), for x of `grid`, with pixels moved once, at the end.

    depth_to_space and crop in between only move pixels: a convolution over moved pixels is a convolution over the
    cells that contain them. Cells i and i + 1 contain the inner rows 2i - 1 ... 2i + 2. The output rows
    4i ... 4i + 3 need only these, so no crop remains. The mask sets the pixels to 0 that the crop would remove,
    which is the padding that the outer convolution expects.
    """
    height, width = grid
    channels = inner.kernel.shape[0]
    inside = [torch.arange(2 * (side + 1)) for side in grid]  # inner row or column + 1, in order of the cells
    rows, columns = ((at >= 1) & (at <= 2 * side) for at, side in zip(inside, grid, strict=True))
    keep = (rows.view(height + 1, 1, 2, 1, 1) & columns.view(1, width + 1, 1, 2, 1)).expand(
        -1, -1, -1, -1, channels
    )
    return [
        _in_phases(inner),
        Mask(keep.reshape(height + 1, width + 1, 4 * channels).to(inner.kernel.dtype)),
        _over_cells(outer),
        DepthToSpace(4),
    ]


def _in_phases(conv: Conv) -> Conv:
    """Return the 2x2 convolution, padded by 1, that computes the four phases of conv(upsample(x)) as channels."""
    _require_3x3(conv)
    phases = torch.tensor(PHASES, dtype=conv.kernel.dtype)
    kernel = torch.einsum("pak,qbl,okli->pqoabi", phases, phases, conv.kernel).flatten(0, 2)
    return Conv(conv.name, kernel, conv.bias.repeat(4), 1, conv.relu)


def _over_cells(conv: Conv) -> Conv:
    """Return the unpadded 2x2 convolution over the cells of `upsample_twice`, with 4x4 outputs as channels.

    Output row 4i + u takes tap t from inner row 2i + floor((u + t - 1) / 2), one of the four rows in two
    neighbouring cells.
    """
    _require_3x3(conv)
    select = torch.zeros(4, 4, 3, dtype=conv.kernel.dtype)  # output row, inner row + 1, tap
    for row in range(4):
        for tap in range(3):
            select[row, (row + tap - 1) // 2 + 1, tap] = 1
    kernel = torch.einsum("ukt,vls,otsi->uvokli", select, select, conv.kernel)
    outs, ins = conv.kernel.shape[0], conv.kernel.shape[3]
    # (cell, row), (cell, column) -> cells first
    kernel = kernel.reshape(16 * outs, 2, 2, 2, 2, ins).transpose(2, 3)
    return Conv(conv.name, kernel.reshape(16 * outs, 2, 2, 4 * ins), conv.bias.repeat(16), 0, conv.relu)


def _require_3x3(conv: Conv) -> None:
    if (*conv.kernel.shape[1:3], conv.pad) != (3, 3, 1):
        raise ValueError(f"{conv.name} cannot be rewritten; expected a 3x3 convolution with padding 1")


def equalise(layers: list[Layer], inputs: Tensor) -> list[Layer]:
    """relu(W x / r) r = relu(W x) for r > 0: scale each channel down before a layer and up in its weights.

    r is the square root of the channel's range over `inputs` (N, ...), a compromise between equal ranges and
    unchanged weights, as in Nagel et al., "Data-free quantization through weight equalization and bias
    correction", ICCV 2019.
    """
    layers = list(layers)
    x, source = inputs, None
    for at, layer in enumerate(layers):
        if isinstance(layer, Dense | Conv):
            if source is not None:
                before = layers[at - 1]
                channels = before.grid[2] if isinstance(before, Flatten) else x.shape[-1]
                ranges = x.reshape(-1, channels).amax(dim=0)
                factors = (ranges / ranges.max().clamp(min=1e-12)).clamp(min=_SMALLEST_RANGE).sqrt()
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
    # Channels are the fastest axis in every feature order, so cells repeat them
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
