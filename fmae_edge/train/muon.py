"""Muon, an optimiser that orthogonalises the momentum of each weight matrix before a step.

Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
(https://kellerjordan.github.io/posts/muon/). Updates have the scale of AdamW's, so both can share a learning rate:
Liu et al., "Muon is scalable for LLM training", 2025 (arXiv 2502.16982), section 2.2.

torch.optim.Muon takes only matrices and computes in bfloat16, which most CPUs emulate. This version also takes
convolution kernels, as (out, in * k * k) matrices, and computes in the precision of the weights.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Quintic Newton-Schulz coefficients of the reference: singular values land in about [0.7, 1.2].
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
# RMS of the updates of AdamW; those of Muon are scaled to the same (Liu et al.).
_UPDATE_RMS = 0.2


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return `matrix` with singular values close to 1 and the same singular vectors."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    # Each iteration is x <- (a + b g + c g^2) x with g = x x^T. All factors are polynomials of the first g and
    # multiply x from the left, so they are collected in a small matrix, and the long side is multiplied once.
    gram = x @ x.T
    factor = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for _ in range(_ITERATIONS):
        now = factor @ gram @ factor
        factor = _A * factor + (_B * now + _C * now @ now) @ factor
    x = factor @ x
    return x if wide else x.T


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for parameters of two dimensions or more."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update each parameter by its gradient. Raises ValueError if a `closure` is given."""
        if closure is not None:
            raise ValueError("Muon does not support a closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, self.state[parameter], group["lr"], group["momentum"])

    @staticmethod
    def _step(parameter: Tensor, gradient: Tensor, state: dict[str, Any], lr: float, momentum: float) -> None:
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].lerp_(gradient, 1 - momentum)
        nesterov = gradient.lerp(average, momentum).flatten(1)
        update = orthogonalise(nesterov)
        # An orthogonal (rows, columns) matrix has RMS 1 / sqrt(max(rows, columns)).
        scale = _UPDATE_RMS * max(nesterov.shape) ** 0.5
        parameter.add_(update.view_as(parameter), alpha=-lr * scale)
