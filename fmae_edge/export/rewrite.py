"""Exact rewrites: each takes layers and returns faster ones that compute the same function.

The numbers of a cell are ordered by row, column, channel throughout.
"""

import torch

from fmae_edge.export.layers import (
    Conv,
    Crop,
    Dense,
    DepthToSpace,
    Layer,
    Mask,
    Unflatten,
    Upsample,
    shapes,
)
from fmae_edge.model.algebra import PHASES, dense_then_conv


def rewrite_decoder(layers: list[Layer]) -> list[Layer]:
    """Return the layers of a decoder in the fastest form for float32 and int8."""
    dense = layers[0]
    assert isinstance(dense, Dense)
    match layers:
        case [Dense() as dense, Unflatten() as grid, Conv() as conv, *rest]:
            layers = [*fold_dense(dense, grid, conv), *rest]
    grids = [(dense.weight.shape[0],), *shapes(layers, (dense.weight.shape[0],))]
    ups = [at for at, layer in enumerate(layers) if isinstance(layer, Upsample)]
    rewritten: list[Layer] = []
    at = 0
    while at < len(layers):
        match layers[at : at + 4]:
            # Only the last two: cells of more layers would multiply mostly by zero
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
    # dense_then_conv has PyTorch's order of features, channels slowest
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

    depth_to_space and crop in between only move pixels: a convolution over moved pixels is a convolution
    over the cells that hold them. With cells i and i + 1, which hold the inner rows 2i - 1 ... 2i + 2, the
    output rows 4i ... 4i + 3 are complete, so no crop remains. What the crop would have cut off is set to 0,
    the padding that the outer convolution would have seen.
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
    """The 2x2 convolution, padded by 1, that computes the four phases of conv(upsample(x)) as channels."""
    _require_3x3(conv)
    phases = torch.tensor(PHASES, dtype=conv.kernel.dtype)
    kernel = torch.einsum("pak,qbl,okli->pqoabi", phases, phases, conv.kernel).flatten(0, 2)
    return Conv(conv.name, kernel, conv.bias.repeat(4), 1, conv.relu)


def _over_cells(conv: Conv) -> Conv:
    """The 2x2 convolution, not padded, over the cells of `upsample_twice`: 4x4 outputs as channels.

    Output row 4i + u takes tap t from inner row 2i + floor((u + t - 1) / 2), one of the four that two
    neighbouring cells hold.
    """
    _require_3x3(conv)
    select = torch.zeros(4, 4, 3, dtype=conv.kernel.dtype)  # output row, inner row + 1, tap
    for row in range(4):
        for tap in range(3):
            select[row, (row + tap - 1) // 2 + 1, tap] = 1
    kernel = torch.einsum("ukt,vls,otsi->uvokli", select, select, conv.kernel)
    outs, ins = conv.kernel.shape[0], conv.kernel.shape[3]
    kernel = kernel.reshape(16 * outs, 2, 2, 2, 2, ins).transpose(
        2, 3
    )  # (cell, row), (cell, column) -> cells first
    return Conv(conv.name, kernel.reshape(16 * outs, 2, 2, 4 * ins), conv.bias.repeat(16), 0, conv.relu)


def _require_3x3(conv: Conv) -> None:
    if (*conv.kernel.shape[1:3], conv.pad) != (3, 3, 1):
        raise ValueError(f"only 3x3 convolutions padded by 1 can be rewritten, but {conv.name} is another layer")
