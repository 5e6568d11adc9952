"""Measure how fast the files of a folder are read for training, and how much memory that takes.

`python benchmarks/read_images.py` makes 100,000 PNG files of 32x32 in the folder for temporary files, which takes
a minute and 400 MB, and reads them twice: once into an empty cache, and once again. Memory is the largest sum of
the resident memory of all processes, in which pages that they share count several times. It is sampled from /proc,
so this runs on Linux only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

READ = """
import resource, sys, time
from pathlib import Path
from fmae_edge.data.image_data import ImageSettings, load_image_data

if __name__ == "__main__":
    started = time.perf_counter()
    images = load_image_data([Path(sys.argv[1])], ImageSettings())
    seconds = time.perf_counter() - started
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in usage)
    print(seconds, cpu, len(images.train), len(images.validation), len(images.held_out))
"""
_SIDE, _FILES_PER_FOLDER = 32, 1000


def main() -> None:
    """Make the files, read them twice, and print the table."""
    parser = argparse.ArgumentParser(description="Reading of many image files for training.")
    parser.add_argument("--files", type=int, default=100_000, metavar="N", help="PNGs of 32x32 (default: 100,000)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder / "images", args.files)
        script = folder / "read.py"
        script.write_text(READ)
        print("| run | seconds | files/s | CPU seconds | memory of all processes, MB |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for run in ("first", "second"):
            seconds, cpu, memory, counts = read(script, folder)
            print(f"| {run} | {seconds:.2f} | {args.files / seconds:,.0f} | {cpu:.1f} | {memory / 1e6:.0f} |")
        print(f"{counts[0]} images for training, {counts[1]} for validation, {counts[2]} held out")


def make_files(folder: Path, count: int) -> None:
    """Write PNG files of smooth RGB images, each different, to subfolders."""
    rng = np.random.default_rng(0)
    for index in range(count):
        inside = folder / f"{index // _FILES_PER_FOLDER:03d}"
        if index % _FILES_PER_FOLDER == 0:
            inside.mkdir(parents=True)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
        coarse.resize((_SIDE, _SIDE)).save(inside / f"{index:06d}.png")


def read(script: Path, folder: Path) -> tuple[float, float, int, list[int]]:
    """Read the files in another process; return seconds, CPU seconds, bytes of memory, and numbers of images."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, str(script), str(folder / "images")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        largest = 0
        while process.poll() is None:
            largest = max(largest, sum(map(resident, processes_below(process.pid))))
            time.sleep(0.05)
        assert process.stdout is not None
        seconds, cpu, *counts = process.stdout.read().split()
    return float(seconds), float(cpu), largest, [int(count) for count in counts]


def processes_below(pid: int) -> Iterator[int]:
    """Yield a process and those that it has started."""
    yield pid
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from processes_below(int(child))


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 if it has ended."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


if __name__ == "__main__":
    main()
