"""Measure the CPU time of commands as complete processes: with and without the fast path, or in another version.

`python benchmarks/cold_start.py`, a minute. The fast path in fmae_edge/cli.py runs common calls without Typer. A
command runs with it and with Typer, in turns. `compress` is also compared with the import of numpy and onnxruntime
in the environment that the command sets: one thread for OpenBLAS, and no telemetry.

`python benchmarks/cold_start.py --against FOLDER` runs commands in turns with the checkout in FOLDER, for example
one that `git worktree add FOLDER COMMIT` made.

CPU time is measured, because other processes change it less than elapsed time. Bytecode must be cached, so
PYTHONDONTWRITEBYTECODE must not be set.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes

RUN = ["-m", "fmae_edge"]
RUN_WITH_TYPER = ["-c", "import fmae_edge.cli as cli; cli.fast_path = lambda arguments: None; cli.run()"]
CODEC = ["-c", "from fmae_edge import Codec; Codec()"]
IMPORTS = ["-c", "import numpy, onnxruntime"]
COMPRESS = ["compress", "img.png", "--force"]
COMMANDS = (
    ["--version"],
    ["compress", "img.png", "-o", "x.fmae", "--force"],
    ["decompress", "img.fmae", "-o", "x.png", "--force"],
    ["doctor"],
)
HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Time the processes and print a table."""
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
            variants = {"Typer": (HERE, RUN_WITH_TYPER), "fast path": (HERE, RUN)}
            calls = COMMANDS[:3]
            compress = {"imports": (HERE, IMPORTS), "compress": (HERE, [*RUN, *COMPRESS])}
            compare(compress, COMPRESS, [], folder, args.rounds)
        else:
            other = args.against.resolve()
            compare({"other": (other, CODEC), "this": (HERE, CODEC)}, CODEC, [], folder, args.rounds)
            variants = {"other": (other, RUN), "this": (HERE, RUN)}
            calls = COMMANDS
        for command in calls:
            compare(variants, command, command, folder, args.rounds)


def compare(
    variants: dict[str, tuple[Path, list[str]]], label: list[str], arguments: list[str], folder: str, rounds: int
) -> None:
    """Print the CPU times of two variants (checkout, program) of a process, and their ratio."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name in list(variants)[:: 1 if turn % 2 else -1]:
            root, program = variants[name]
            times[name].append(cpu_milliseconds([sys.executable, *program, *arguments], folder, root))
    # The first turn caches the bytecode
    (name_1, median_1, least_1), (name_2, median_2, least_2) = (
        (name, statistics.median(found[1:]), min(found[1:])) for name, found in times.items()
    )
    medians = f"{name_1} {median_1:.0f} ms, {name_2} {median_2:.0f} ms"
    ratios = f"ratio of medians {median_2 / median_1:.2f}, of minima {least_2 / least_1:.2f}"
    print(f"{' '.join(label)}: {medians}, {ratios}", flush=True)


def cpu_milliseconds(call: list[str], folder: str, root: Path) -> float:
    """Return the CPU time that a process uses with the package in `root`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(root)}
    environment = {**os.environ, **own}
    subprocess.run(call, check=True, cwd=folder, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


if __name__ == "__main__":
    main()
