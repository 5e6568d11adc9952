"""A network as a list of plain layers, for the rewrites and the graph writers.

Every layer maps an array to an array. Images are (N, height, width, channels), the layout in which int8
convolutions run, so weights and activations have the same order in memory. `run` computes a list of layers with
PyTorch, in the precision of the weights.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

Grid = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True, eq=False)
class Dense:
    """x W + b, then ReLU if `relu`: weight (in, out), bias (out,)."""

    name: str
    weight: Tensor
    bias: Tensor
    relu: bool = False


@dataclass(frozen=True, eq=False)
class Conv:
    """Stride-1 convolution, then ReLU if `relu`: kernel (out, kernel height, kernel width, in), bias (out,).

    Each of the four sides is padded with `pad` zeros.
    """

    name: str
    kernel: Tensor
    bias: Tensor
    pad: int
    relu: bool = False


@dataclass(frozen=True)
class PadEdges:
    """Add `rows` copies of the last row below and `columns` copies of the last column to the right."""

    rows: int
    columns: int


@dataclass(frozen=True)
class MaxPool:
    """Maximum of each 2x2 window."""


@dataclass(frozen=True)
class Upsample:
    """Nearest upsampling: each pixel becomes 2x2."""


@dataclass(frozen=True)
class Flatten:
    """`grid` -> one vector, channels fastest."""

    grid: Grid


@dataclass(frozen=True)
class Unflatten:
    """One vector -> `grid`, channels fastest."""

    grid: Grid


@dataclass(frozen=True, eq=False)
class Mask:
    """Multiply by the mask `keep` (h, w, c), whose values are 0 and 1."""

    keep: Tensor


@dataclass(frozen=True)
class DepthToSpace:
    """(h, w, block * block * c) -> (h * block, w * block, c): channels are ordered row, column, c."""

    block: int


@dataclass(frozen=True)
class Crop:
    """Remove `margin` pixels from each side."""

    margin: int


@dataclass(frozen=True)
class Keep:
    """Remove all but the first `height` rows and `width` columns."""

    height: int
    width: int


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-x))."""


Layer = (
    Dense
    | Conv
    | PadEdges
    | MaxPool
    | Upsample
    | Flatten
    | Unflatten
    | Mask
    | DepthToSpace
    | Crop
    | Keep
    | Sigmoid
)
Weighted = Dense | Conv


def with_channels(images: Tensor) -> Tensor:
    """Return images (N, height, width) or (N, height, width, 3) as (N, height, width, channels)."""
    return images.unsqueeze(-1) if images.ndim == 3 else images


def run(layers: Iterable[Layer], x: Tensor) -> Tensor:
    """Return the result of `layers` for `x`: images (N, height, width, channels) or vectors (N, size)."""
    for layer in layers:
        x = apply(layer, x)
    return x


def apply(layer: Layer, x: Tensor) -> Tensor:
    """Return the result of one layer for `x`."""
    match layer:
        case Dense() | Conv():
            y = linear(layer, x)
            return torch.relu(y) if layer.relu else y
        case PadEdges():
            x = torch.cat([x, x[:, -1:].expand(-1, layer.rows, -1, -1)], dim=1)
            return torch.cat([x, x[:, :, -1:].expand(-1, -1, layer.columns, -1)], dim=2)
        case MaxPool():
            return _nhwc(max_pool2d(_nchw(x), 2))
        case Upsample():
            return x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
        case Flatten():
            return x.flatten(1)
        case Unflatten():
            return x.unflatten(1, layer.grid)
        case Mask():
            return x * layer.keep
        case DepthToSpace():
            n, h, w, _ = x.shape
            blocks = x.reshape(n, h, w, layer.block, layer.block, -1).transpose(2, 3)
            return blocks.reshape(n, h * layer.block, w * layer.block, -1)
        case Crop():
            inside = slice(layer.margin, -layer.margin)
            return x[:, inside, inside]
        case Keep():
            return x[:, : layer.height, : layer.width]
        case Sigmoid():
            return torch.sigmoid(x)


def linear(layer: Weighted, x: Tensor) -> Tensor:
    """Return the result of `layer` before its ReLU."""
    if isinstance(layer, Dense):
        return x @ layer.weight + layer.bias
    return _nhwc(conv2d(_nchw(x), layer.kernel.permute(0, 3, 1, 2), layer.bias, padding=layer.pad))


def patches(layer: Weighted, x: Tensor) -> Tensor:
    """Return the rows (M, K) of inputs that `layer` multiplies with its `matrix`."""
    if isinstance(layer, Dense):
        return x
    height, width = layer.kernel.shape[1:3]
    padded = pad(x, (0, 0, layer.pad, layer.pad, layer.pad, layer.pad))
    windows = padded.unfold(1, height, 1).unfold(2, width, 1)  # (N, h, w, in, kernel height, kernel width)
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, layer.kernel[0].numel())


def matrix(layer: Weighted) -> Tensor:
    """Return the weights as (K, out), with K in the order of an int8 kernel."""
    return layer.weight if isinstance(layer, Dense) else layer.kernel.flatten(1).t()


def shapes(layers: Iterable[Layer], shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the shape of one image after each layer, for an input of `shape`."""
    x = torch.empty(1, *shape, device="meta")
    for layer in layers:
        if isinstance(layer, Dense):
            x = x.new_empty(1, layer.weight.shape[1])
        elif isinstance(layer, Conv):
            out, height, width, _ = layer.kernel.shape
            sides = [
                side + 2 * layer.pad + 1 - taps for side, taps in zip(x.shape[1:3], (height, width), strict=True)
            ]
            x = x.new_empty(1, *sides, out)
        elif not isinstance(layer, Mask):
            x = apply(layer, x)
        yield tuple(x.shape[1:])


def multiply_adds(layers: Iterable[Layer], shape: tuple[int, ...]) -> dict[str, int]:
    """Return the number of multiply-adds of each layer with weights for one image of `shape`."""
    layers = list(layers)
    counts = {}
    for layer, after in zip(layers, shapes(layers, shape), strict=True):
        if isinstance(layer, Dense | Conv):
            positions = 1 if isinstance(layer, Dense) else after[0] * after[1]
            counts[layer.name] = positions * matrix(layer).numel()
    return counts


def _nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
