"""Measure the time of commands as complete processes, with the fast path and with Typer.

`python benchmarks/cold_start.py`, a minute. The fast path in fmae_edge/cli.py runs common calls without Typer. A
command runs as it is and with the fast path turned off, in turns; the table has medians. `info` and `doctor` have
no fast path, so both of their columns are with Typer.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes

RUN = "from fmae_edge.cli import main; main()"
RUN_WITH_TYPER = "import fmae_edge.cli as cli; cli.fast_path = lambda arguments: None; cli.main()"
COMMANDS = (
    ["--version"],
    ["compress", "img.png", "-o", "x.fmae", "--force"],
    ["decompress", "img.fmae", "-o", "x.png", "--force"],
    ["info"],
    ["doctor"],
)


def main() -> None:
    """Time the commands and print a table."""
    parser = argparse.ArgumentParser(description="Cold start of fmae-edge, with and without Typer.")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="runs of each command (default: 15)")
    args = parser.parse_args()
    programs = {"fast path": RUN, "Typer": RUN_WITH_TYPER}
    with tempfile.TemporaryDirectory() as folder:
        codec = Codec()
        image = codec.decode(np.zeros(codec.manifest.latent_size, np.float32))
        (Path(folder) / "img.png").write_bytes(png_bytes(image))
        (Path(folder) / "img.fmae").write_bytes(codec.compress(image))
        print("| command | fast path | Typer | saved |\n| --- | ---: | ---: | ---: |")
        for command in COMMANDS:
            times: dict[str, list[float]] = {name: [] for name in programs}
            for _ in range(args.rounds):
                for name, program in programs.items():
                    times[name].append(milliseconds([sys.executable, "-c", program, *command], folder))
            fast, typer = (statistics.median(times[name]) for name in programs)
            print(f"| {' '.join(command)} | {fast:.0f} ms | {typer:.0f} ms | {typer - fast:.0f} ms |", flush=True)


def milliseconds(call: list[str], folder: str) -> float:
    """Return how long a process takes."""
    began = time.perf_counter()
    subprocess.run(call, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
