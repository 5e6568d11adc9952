"""Measure the throughput of threads that share one codec: `python benchmarks/threads.py`.

Each thread repeats `encode`, `decode`, `compress_batch` and `decompress` with 64 images, and the codec runs each
call on one thread. Rounds with one thread and with one thread per CPU alternate. The table has the medians of
their rates. The graphs run without Python's lock, the entropy coder mostly with it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fmae_edge import Codec
from fmae_edge.runtime.engine.cpus import available_cpus

IMAGES, CALLS, ROUNDS = 64, 30, 9


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Throughput of threads that share a codec.")
    parser.add_argument(
        "--threads",
        type=int,
        default=available_cpus(),
        metavar="N",
        help="number of threads (default: one per CPU)",
    )
    threads = parser.parse_args().threads
    codec = Codec(threads=1)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 28, 28), np.uint8)
    latents, content = codec.encode(images), codec.compress_batch(images)
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: codec.encode(images),
        "decode": lambda: codec.decode(latents),
        "compress_batch": lambda: codec.compress_batch(images),
        "decompress": lambda: codec.decompress(content),
    }
    print(f"| 64 images per call | one thread | {threads} threads | gain |\n| --- | ---: | ---: | ---: |")
    for name, call in calls.items():
        rates: dict[int, list[float]] = {1: [], threads: []}
        for _ in range(ROUNDS):
            for count, measured in rates.items():
                measured.append(rate(call, count))
        one, many = (statistics.median(rates[count]) for count in (1, threads))
        print(f"| {name} | {one:,.0f} images/s | {many:,.0f} images/s | {many / one:.2f} x |", flush=True)


def rate(call: Callable[[], object], threads: int) -> float:
    """Return the images per second of `threads` threads that make CALLS calls each."""
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        for done in [pool.submit(lambda: [call() for _ in range(CALLS)]) for _ in range(threads)]:
            done.result()
        return IMAGES * CALLS * threads / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
