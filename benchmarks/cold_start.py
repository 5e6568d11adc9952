"""Measure the time of commands as complete processes, with the fast path and with Typer.

`python benchmarks/cold_start.py`, a minute. The fast path in fmae_edge/cli.py runs common calls without Typer. A
command runs as it is and with the fast path turned off, in turns; the table has medians. `info` and `doctor` have
no fast path, so both of their columns are with Typer.
"""

import argparse
import resource
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
        print("| command | fast path | Typer | CPU, fast path | CPU, Typer |\n| --- | ---: | ---: | ---: | ---: |")
        for command in COMMANDS:
            runs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
            for _ in range(args.rounds):
                for name, program in programs.items():
                    runs[name].append(milliseconds([sys.executable, "-c", program, *command], folder))
            columns = [statistics.median(run[kind] for run in runs[name]) for kind in (0, 1) for name in programs]
            print(f"| {' '.join(command)} | {' | '.join(f'{median:.0f} ms' for median in columns)} |", flush=True)


def milliseconds(call: list[str], folder: str) -> tuple[float, float]:
    """Return how long a process takes, and how much CPU time it uses, which other processes disturb less."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(call, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return took * 1e3, used * 1e3


if __name__ == "__main__":
    main()
