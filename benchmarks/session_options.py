"""Compare the options of onnxruntime on the shipped graphs: `python benchmarks/session_options.py`.

Each variant differs from the options of the codec in one option. The figures are microseconds per image, medians
of interleaved rounds. They are the reason for the options in `fmae_edge/runtime/engine/sessions.py`.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

from fmae_edge.commands.console import format_table
from fmae_edge.evaluate.bench import interleave
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle

BATCHES = (1, 4, 8, 16, 32, 64, 256)
ROUNDS = 20
LEVELS = ort.GraphOptimizationLevel


def main() -> None:
    """Measure and print one table per graph."""
    files = read_bundle(DEFAULT_BUNDLE).files
    cpus = len(os.sched_getaffinity(0))
    for name in ("encoder.onnx", "decoder.onnx", "encoder.fp32.onnx", "decoder.fp32.onnx"):
        sessions = {
            "as the codec, one thread": session(files[name]),
            "arena on": session(files[name], arena=True),
            "memory pattern off": session(files[name], pattern=False),
            "no optimisation": session(files[name], level=LEVELS.ORT_DISABLE_ALL),
            "basic optimisation": session(files[name], level=LEVELS.ORT_ENABLE_BASIC),
            f"{cpus} threads": session(files[name], threads=cpus),
            f"{cpus} threads, spinning": session(files[name], threads=cpus, spinning=True),
        }
        variants = {}
        for option, one in sessions.items():
            for batch in BATCHES:
                variants[option, batch] = caller(one, batch)
        with ThreadPoolExecutor(cpus) as pool:
            for batch in BATCHES[1:]:
                variants[f"{cpus} callers, one thread each", batch] = side_by_side(
                    pool, sessions["as the codec, one thread"], batch, cpus
                )
            times = interleave(variants, ROUNDS)
        options = [*sessions, f"{cpus} callers, one thread each"]
        rows = [
            (
                option,
                *(f"{np.median(times[option, b]) / b * 1e6:.0f}" if (option, b) in times else "" for b in BATCHES),
            )
            for option in options
        ]
        print(format_table((name, *(f"batch {batch}" for batch in BATCHES)), rows), flush=True)
        print()


def session(
    graph: bytes,
    threads: int = 1,
    arena: bool = False,
    pattern: bool = True,
    spinning: bool = False,
    level: ort.GraphOptimizationLevel = LEVELS.ORT_ENABLE_ALL,
) -> ort.InferenceSession:
    """Open `graph` with the options of the codec, changed by the arguments."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.enable_cpu_mem_arena, options.enable_mem_pattern = arena, pattern
    options.graph_optimization_level = level
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def inputs(one: ort.InferenceSession, batch: int) -> dict[str, np.ndarray]:
    """Return random images or latents for the input of the graph."""
    (port,) = one.get_inputs()
    numbers = np.random.default_rng(0)
    shape = (batch, *port.shape[1:])
    if port.type == "tensor(uint8)":
        return {port.name: numbers.integers(0, 256, shape, dtype=np.uint8)}
    return {port.name: numbers.random(shape, dtype=np.float32)}


def caller(one: ort.InferenceSession, batch: int):
    """Return a function that runs one batch."""
    feed = inputs(one, batch)
    return lambda: one.run(None, feed)


def side_by_side(pool: ThreadPoolExecutor, one: ort.InferenceSession, batch: int, parts: int):
    """Return a function that splits one batch between Python threads."""
    feed = inputs(one, batch)
    split = [dict(zip(feed, [part], strict=True)) for part in np.array_split(next(iter(feed.values())), parts)]
    return lambda: list(pool.map(lambda part: one.run(None, part), split))


if __name__ == "__main__":
    main()
