"""Compare the speed of training in one and in two processes on CPUs: `python benchmarks/training_processes.py`.

Three trainings of the seed architecture on random images take turns of eight steps: one process with one thread,
one process with two threads, two processes with one thread each. A step has 256 images. The table has the images
per second of the fastest turn and of the median one; on a busy machine the fastest turn says more.
"""

import argparse
import os
import statistics
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Semaphore
from pathlib import Path

import torch
import torch.distributed as dist

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import PriorFit, Recipe
from fmae_edge.train.loop import Step, train
from fmae_edge.train.processes import ALONE, Processes

BATCH, STEPS, ROUNDS = 256, 8, 12
TRAININGS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}

Turns = list[Semaphore]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Speed of training in one and in two processes.")
    parser.add_argument("--rate-distortion", type=float, metavar="LAMBDA", help="with a rate (default: MSE)")
    rate = parser.parse_args().rate_distortion
    context = get_context("spawn")
    turns, seconds = [context.Semaphore(0) for _ in TRAININGS], context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        children = [
            context.Process(target=run, args=(number, rank, rate, Path(folder), turns, seconds))
            for number, (count, _) in enumerate(TRAININGS.values())
            for rank in range(count)
        ]
        for child in children:
            child.start()
        turns[0].release()
        measured: list[list[float]] = [[] for _ in TRAININGS]
        for _ in range(ROUNDS * len(TRAININGS)):
            number, taken = seconds.get()
            measured[number].append(BATCH * STEPS / taken)
        for child in children:
            child.join()
    print("| | fastest turn | median turn |\n| --- | ---: | ---: |")
    for name, rates in zip(TRAININGS, measured, strict=True):
        rates = rates[1:]  # the first one has slow first steps
        print(f"| {name} | {max(rates):,.0f} images/s | {statistics.median(rates):,.0f} images/s |")


def run(number: int, rank: int, rate: float | None, folder: Path, turns: Turns, seconds: "Queue[object]") -> None:
    """Train in one process; the first process of each training waits for its turn and measures it."""
    count, threads = list(TRAININGS.values())[number]
    torch.set_num_threads(threads)
    processes = ALONE
    if count > 1:
        os.environ["LOCAL_WORLD_SIZE"] = str(count)
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
        processes = Processes(rank, count)
    began = 0.0

    def on_step(step: Step) -> None:
        nonlocal began
        if rank == 0 and step.done % STEPS == 0:
            if began:
                seconds.put((number, time.perf_counter() - began))
                turns[(number + 1) % len(turns)].release()
            if step.done < step.total:
                turns[number].acquire()
            began = time.perf_counter()

    path = folder / f"{number}-{rank}"
    path.mkdir()
    torch.manual_seed(0)
    images = torch.randint(256, (BATCH * STEPS * (ROUNDS + 1), 28, 28), dtype=torch.uint8)
    recipe = Recipe(epochs=1, batch_size=BATCH, rate_distortion=rate, rate_start=0.0, prior_fit=PriorFit(steps=1))
    device = torch.device("cpu")
    train(path, Autoencoder(ModelConfig()), recipe, images, images[:10], device, on_step, processes=processes)


if __name__ == "__main__":
    main()
