"""Measure the speed of a bundle on this machine: throughput, latency, loading, memory, cold start."""

import json
import math
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from PIL import Image

from fmae_edge.evaluate.records import chosen, count, number, read_results, require_same_bundle, text
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.cpu_model import cpu_name, dot_products
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.engine.graphs import PRECISIONS, Precision
from fmae_edge.runtime.engine.providers import Providers
from fmae_edge.runtime.engine.sessions import load_onnxruntime

Task = Literal["encode", "decode"]
TASKS: tuple[Task, ...] = get_args(Task)
BATCHES = (1, 4, 16, 64)
# Repetitions; the medians are reported
LOADS = 7
COLD_STARTS = 7
_IMAGES_FOR_MEMORY, _NUMBERS_FOR_MEMORY = 10_000, 1 << 28  # of the larger images, as many as 256 MB hold
_Name = TypeVar("_Name", bound=Hashable)


@dataclass(frozen=True)
class Speed:
    """The time of one task with `batch` images per call on `threads` threads; percentiles are per call."""

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
        """Return the median time per image in microseconds."""
        return self.p50_us / self.batch


@dataclass(frozen=True)
class Bench:
    """All measurements of one bundle; times in milliseconds, memory in MB (10^6 bytes) or None if unknown.

    `load_ms` is the time to make a codec of each precision and to encode and decode a first image, in a process
    that has already loaded onnxruntime. `memory_mb` is the peak resident memory of a new process with numpy and
    onnxruntime imported, then after one image through a codec, then after 10,000 images, or fewer large ones.
    `cold_start_ms` is the time of complete processes; the last one compresses an image with the bundle in the
    wheel.
    """

    bundle_id: str
    machine: dict[str, Any]
    speeds: list[Speed]
    load_ms: dict[str, float]
    memory_mb: dict[str, float] | None
    cold_start_ms: dict[str, float]

    def best(self, task: Task, precision: Precision, threads: int) -> Speed:
        """Return the speed at the batch size with the least time per image."""
        rows = [s for s in self.speeds if (s.task, s.precision, s.threads) == (task, precision, threads)]
        return min(rows, key=lambda speed: speed.us_per_image)

    def summary(self) -> list[tuple[Speed, Speed]]:
        """Return the speeds at batch 1 and at the best batch for each number of threads, task and precision."""
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
        """Read the result of `to_record`. Raises KeyError, TypeError, ValueError or AttributeError otherwise."""
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


def read_bench(content: bytes, where: str, bundle_id: str) -> Bench:
    """Read the output of `fmae-edge bench --json` for this bundle; `where` names the file in messages.

    Raises InputError if the content is incomplete or was measured with another bundle.
    """

    def build(record: Any) -> Bench:
        bench = Bench.from_record(record)
        bench.summary()  # raises KeyError or ValueError if a case is missing
        return bench

    bench = read_results(content, where, "output of `fmae-edge bench --json`", build)
    require_same_bundle(bench.bundle_id, bundle_id, where)
    return bench


def run_bench(
    bundle: Path,
    rounds: int,
    on_round: Callable[[int, int], None] = lambda done, total: None,
    providers: Providers = (),
) -> Bench:
    """Measure the bundle in folder `bundle`; the figures vary less with more `rounds`.

    The float32 graphs run on `providers`, the others on the CPU.
    """
    manifest = Codec(bundle).manifest
    shape = manifest.image_shape
    images = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *shape), dtype=np.uint8)
    calls: dict[tuple[Task, Precision, int, int], Callable[[], object]] = {}
    for precision in PRECISIONS:
        for threads in sorted({1, available_cpus()}):
            codec = _codec(bundle, precision, threads, providers)
            latents = codec.encode(images)
            for batch in BATCHES:
                calls["encode", precision, threads, batch] = partial(codec.encode, images[:batch])
                calls["decode", precision, threads, batch] = partial(codec.decode, latents[:batch])
    times = interleave(calls, rounds, on_round=on_round)
    return Bench(
        bundle_id=manifest.bundle_id,
        machine=describe_machine() | ({"float32 graphs": providers[0][0]} if providers else {}),
        speeds=[_speed(case, seconds) for case, seconds in times.items()],
        load_ms=_load_ms(bundle, images[0], providers),
        memory_mb=_memory_mb(bundle, min(_IMAGES_FOR_MEMORY, _NUMBERS_FOR_MEMORY // math.prod(shape))),
        cold_start_ms=_cold_start_ms(),
    )


def _speed(case: tuple[Task, Precision, int, int], seconds: np.ndarray) -> Speed:
    p50, p95 = np.percentile(seconds, (50, 95))
    return Speed(*case, len(seconds), float(p50) * 1e6, float(p95) * 1e6, case[3] / float(p50))


def _codec(bundle: Path, precision: Precision, threads: int | None, providers: Providers) -> Codec:
    return Codec(
        bundle, precision=precision, threads=threads, providers=providers if precision == "fp32" else None
    )


def _load_ms(bundle: Path, image: np.ndarray, providers: Providers) -> dict[str, float]:
    def load(precision: Precision) -> float:
        started = time.perf_counter()
        codec = _codec(bundle, precision, None, providers)
        codec.decode(codec.encode(image))
        return time.perf_counter() - started

    rounds = [{precision: load(precision) for precision in PRECISIONS} for _ in range(LOADS)]
    return {precision: statistics.median(round_[precision] for round_ in rounds) * 1e3 for precision in PRECISIONS}


# VmHWM, because `resource` also counts the memory of the parent process before exec
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
found[f"and {len(many):,} images, in and out"] = peak()
print(json.dumps(found))
"""


def _memory_mb(bundle: Path, images: int) -> dict[str, float] | None:
    if sys.platform != "linux":
        return None
    command = [sys.executable, "-c", _MEMORY, str(bundle), str(images)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    memory: dict[str, float] = json.loads(done.stdout)
    return memory


def _cold_start_ms() -> dict[str, float]:
    """Return the median time of each kind of process, measured once per round."""
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as folder:
        picture = Path(folder, "image.png")
        shape = read_bundle(DEFAULT_BUNDLE, only=()).manifest.image_shape
        Image.fromarray(np.zeros(shape, np.uint8)).save(picture)
        commands = {
            "python": ["-c", "pass"],
            "import fmae_edge": ["-c", "import fmae_edge"],
            "import numpy, onnxruntime": ["-c", "import numpy, onnxruntime"],
            "fmae-edge compress": ["-m", "fmae_edge", "compress", str(picture), "--force"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(COLD_STARTS):
            for name, arguments in commands.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) * 1e3 for name, seconds in times.items()}


def interleave(
    variants: Mapping[_Name, Callable[[], object]],
    rounds: int,
    slice_seconds: float = 0.02,
    on_round: Callable[[int, int], None] = lambda done, total: None,
) -> dict[_Name, np.ndarray]:
    """Time variants against each other on a machine that also does other work: the seconds of each call of each.

    In every round each variant runs for `slice_seconds`, in random order, so that other work on the machine slows
    all variants equally. Compare medians within one result, never across two results.
    """
    names = list(variants)
    times: dict[_Name, list[float]] = {name: [] for name in names}
    order = random.Random(0)
    for name in names:
        variants[name]()  # warm up
    for done in range(1, rounds + 1):
        order.shuffle(names)
        for name in names:
            call, taken = variants[name], times[name]
            end = time.perf_counter() + slice_seconds
            while True:
                started = time.perf_counter()
                call()
                stopped = time.perf_counter()
                taken.append(stopped - started)
                if stopped > end:
                    break
        on_round(done, rounds)
    return {name: np.array(seconds) for name, seconds in times.items()}


def describe_machine() -> dict[str, Any]:
    """Describe the machine: the CPU, the number of CPUs that this process may use, the system, the versions."""
    return {
        "cpu": f"{cpu_name()}, {', '.join(dot_products()) or 'no int8 dot product'}",
        "cpus": available_cpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": load_onnxruntime().__version__,  # its package may have another name
        "fmae-edge": version("fmae-edge"),
    }


def read_machine(record: Any) -> dict[str, Any]:
    """Read the result of `describe_machine`. Raises AttributeError or ValueError for anything else."""
    return {text(name): text(value) if isinstance(value, str) else count(value) for name, value in record.items()}
