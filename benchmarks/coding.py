"""Measure the time of .fmae coding and of the graphs, with one image per file and with 10,000 images in one file.

`python benchmarks/coding.py [--rounds N]`. Each call is compared with `encode` or `decode` of the same images, in
interleaved rounds on one thread. The coding time is the difference of the medians. The input is the test set of
Fashion-MNIST.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from fmae_edge import Codec
from fmae_edge.commands.console import format_table
from fmae_edge.data.fashion_mnist import load_fashion_mnist

QUALITY = 5
CALLS_OF_ONE = 200  # per round, because a single call is too short to time


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Measure .fmae coding and the graphs.")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    codec = Codec(threads=1)
    images = load_fashion_mnist(None).test
    some = images[:CALLS_OF_ONE]
    files = [codec.compress(image, QUALITY) for image in some]
    latents = codec.encode(images)
    file = codec.compress_batch(images, QUALITY)
    calls: dict[str, tuple[Callable[[], object], Callable[[], object], int]] = {
        "compress, one image per file": (
            lambda: [codec.compress(image, QUALITY) for image in some],
            lambda: [codec.encode(image) for image in some],
            len(some),
        ),
        "decompress, one image per file": (
            lambda: [codec.decompress(one) for one in files],
            lambda: [codec.decode(latent) for latent in latents[: len(some)]],
            len(some),
        ),
        "compress, all in one file": (
            lambda: codec.compress_batch(images, QUALITY),
            lambda: codec.encode(images),
            len(images),
        ),
        "decompress, all in one file": (
            lambda: codec.decompress(file),
            lambda: codec.decode(latents),
            len(images),
        ),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (whole, graphs, count) in calls.items():
            times[name].append((seconds(whole) / count, seconds(graphs) / count))
    rows = []
    for name, measured in times.items():
        whole, graphs = (statistics.median(each) * 1e6 for each in zip(*measured, strict=True))
        rows.append((name, f"{whole:.0f}", f"{graphs:.0f}", f"{whole - graphs:.0f}"))
    print(format_table(("us per image", "total", "graphs", "coding"), rows))


def seconds(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
