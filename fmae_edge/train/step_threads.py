"""Choose how many threads PyTorch uses for training steps, by the time that steps take.

The threads of PyTorch wait for each other at the end of every operation. If another program has the CPU of one of
them, the others wait for its time slice, again and again in each step, and fewer threads are faster.
benchmarks/training_threads.py measures by how much.
"""

from collections import deque
from collections.abc import Callable
from statistics import median

import torch

from fmae_edge.runtime.engine.cpus import OPENMP_VARIABLE, VARIABLE, choose_threads

_TRIAL = 3  # steps; their median leaves out the first one, which is slow the first time
_STEPS_BETWEEN = 10  # at least
_MOST_COST = 0.02  # of the time, for trials
_CLEARLY_FASTER = 0.95  # of the time: differences below are noise


class StepThreads:
    """The number of threads of the next step, from 1 to `most`.

    Now and then a few steps run on half or twice as many threads, and the faster number goes on. Trials that turn
    out slower take 2 % of the time, so they are rare where they are expensive. `set_threads` gets each new number.
    """

    def __init__(self, most: int, set_threads: Callable[[int], None] = torch.set_num_threads) -> None:
        self.most, self.count = most, most
        self._set_threads = set_threads
        self._times: deque[float] = deque(maxlen=_TRIAL)  # per image, of the last steps on `count` threads
        self._usual: tuple[int, float] | None = None  # during a trial: the number before it, its time per image
        self._cost, self._until_trial, self._fewer = 0.0, 0.0, True

    def took(self, seconds: float, images: int) -> None:
        """Note the time of a step, and set the number of threads of the next one."""
        self._times.append(seconds / images)
        if self._usual is None:
            self._until_trial -= seconds
            if len(self._times) == _TRIAL and self._until_trial <= 0 and self.most > 1:
                self._begin_trial()
            return
        before, time = self._usual
        self._cost += seconds - time * images
        if len(self._times) == _TRIAL:
            self._usual = None
            if median(self._times) >= _CLEARLY_FASTER * time:
                self._set(before)
                self._fewer = not self._fewer
            self._until_trial = max(self._cost / _MOST_COST, _STEPS_BETWEEN * seconds)

    def _begin_trial(self) -> None:
        self._usual, self._cost = (self.count, median(self._times)), 0.0
        fewer = (self._fewer or self.count == self.most) and self.count > 1
        self._set(self.count // 2 if fewer else min(2 * self.count, self.most))

    def _set(self, count: int) -> None:
        self.count = count
        self._times.clear()
        self._set_threads(count)


def chosen_by_time() -> StepThreads | None:
    """Return the choice for training on the CPU, None if FMAE_EDGE_THREADS or OMP_NUM_THREADS fixes the number.

    PyTorch gets the number that `choose_threads` returns. Without these variables it starts with one thread per
    core that the process may use, which is less than PyTorch's own number in a container with a quota.

    Raises InputError if FMAE_EDGE_THREADS is invalid.
    """
    count, why = choose_threads()
    if why in (VARIABLE, OPENMP_VARIABLE):
        if why == VARIABLE:
            torch.set_num_threads(count)
        return None
    most = min(count, torch.get_num_threads())
    torch.set_num_threads(most)
    return StepThreads(most)
