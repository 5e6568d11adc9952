"""The loss of a batch as one module, because several processes follow the calls of a module."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.fast_pass import fast_autoencode
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import Recipe
from fmae_edge.train.objective import rate_distortion
from fmae_edge.train.processes import Processes, Share
from fmae_edge.train.refinement import refined_costs


def batch_losses(
    model: Autoencoder, prior: Prior | None, recipe: Recipe, device: torch.device, processes: Processes
) -> Callable[[float], nn.Module]:
    """Return a function that gives the loss after any part of a run, 0 to 1, for all `processes`.

    Without a rate, which the first steps do not have, it has no prior: all weights of a loss must get a gradient.
    """

    @cache
    def loss(has_rate: bool) -> nn.Module:
        return processes.together(BatchLoss(model, prior if has_rate else None, recipe), device)

    return lambda done: loss(done >= recipe.rate_start)


class BatchLoss(nn.Module):
    """The loss of `recipe`, with a rate if there is a `prior`."""

    def __init__(self, model: Autoencoder, prior: Prior | None, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.prior, self.recipe = model, prior, recipe

    def forward(self, batch: Tensor, share: Share, draws: torch.Generator, done: float) -> tuple[Tensor, ...]:
        """Return the loss of pixels (N, channels, height, width), their MSE, and if it has a rate their mean bits.

        The pixels are a `share` of a batch, and the loss is that of the share times its weight. All forward passes
        of a step are in this call, after the part `done` of the run.
        """
        weight, rate = share.weight, self.recipe.rate_distortion
        if self.prior is None or rate is None:
            error = mse_loss(fast_autoencode(self.model, batch), batch)
            return error * weight, error.detach()
        costs = rate_distortion(self.model, self.prior, batch, rate, draws, share)
        loss = costs.loss * weight
        if done >= 1 - self.recipe.refine:
            half = share.half()
            first = batch[: max(1, half.images)]
            loss = loss + refined_costs(self.model, self.prior, first, rate, draws, half).loss * half.weight
        return loss, costs.error.detach(), costs.bits.detach()
