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
_HOPELESS = 4.0  # times as slow: the rest of a trial is left out
_CLEARLY_FASTER = 0.95  # of the time: differences below are noise


class StepThreads:
    """The number of threads of the next step, from 1 to `most`.

    It begins with one thread, which no other program slows down much. Now and then a few steps run on twice or
    half as many threads, and the faster number goes on. Trials that turn out slower take 2 % of the time, so they
    are rare where they are expensive. `set_threads` gets each new number.
    """

    def __init__(self, most: int, set_threads: Callable[[int], None] = torch.set_num_threads) -> None:
        self.most, self.count = most, 1
        self._set_threads = set_threads
        self._times: deque[float] = deque(maxlen=_TRIAL)  # per image, of the last steps on `count` threads
        # During a trial: the number before it, and its time per image
        self._usual: tuple[int, float] | None = None
        self._tried_seconds, self._tried_images = 0.0, 0
        self._until_trial, self._tries_more = 0.0, True
        set_threads(1)

    def took(self, seconds: float, images: int) -> None:
        """Note the time of a step, and set the number of threads of the next one."""
        self._times.append(seconds / images)
        if self._usual is not None:
            self._judge_trial(*self._usual, seconds, images)
        self._until_trial -= seconds
        if self._usual is None and len(self._times) == _TRIAL and self._until_trial <= 0 and self.most > 1:
            self._begin_trial()

    def end_trial(self) -> None:
        """Go back to the number before a trial: other work than steps follows."""
        if self._usual is not None:
            self._set(self._usual[0])
            self._usual = None

    def _begin_trial(self) -> None:
        self._usual = (self.count, median(self._times))
        self._tried_seconds, self._tried_images = 0.0, 0
        if self.count in (1, self.most):
            self._tries_more = self.count == 1
        self._set(min(2 * self.count, self.most) if self._tries_more else self.count // 2)

    def _judge_trial(self, before: int, usual: float, seconds: float, images: int) -> None:
        """Keep the number of the trial if it is faster than the one before, and go back as soon as it is not."""
        self._tried_seconds += seconds
        self._tried_images += images
        expected = usual * self._tried_images
        hopeless = self._tried_seconds > _HOPELESS * expected
        if len(self._times) < _TRIAL and not hopeless:
            return
        self._usual = None
        self._until_trial = _STEPS_BETWEEN * usual * images
        if hopeless or median(self._times) >= _CLEARLY_FASTER * usual:
            self._set(before)
            self._tries_more = not self._tries_more
            self._until_trial = max(self._until_trial, (self._tried_seconds - expected) / _MOST_COST)
        elif 1 < self.count < self.most:
            self._until_trial = 0.0  # the next number may be faster still

    def _set(self, count: int) -> None:
        self.count = count
        self._times.clear()
        self._set_threads(count)


def chosen_by_time() -> StepThreads | None:
    """Return the choice for training on the CPU, None if FMAE_EDGE_THREADS or OMP_NUM_THREADS fixes the number.

    Without these variables, the most is one thread per core that the process may use, and no more than the quota
    of a container, which PyTorch does not know.

    Raises InputError if FMAE_EDGE_THREADS is invalid.
    """
    count, why = choose_threads()
    if why in (VARIABLE, OPENMP_VARIABLE):
        if why == VARIABLE:
            torch.set_num_threads(count)
        return None
    return StepThreads(min(count, torch.get_num_threads()))
