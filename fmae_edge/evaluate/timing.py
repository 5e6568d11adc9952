"""Time calls against each other on a machine that also does other work."""

import random
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)


def interleave(
    variants: Mapping[Name, Callable[[], object]],
    rounds: int,
    slice_seconds: float = 0.02,
    on_round: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Name, np.ndarray]:
    """Return the seconds of each call of each variant.

    In every round each variant runs for `slice_seconds`, in random order, so that other work on the machine
    slows all variants alike: compare medians within one result, never across two.
    """
    names = list(variants)
    times: dict[Name, list[float]] = {name: [] for name in names}
    order = random.Random(0)
    for name in names:
        variants[name]()  # warm up
    for done in range(1, rounds + 1):
        order.shuffle(names)
        for name in names:
            call, taken = variants[name], times[name]
            end = time.perf_counter() + slice_seconds
            while True:
                started = time.perf_counter()
                call()
                stopped = time.perf_counter()
                taken.append(stopped - started)
                if stopped > end:
                    break
        on_round(done, rounds)
    return {name: np.array(seconds) for name, seconds in times.items()}
