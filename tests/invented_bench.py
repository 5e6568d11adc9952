"""Invented benchmark results, for tests of the code that shows them."""

from fmae_edge.evaluate.bench import BATCHES, TASKS, Bench, Speed
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.engine.graphs import PRECISIONS


def bench_of(bundle_id=None):
    """Return benchmark results with times that a test can distinguish."""
    speeds = [
        Speed(
            task, precision, threads, batch, 9, 100.0 + batch * threads, 200.0 + batch, 1e6 * batch / (100 + batch)
        )
        for task in TASKS
        for precision in PRECISIONS
        for threads in (1, 2)
        for batch in BATCHES
    ]
    machine = {"cpu": "an invented CPU", "cpus": 2, "system": "none"}
    load = {"int8": 10.0, "fp32": 20.0}
    bundle_id = bundle_id or read_bundle(DEFAULT_BUNDLE, only=()).manifest.bundle_id
    return Bench(bundle_id, machine, speeds, load, None, {"python": 30.0})
