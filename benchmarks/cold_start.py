"""Measure how long commands take as whole processes, with and without the fast path, or in another version too.

`python benchmarks/cold_start.py`, a minute. The fast path in fmae_edge/cli.py runs common calls without Typer. A
command runs as it is and with the fast path turned off, in turns; the table has medians. `info` and `doctor` have
no fast path, so both of their columns are with Typer.

`python benchmarks/cold_start.py --against FOLDER` runs them in turns with the checkout in FOLDER, for example one
that `git worktree add FOLDER COMMIT` made. The time is that of the CPU, which other work on the machine changes
less. Bytecode must be cached, so PYTHONDONTWRITEBYTECODE must not be set.
"""

import argparse
import os
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
IMPORT = "from fmae_edge import Codec; Codec()"
HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Time the commands and print a table."""
    parser = argparse.ArgumentParser(description="Cold start of fmae-edge.")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="runs of each command (default: 15)")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="checkout of the version to compare with")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        codec = Codec()
        image = codec.decode(np.zeros(codec.manifest.latent_size, np.float32))
        (Path(folder) / "img.png").write_bytes(png_bytes(image))
        (Path(folder) / "img.fmae").write_bytes(codec.compress(image))
        if args.against is None:
            with_and_without_fast_path(folder, args.rounds)
        else:
            against(args.against.resolve(), folder, args.rounds)


def with_and_without_fast_path(folder: str, rounds: int) -> None:
    """Print the times of whole processes with the fast path and with Typer."""
    programs = {"fast path": RUN, "Typer": RUN_WITH_TYPER}
    print("| command | fast path | Typer | saved |\n| --- | ---: | ---: | ---: |")
    for command in COMMANDS:
        times: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(rounds):
            for name, program in programs.items():
                times[name].append(milliseconds([sys.executable, "-c", program, *command], folder))
        fast, typer = (statistics.median(times[name]) for name in programs)
        print(f"| {' '.join(command)} | {fast:.0f} ms | {typer:.0f} ms | {typer - fast:.0f} ms |", flush=True)


def against(other: Path, folder: str, rounds: int) -> None:
    """Print the CPU times of whole processes of this version and another one."""
    print("| process | other | this | ratio of medians | of minima |\n| --- | ---: | ---: | ---: | ---: |")
    calls = {" ".join(command): [RUN, *command] for command in COMMANDS[:3]}
    for name, call in {IMPORT: [IMPORT], **calls}.items():
        times: dict[Path, list[float]] = {other: [], HERE: []}
        for turn in range(rounds + 1):  # the first one caches the bytecode
            for root in (other, HERE) if turn % 2 else (HERE, other):
                times[root].append(cpu_milliseconds([sys.executable, "-c", *call], folder, root))
        (old, new), (least_old, least_new) = (
            [of(each[1:]) for each in times.values()] for of in (statistics.median, min)
        )
        ratios = f"{new / old:.2f} | {least_new / least_old:.2f}"
        print(f"| {name} | {old:.0f} ms | {new:.0f} ms | {ratios} |", flush=True)


def milliseconds(call: list[str], folder: str) -> float:
    """Return how long a process takes."""
    began = time.perf_counter()
    subprocess.run(call, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def cpu_milliseconds(call: list[str], folder: str, root: Path) -> float:
    """Return the CPU time that a process takes with the package in `root`."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run(call, check=True, cwd=folder, stdout=subprocess.DEVNULL, env=environment)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime) * 1e3


if __name__ == "__main__":
    main()
