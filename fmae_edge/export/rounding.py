"""Round the weights of a layer to int8 so that its outputs change the least."""

from collections.abc import Iterable

import torch
from torch import Tensor

from fmae_edge.export.int8_target import MAX_WEIGHT, Int8Target

# Share of the mean diagonal of the covariance that is added to the diagonal, to keep the inverse finite
_DAMPING = 0.01
# Number of rows whose errors are compensated together; even, so that no pair is split. Every convolution of the
# seed model is one block. As one block, its dense layer would take 20 s to invert without a gain.
_BLOCK = 768


def weight_scales(weights: Tensor, target: Int8Target) -> Tensor:
    """Return the scale of each column of `weights` (K, out): the finest in which the column fits; 0 for zeros."""
    largest = weights.abs().amax(dim=0) / MAX_WEIGHT
    if target.max_pair is not None:
        first, second = _pairs(weights)
        for sign in (1, -1):
            sums = (sign * first).clamp(min=0) + (sign * second).clamp(min=0)
            largest = torch.maximum(largest, sums.amax(dim=0) / target.max_pair)
    return largest


def round_weights(weights: Tensor, scales: Tensor, inputs: Iterable[Tensor], target: Int8Target) -> Tensor:
    """Return `weights` in units of `scales` (out,) as integers (K, out).

    Rows are rounded one after the other. The rows that are not rounded yet compensate the error in the outputs
    over `inputs`, which come in parts (M, K) (Frantar et al., "GPTQ: accurate post-training quantization for
    generative pre-trained transformers", ICLR 2023).
    """
    blocks = weights.split(_BLOCK)
    products = [torch.zeros(len(block), len(block), dtype=torch.float64) for block in blocks]
    rows = 0
    for part in inputs:
        rows += len(part)
        for product, seen in zip(products, part.split(_BLOCK, dim=1), strict=True):
            product += (seen.t() @ seen).double()
    return torch.cat(
        [
            _round_block(block.double(), scales.double(), product / rows, target)
            for block, product in zip(blocks, products, strict=True)
        ]
    )


def _round_block(weights: Tensor, scales: Tensor, covariance: Tensor, target: Int8Target) -> Tensor:
    damping = _DAMPING * covariance.diagonal().mean().clamp(min=1e-12)
    damped = covariance + damping * torch.eye(len(covariance), dtype=torch.float64)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    weights = weights.clone()
    rounded = torch.zeros_like(weights)
    for row in range(len(weights)):
        low = torch.full_like(scales, -MAX_WEIGHT)
        high = torch.full_like(scales, MAX_WEIGHT)
        if target.max_pair is not None and row % 2:
            partner = rounded[row - 1]
            low = torch.maximum(low, -target.max_pair - partner.clamp(max=0))
            high = torch.minimum(high, target.max_pair - partner.clamp(min=0))
        rounded[row] = torch.clamp(torch.round(weights[row] / scales), low, high)
        error = (weights[row] - rounded[row] * scales) / inverse[row, row]
        weights[row + 1 :] -= torch.outer(inverse[row, row + 1 :], error)
    return rounded


def _pairs(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the second weight of each pair that one instruction adds."""
    even = torch.nn.functional.pad(weights, (0, 0, 0, len(weights) % 2))
    return even[0::2], even[1::2]
