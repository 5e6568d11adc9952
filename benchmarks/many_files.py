"""Measure `fmae-edge compress` with many files against the least work that it has to do.

`python benchmarks/many_files.py` takes a minute. The floor is one process that reads the same PNGs with Pillow,
encodes them in one batch, and writes nothing. Both are timed as complete processes, in turns. The table has
medians. The files are in the folder for temporary files, so TMPDIR chooses the disk.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import default_rng

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes

FLOOR = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from fmae_edge import Codec
images = np.stack([np.asarray(Image.open(path)) for path in sorted(Path(sys.argv[1]).iterdir())])
Codec().encode(images)
"""


def main() -> None:
    """Time the floor and the command, and print the table."""
    parser = argparse.ArgumentParser(description="Many files in one call of fmae-edge compress.")
    parser.add_argument("--files", type=int, default=10_000, metavar="N", help="PNGs of 28x28 (default: 10,000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="repetitions of each (default: 5)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = folder / "in"
        inputs.mkdir()
        # Images decoded from random latents compress like images of clothing, and need no data set
        latents = default_rng(0).normal(0, 1, (args.files, Codec().manifest.latent_size)).astype(np.float32)
        for index, image in enumerate(Codec().decode(latents)):
            (inputs / f"{index:05d}.png").write_bytes(png_bytes(image))
        command = Path(sys.executable).with_name("fmae-edge")
        times: dict[str, list[float]] = {"Pillow, one batch": [], ".npy": [], ".fmae": []}
        for turn in range(args.rounds):
            times["Pillow, one batch"].append(seconds([sys.executable, "-c", FLOOR, str(inputs)]))
            for suffix in (".npy", ".fmae"):
                output = folder / f"out{turn}" / f"{{stem}}{suffix}"
                call = [str(command), "compress", "-r", str(inputs), "-o", str(output)]
                times[suffix].append(seconds(call))
    floor = statistics.median(times["Pillow, one batch"])
    print(f"| {args.files:,} files | seconds | times the floor |\n| --- | ---: | ---: |")
    for what, taken in times.items():
        print(f"| {what} | {statistics.median(taken):.2f} | {statistics.median(taken) / floor:.2f} |")


def seconds(call: Sequence[str]) -> float:
    """Return the seconds that a process takes."""
    began = time.perf_counter()
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
