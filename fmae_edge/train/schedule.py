"""How much of a run is done: the share of its steps, or of its minutes."""

import time

from fmae_edge.model.recipe import Recipe


class Schedule:
    """Follow a run of `steps` per epoch that has taken `elapsed` seconds so far.

    A run in minutes ends on time, in the middle of an epoch if need be. Its clock also runs while it measures and
    writes. It depends on the speed of the machine, so it does not repeat bit for bit.
    """

    def __init__(self, recipe: Recipe, steps: int, elapsed: float = 0.0) -> None:
        self._recipe, self._steps = recipe, steps
        self._began = time.monotonic() - elapsed

    @property
    def elapsed(self) -> float:
        """Seconds that the run took, without those between an interruption and its continuation."""
        return time.monotonic() - self._began

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
