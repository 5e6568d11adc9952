"""How long a run lasts: its epochs or its minutes, or less if its validation gets worse."""

import time
from collections.abc import Sequence
from statistics import mean

from fmae_edge.model.checkpoint import Metrics
from fmae_edge.model.chosen_epoch import chosen_epoch, criterion
from fmae_edge.model.recipe import Recipe
from fmae_edge.train.processes import ALONE, Processes

_CLEARLY_WORSE = 1.02
_ROUNDING = 1e-9


class Schedule:
    """Follow a run with `steps` per epoch, which has taken `elapsed` seconds so far.

    A run in minutes ends on time, in the middle of an epoch if need be. Its clock also runs while it measures and
    writes. It depends on the speed of the machine, so it does not repeat bit for bit. The clock of several
    `processes` is that of the first one, so all of them must ask for it in the same order.
    """

    def __init__(self, recipe: Recipe, steps: int, elapsed: float = 0.0, processes: Processes = ALONE) -> None:
        self._recipe, self._steps, self._processes = recipe, steps, processes
        self._began = time.monotonic() - elapsed

    @property
    def elapsed(self) -> float:
        """Seconds that the run took, without those between an interruption and its continuation."""
        return self._processes.agree(time.monotonic() - self._began)

    def done(self, epoch: int, step: int) -> float:
        """Return the share of the run, 0 to 1, that is done after `step` steps of `epoch`, which counts from 1."""
        done, total = self._counts(epoch, step)
        return min(done / total, 1.0)

    def shown(self, epoch: int, step: int) -> tuple[int, int]:
        """Return (done, total) for a progress bar: steps, or whole seconds of a run in minutes."""
        done, total = self._counts(epoch, step)
        return min(int(done), round(total)), round(total)

    def _counts(self, epoch: int, step: int) -> tuple[float, float]:
        if self._recipe.epochs is None or self._recipe.minutes is not None:
            return self.elapsed, 60 * (self._recipe.minutes or 0)
        return (epoch - 1) * self._steps + step, self._recipe.epochs * self._steps


def stops_early(metrics: Sequence[Metrics], recipe: Recipe) -> bool:
    """Return whether a run with these metrics should end before its time. Without validation images it never does.

    It should if the share `recipe.patience` of the run has passed without a better epoch, after the learning rate
    has reached its peak, and the mean of the epochs since then is more than 2 % worse than the best. A run that
    does not improve goes on: the last third of a one-cycle schedule lowers the error again, unless the model
    overfits.
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
