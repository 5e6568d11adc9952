"""Measure the speed of a bundle on this machine: throughput, latency, loading, memory, cold start."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from fmae_edge.evaluate.machine import describe_machine, read_machine
from fmae_edge.evaluate.records import chosen, count, number, text
from fmae_edge.evaluate.timing import interleave
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.engine.graphs import PRECISIONS, Precision

Task = Literal["encode", "decode"]
TASKS: tuple[Task, ...] = get_args(Task)
BATCHES = (1, 4, 16, 64)
_LOADS = 7
_COLD_STARTS = 7
_IMAGES_FOR_MEMORY = 10_000


@dataclass(frozen=True)
class Speed:
    """One task in calls of `batch` images on `threads` threads: microseconds per call, images/s at the median."""

    task: Task
    precision: Precision
    threads: int
    batch: int
    calls: int
    p50_us: float
    p95_us: float
    images_per_second: float

    @property
    def us_per_image(self) -> float:
        """Median microseconds per image."""
        return self.p50_us / self.batch


@dataclass(frozen=True)
class Bench:
    """All measurements of one bundle; times in milliseconds, memory in MB (10^6 bytes), None where unknown.

    `load_ms` is the time from making a codec of each precision until it has encoded and decoded its first image,
    in a process that has already loaded onnxruntime. `memory_mb` is the resident memory of a fresh process with
    numpy and onnxruntime imported, then with a codec that has run one image, then at its peak over 10,000 images.
    `cold_start_ms` are whole processes, the last of which compresses an image with the bundle in the wheel.
    """

    bundle_id: str
    machine: dict[str, Any]
    speeds: list[Speed]
    load_ms: dict[str, float]
    memory_mb: dict[str, float] | None
    cold_start_ms: dict[str, float]

    def best(self, task: Task, precision: Precision, threads: int) -> Speed:
        """Return the batch size that takes the least time per image."""
        rows = [s for s in self.speeds if (s.task, s.precision, s.threads) == (task, precision, threads)]
        return min(rows, key=lambda speed: speed.us_per_image)

    def summary(self) -> list[tuple[Speed, Speed]]:
        """Return the speed at batch 1 and at the best batch for each number of threads, task and precision."""
        singles = {(s.threads, s.task, s.precision): s for s in self.speeds if s.batch == 1}
        return [
            (singles[threads, task, precision], self.best(task, precision, threads))
            for threads in sorted({speed.threads for speed in self.speeds})
            for task in TASKS
            for precision in PRECISIONS
        ]

    def to_record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Any) -> "Bench":
        """Return what `to_record` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        speeds = [
            Speed(
                task=chosen(row["task"], TASKS),
                precision=chosen(row["precision"], PRECISIONS),
                threads=count(row["threads"]),
                batch=count(row["batch"]),
                calls=count(row["calls"]),
                p50_us=number(row["p50_us"], above=0),
                p95_us=number(row["p95_us"], above=0),
                images_per_second=number(row["images_per_second"], above=0),
            )
            for row in record["speeds"]
        ]
        memory = record["memory_mb"]
        return cls(
            bundle_id=text(record["bundle_id"]),
            machine=read_machine(record["machine"]),
            speeds=speeds,
            load_ms=_numbers(record["load_ms"]),
            memory_mb=None if memory is None else _numbers(memory),
            cold_start_ms=_numbers(record["cold_start_ms"]),
        )


def _numbers(record: Any) -> dict[str, float]:
    return {text(name): number(value) for name, value in record.items()}


def run_bench(bundle: Path, rounds: int, on_round: Callable[[int, int], None] = lambda done, total: None) -> Bench:
    """Measure the bundle in folder `bundle`; more `rounds` give steadier figures."""
    manifest = Codec(bundle).manifest
    shape = manifest.image_shape
    images = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *shape), dtype=np.uint8)
    calls: dict[tuple[Task, Precision, int, int], Callable[[], object]] = {}
    for precision in PRECISIONS:
        for threads in sorted({1, available_cpus()}):
            codec = Codec(bundle, precision=precision, threads=threads)
            latents = codec.encode(images)
            for batch in BATCHES:
                calls["encode", precision, threads, batch] = partial(codec.encode, images[:batch])
                calls["decode", precision, threads, batch] = partial(codec.decode, latents[:batch])
    times = interleave(calls, rounds, on_round=on_round)
    return Bench(
        bundle_id=manifest.bundle_id,
        machine=describe_machine(),
        speeds=[_speed(case, seconds) for case, seconds in times.items()],
        load_ms=_load_ms(bundle, images[0]),
        memory_mb=_memory_mb(bundle),
        cold_start_ms=_cold_start_ms(),
    )


def _speed(case: tuple[Task, Precision, int, int], seconds: np.ndarray) -> Speed:
    p50, p95 = np.percentile(seconds, (50, 95))
    return Speed(*case, len(seconds), float(p50) * 1e6, float(p95) * 1e6, case[3] / float(p50))


def _load_ms(bundle: Path, image: np.ndarray) -> dict[str, float]:
    def load(precision: Precision) -> float:
        started = time.perf_counter()
        codec = Codec(bundle, precision=precision)
        codec.decode(codec.encode(image))
        return time.perf_counter() - started

    rounds = [{precision: load(precision) for precision in PRECISIONS} for _ in range(_LOADS)]
    return {precision: statistics.median(round_[precision] for round_ in rounds) * 1e3 for precision in PRECISIONS}


# VmHWM is read because `resource` also counts the memory of the parent before exec
_MEMORY = """
import json, sys, numpy, onnxruntime
def peak():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6
found = {"numpy and onnxruntime": peak()}
from fmae_edge import Codec
codec = Codec(sys.argv[1])
image = numpy.zeros((1, *codec.manifest.image_shape), numpy.uint8)
codec.decode(codec.encode(image))
found["and a codec, one image"] = peak()
many = numpy.zeros((int(sys.argv[2]), *image.shape[1:]), numpy.uint8)
codec.decode(codec.encode(many))
found["and 10,000 images, in and out"] = peak()
print(json.dumps(found))
"""


def _memory_mb(bundle: Path) -> dict[str, float] | None:
    if sys.platform != "linux":
        return None
    command = [sys.executable, "-c", _MEMORY, str(bundle), str(_IMAGES_FOR_MEMORY)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _cold_start_ms() -> dict[str, float]:
    """Time whole processes, one of each kind per round."""
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as folder:
        picture = Path(folder, "image.png")
        shape = read_bundle(DEFAULT_BUNDLE, only=()).manifest.image_shape
        Image.fromarray(np.zeros(shape, np.uint8)).save(picture)
        compress = "import sys; from fmae_edge.cli import main; sys.argv[0] = 'fmae-edge'; main()"
        commands = {
            "python": ["-c", "pass"],
            "import fmae_edge": ["-c", "import fmae_edge"],
            "import numpy, onnxruntime": ["-c", "import numpy, onnxruntime"],
            "fmae-edge compress": ["-c", compress, "compress", str(picture), "--force"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(_COLD_STARTS):
            for name, arguments in commands.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) * 1e3 for name, seconds in times.items()}
