"""Exact identities between layers, as pure functions over their weights.

Weights have PyTorch's layouts: convolution (out, in, k, k), transposed convolution (in, out, k, k).
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pixel_shuffle

# One row per output phase of an axis, in the order in which the cropped pixel shuffle reads them. Along an axis of
# 2x nearest upsampling, tap t of a 3-tap kernel reads source floor((i + t - 1) / 2): odd outputs read
# (x[j], x[j], x[j+1]), even outputs (x[j-1], x[j], x[j]), so two taps add up to one.
PHASES = (((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)), ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)))


def conv_of_transposed(weight: Tensor) -> Tensor:
    """Return w' with conv(x, w', padding 1) = conv_transpose(x, w, stride 1, padding 1), for 3x3 kernels.

    w'[o, i, y, x] = w[i, o, 2 - y, 2 - x]: the kernel flipped, its channel axes swapped.
    """
    return weight.transpose(0, 1).flip(2, 3)


def dense_then_conv(dense_weight: Tensor, dense_bias: Tensor, grid: tuple[int, ...], kernel: Tensor) -> Tensor:
    """Fold conv(unflatten(W z + b)) into one affine map; return its (latent_size + 1, out, h, w).

    The composition of linear maps is linear: row k is the convolution of column k of W, and the last row is that
    of b. The convolution is 3x3, padded by 1 and without its own bias; `grid` is (in, h, w).
    """
    basis = torch.cat([dense_weight.t(), dense_bias[None]]).unflatten(1, grid)
    return conv2d(basis.contiguous(memory_format=torch.channels_last), kernel, padding=1)


def merge_upsampling(kernel: Tensor) -> Tensor:
    """Return the 2x2 kernels (4 * out, in, 2, 2) of `upsample_then_conv` for a 3x3 kernel (out, in, 3, 3).

    Nearest upsampling repeats pixels, so each of the four output phases is a 2x2 convolution.
    """
    out_channels, in_channels = kernel.shape[:2]
    phases = torch.tensor(PHASES, dtype=kernel.dtype, device=kernel.device)
    kernels = torch.einsum("pak,qbl,oikl->opqiab", phases, phases, kernel)
    return kernels.reshape(4 * out_channels, in_channels, 2, 2)


def upsample_then_conv(x: Tensor, merged: Tensor, bias: Tensor) -> Tensor:
    """Compute conv(upsample2x(x), kernel, bias, padding 1) in 2.25 times fewer products.

    It equals crop(pixel_shuffle(conv2x2(x, merged, padding 1))), where `merged` is `merge_upsampling(kernel)`.
    """
    return pixel_shuffle(conv2d(x, merged, bias.repeat_interleave(4), padding=1), 2)[..., 1:-1, 1:-1]
