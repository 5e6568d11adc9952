"""Check that a codec leaks no memory: `python benchmarks/soak.py`, a quarter of an hour.

One process encodes and decodes a million images one by one, and writes and reads a part of them as .fmae files. It
records the resident memory, and fits a line by least squares after the first tenth of the images. The slope is in
bytes per image. Needs Linux's /proc. The exit code is 1 if the slope is a byte per image or more.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge import Codec

READINGS = 1000
MAX_BYTES_PER_IMAGE = 1.0


def main() -> None:
    """Run both loops and print the table."""
    parser = argparse.ArgumentParser(description="Check that a codec leaks no memory over a million images.")
    parser.add_argument("--images", type=int, default=1_000_000, metavar="N", help="images to encode and decode")
    parser.add_argument(
        "--files", type=int, default=200_000, metavar="N", help="images to write as .fmae files and read"
    )
    args = parser.parse_args()
    codec = Codec(threads=1)
    images = np.random.default_rng(0).integers(0, 256, (256, 28, 28), np.uint8)
    loops: dict[str, tuple[int, Callable[[NDArray[np.uint8]], object]]] = {
        "encode, decode": (args.images, lambda image: codec.decode(codec.encode(image))),
        "compress, decompress": (args.files, lambda image: codec.decompress(codec.compress(image))),
    }
    print("| one image at a time | images | seconds | memory at the end | slope |")
    print("| --- | ---: | ---: | ---: | ---: |")
    leaks = False
    for name, (count, work) in loops.items():
        started = time.perf_counter()
        at, memory = soak(work, images, count)
        kept = at >= count // 10
        slope = float(np.polyfit(at[kept], memory[kept], 1)[0])
        leaks |= slope >= MAX_BYTES_PER_IMAGE
        seconds = time.perf_counter() - started
        print(
            f"| {name} | {count:,} | {seconds:.0f} | {memory[-1] / 2**20:.1f} MB | {slope:.3f} bytes |", flush=True
        )
    sys.exit(int(leaks))


def soak(
    work: Callable[[NDArray[np.uint8]], object], images: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Call `work` for `count` images. Return the images done at each reading, and the memory in bytes."""
    every = max(1, count // READINGS)
    at, memory = [], []
    for done in range(count):
        if done % every == 0:
            at.append(done)
            memory.append(resident_bytes())
        work(images[done % len(images)])
    return np.array(at), np.array(memory)


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
