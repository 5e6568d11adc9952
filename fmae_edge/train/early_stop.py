"""Stop a run that learns its training images by heart: when its validation gets worse, it has ended."""

from collections.abc import Sequence
from statistics import mean

from fmae_edge.model.checkpoint import Metrics
from fmae_edge.model.chosen_epoch import chosen_epoch, criterion
from fmae_edge.model.recipe import Recipe

_CLEARLY_WORSE = 1.02
_ROUNDING = 1e-9


def stops_early(metrics: Sequence[Metrics], recipe: Recipe) -> bool:
    """Return whether a run with these metrics should end before its time. Without validation images it never does.

    It should if the share `recipe.patience` of it passed without a better epoch, after the learning rate has
    reached its peak, and the mean of the epochs since then is more than 2 % worse than the best. A run that only
    stands still goes on: the last third of a one-cycle schedule lowers the error again, unless the model overfits.
    """
    if not metrics or criterion(metrics[-1]) is None or metrics[-1]["progress"] >= 1:
        return False
    best = chosen_epoch(metrics)
    since = max(best["progress"], recipe.warm_up)
    later = [value for entry in metrics if entry["progress"] > since and (value := criterion(entry)) is not None]
    waited = metrics[-1]["progress"] - since + _ROUNDING
    if waited < recipe.patience or not later:
        return False
    return mean(later) > _CLEARLY_WORSE * (criterion(best) or 0)
