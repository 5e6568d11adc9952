"""Compare the speed of the trained model in several engines: `python benchmarks/engines.py`.

PyTorch, onnxruntime, OpenVINO, ncnn and LiteRT run against the graphs of the bundle in the wheel, each with its
own best settings. All run in one process with interleaved calls, so compare the ratios. Needs the development
install, Fashion-MNIST (`make data`), whose training images calibrate OpenVINO's int8 graphs, and for the other
engines

    pip install -r benchmarks/requirements.txt

Engines whose packages are missing are skipped. torch.compile also needs a C++ compiler.

    python benchmarks/engines.py                    # one thread, on one CPU
    python benchmarks/engines.py --threads all --skip "LiteRT float32" --json engines.json

Inputs and outputs are float32, except for "fmae-edge int8", whose images are uint8 on both sides, as in files. The
other engines are spared that conversion. Before the timing, the outputs of each engine are checked against
PyTorch, and the command fails if they differ.

The last table compares the graphs of the bundle with the arithmetic floor: their multiply-adds per second, and
those of a large matrix product in the same precision on the same threads.
"""

import argparse
import gzip
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fmae_edge.commands.console import format_table
from fmae_edge.runtime.engine.cpus import available_cpus

if TYPE_CHECKING:
    from engine_calls import Calls, Engine, Material
    from engine_floor import Floor

ROOT = Path(__file__).parent.parent
PACKAGES = ("torch", "onnxruntime", "openvino", "nncf", "ncnn", "pnnx", "ai-edge-litert", "litert-torch")
OURS = ("fmae-edge float32", "fmae-edge int8")  # never skipped, because the ratios and the floor need them
BASELINE = OURS[1]
Medians = Mapping[tuple[str, str, int], float]  # seconds per call by engine, task and batch


def main() -> None:
    """Measure and print the tables."""
    args = parse_arguments()
    threads = set_threads(args.threads)
    # Imported after set_threads, because they size their thread pools by the CPUs at the import
    import numpy as np
    import torch
    from engine_calls import TASKS
    from engine_floor import floors, peak_calls, peaks, work_of
    from engine_list import ENGINES

    from fmae_edge.evaluate.bench import interleave

    if unknown := set(args.skip) - {engine.name for engine in ENGINES}:
        names = ", ".join(engine.name for engine in ENGINES)
        raise SystemExit(f"unknown engine: {', '.join(sorted(unknown))}; expected one of {names}")
    material = load_material()
    with torch.inference_mode():
        calls: dict[tuple[str, str, int], Callable[[], object]] = {}
        for engine in ENGINES:
            if engine.name not in args.skip or engine.name in OURS:
                of_engine = checked_calls(engine, material, threads)
                calls |= {(engine.name, *key): call for key, call in of_engine.items()}
        products = peak_calls(threads)
        times = interleave(calls | products, args.rounds, on_round=show_round)
    medians = {key: float(np.median(times[key])) for key in calls}
    peak = peaks({key: float(np.median(times[key])) for key in products})
    found = floors(work_of(material.model), peak, medians)
    print(f"\n{threads} thread{'s' * (threads > 1)}, medians of all calls in {args.rounds} interleaved rounds")
    for task in TASKS:
        print(f"\n{speed_table(task, medians)}")
    print(f"\n{floor_table(peak, found)}")
    if args.json:
        write_json(args.json, threads, args.rounds, medians, peak, found)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare the speed of the trained model in several engines.")
    parser.add_argument("--threads", choices=("1", "all"), default="1", help="1 (the default) runs on one CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="interleaved rounds (default 40)")
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="ENGINE",
        help="skip the engine with this name in the table",
    )
    return parser.parse_args()


def set_threads(threads: str) -> int:
    """Pin the process to the CPUs that it may use, and return their number."""
    if threads == "1" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # not the first CPU, which handles interrupts
    count = 1 if threads == "1" else available_cpus()
    os.environ["OMP_NUM_THREADS"] = str(count)
    return count


def load_material() -> "Material":
    """Load the model, and the test images in tests/data for the engines to encode."""
    import numpy as np
    from engine_calls import BATCHES, make_material

    from fmae_edge.export.plain_graph import plain_decoder_graph, plain_encoder_graph
    from fmae_edge.model.checkpoint import load_checkpoint

    model = load_checkpoint(ROOT / "checkpoints" / "fashion-mnist").model.eval().requires_grad_(False)
    content = gzip.decompress((ROOT / "tests/data/test-images-256.idx3-ubyte.gz").read_bytes())
    levels = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28)[: max(BATCHES)]
    plain = {"encode": plain_encoder_graph(model), "decode": plain_decoder_graph(model)}
    return make_material(model, levels, {task: graph.SerializeToString() for task, graph in plain.items()})


def checked_calls(engine: "Engine", material: "Material", threads: int) -> "Calls":
    """Return the calls of `engine`, none if it cannot run here. Print how it differs from PyTorch, or why."""
    from engine_calls import UnavailableError, check

    missing = [package for package in engine.packages if importlib.util.find_spec(package) is None]
    if missing:
        print(f"{engine.name}: skipped, {' and '.join(missing)} not installed", flush=True)
        return {}
    try:
        calls = engine.build(material, threads)
    except UnavailableError as error:
        print(f"{engine.name}: skipped, {error}", flush=True)
        return {}
    unit = "mean squared error of pixels against" if engine.int8 else "of the range, the largest difference from"
    print(f"{engine.name}: {check(engine, calls, material):.1e} {unit} PyTorch", flush=True)
    return calls


def show_round(done: int, total: int) -> None:
    """Show the progress of the measurement on a terminal."""
    if sys.stderr.isatty():
        print(f"\rround {done} of {total}", end="\n" if done == total else "", file=sys.stderr)


def speed_table(task: str, medians: Medians) -> str:
    """Return the table of one task."""
    alone = {name: taken for (name, of, batch), taken in medians.items() if of == task and batch == 1}
    best = {
        name: min(
            (taken / batch, batch)
            for (of, in_task, batch), taken in medians.items()
            if (of, in_task) == (name, task)
        )
        for name in alone
    }
    rows = [
        (
            name,
            f"{alone[name] * 1e6:.0f}",
            f"{alone[name] / alone[BASELINE]:.2f} x",
            f"{best[name][0] * 1e6:.0f}",
            str(best[name][1]),
            f"{best[name][0] / best[BASELINE][0]:.2f} x",
        )
        for name in alone
    ]
    ratio = f"{BASELINE} = 1"
    return format_table((task, "batch 1, us", ratio, "best, us per image", "at batch", ratio), rows)


def floor_table(peak: Mapping[str, float], found: Sequence["Floor"]) -> str:
    """Return the table of multiply-adds per second."""
    rows = [
        (f"matrix product, {precision}, the peak", "", "", "", f"{rate / 1e9:.1f}", "100%")
        for precision, rate in peak.items()
    ]
    rows += [
        (
            f"{one.engine}, {one.task}",
            str(one.batch),
            one.counting,
            f"{one.multiply_adds / 1e6:.2f}",
            f"{one.rate:.1f}",
            f"{one.share:.0%}",
        )
        for one in found
    ]
    header = ("the arithmetic floor", "batch", "multiply-adds", "M per image", "G/s", "of the peak")
    return format_table(header, rows)


def write_json(
    path: Path, threads: int, rounds: int, medians: Medians, peak: Mapping[str, float], found: Sequence["Floor"]
) -> None:
    """Write all figures and the versions of the engines."""
    installed = {
        package.metadata["Name"].lower(): package.version for package in importlib.metadata.distributions()
    }
    content = {
        "threads": threads,
        "rounds": rounds,
        "versions": {name: installed[name] for name in PACKAGES if name in installed},
        "medians": [
            {"engine": engine, "task": task, "batch": batch, "us_per_image": taken / batch * 1e6}
            for (engine, task, batch), taken in medians.items()
        ],
        "peak_multiply_adds_per_second": peak,
        "floor": [asdict(one) for one in found],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
