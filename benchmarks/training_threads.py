"""Measure an epoch of training by the number of threads, alone and beside a busy process.

    python benchmarks/training_threads.py

The seed architecture trains on random images: on one thread, on all, and on as many as fmae-edge train chooses.
Each training is a new process. They take turns, so that other work on the machine slows all of them. The seconds
are those of 60,000 images, an epoch of Fashion-MNIST, extrapolated from --steps batches of 256.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fmae_edge.runtime.engine.cpu_model import cpu_name
from fmae_edge.runtime.engine.cpus import available_cpus

BATCH, EPOCH = 256, 60_000
CHOSEN = "chosen"
_IGNORED = 1  # the first step is slow


def main() -> None:
    """Measure and print the table, or measure one training."""
    parser = argparse.ArgumentParser(description="An epoch of training by the number of threads.")
    parser.add_argument("--steps", type=int, default=60, metavar="N", help="batches per training (default 60)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="trainings of each kind (default 3)")
    parser.add_argument("--only", metavar="N", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(train_for(options.steps))
        return
    kinds = ["1", *([str(available_cpus())] if available_cpus() > 1 else []), CHOSEN]
    found: dict[tuple[str, bool], list[float]] = {(kind, busy): [] for kind in kinds for busy in (False, True)}
    for _ in range(options.rounds):
        for busy in (False, True):
            for kind in kinds:
                found[kind, busy].append(measured(kind, busy, options.steps))
    print(f"{cpu_name()}, {available_cpus()} CPUs, medians of {options.rounds}; the fastest in brackets\n")
    print("| threads | seconds per epoch, alone | beside a busy process |\n| --- | ---: | ---: |")
    for kind in kinds:
        columns = (found[kind, busy] for busy in (False, True))
        print(f"| {kind} | {' | '.join(f'{statistics.median(each):.0f} ({min(each):.0f})' for each in columns)} |")


def measured(kind: str, busy: bool, steps: int) -> float:
    """Return the seconds of an epoch in a new process."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if kind != CHOSEN:
        environment["OMP_NUM_THREADS"] = kind
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        command = [sys.executable, __file__, "--only", kind, "--steps", str(steps)]
        return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    finally:
        if other is not None:
            other.kill()
            other.wait()


def train_for(steps: int) -> float:
    """Train as fmae-edge train does, and return the seconds of an epoch."""
    import torch

    from fmae_edge.model.autoencoder import Autoencoder
    from fmae_edge.model.config import ModelConfig
    from fmae_edge.model.recipe import PriorFit, Recipe
    from fmae_edge.train.loop import train
    from fmae_edge.train.step_threads import chosen_by_time

    torch.manual_seed(0)
    images = torch.randint(256, (BATCH * (steps + _IGNORED), 28, 28), dtype=torch.uint8)
    ends: list[float] = []
    recipe = Recipe(epochs=1, batch_size=BATCH, prior_fit=PriorFit(steps=1))
    with tempfile.TemporaryDirectory() as folder:
        train(
            Path(folder),
            Autoencoder(ModelConfig()),
            recipe,
            images,
            images[:10],
            torch.device("cpu"),
            on_step=lambda step: ends.append(time.perf_counter()),
            threads=chosen_by_time(),
        )
    return (ends[-1] - ends[_IGNORED - 1]) / steps * EPOCH / BATCH


if __name__ == "__main__":
    main()
