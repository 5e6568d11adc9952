"""Kill a worker in the middle of a bulk job, many times, and check that each row is there once.

    pip install '.[ray,spark]'
    python benchmarks/bulk_kills.py --engine local --trials 20

Engines are local, ray and spark, which convert shards, and ray-data, which is `compress_dataset` on Ray Data. A
trial starts a job, waits until it writes a result and then for a random time, and kills a worker with SIGKILL. The
payloads must be those of Codec. A trial whose job has ended before is repeated.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from bulk_jobs import make_shards, start_engine
from processes import WORKER_NAMES, kill_one

from fmae_edge import Codec
from fmae_edge.bulk.shards.job import compress_shards
from fmae_edge.data.fashion_mnist import load_fashion_mnist

ROWS, SHARDS, WORKERS = 12_000, 12, 2
LONGEST_WAIT = 2.0  # seconds


def run(engine: str, shards: Path, out: Path, rows: list[tuple[int, bytes]]) -> None:
    """Run a job and append the id and payload of each row to `rows`."""
    if engine == "ray-data":
        import ray

        from fmae_edge.bulk.ray import compress_dataset

        ds = compress_dataset(ray.data.read_parquet(str(shards)), workers=WORKERS, cpus=0.5)
        rows += [(row["id"], row["payload"]) for row in ds.take_all()]
        return
    job = compress_shards(shards, out, engine=engine, workers=WORKERS)  # type: ignore[arg-type]
    failed = [outcome.error for outcome in job if outcome.status != "done"]
    if failed:
        print(failed)
    for path in out.iterdir():
        table: Any = pq.read_table(path)
        rows += zip(table["id"].to_pylist(), table["payload"].to_pylist(), strict=True)


def trial(engine: str, shards: Path, out: Path) -> list[tuple[int, bytes]] | None:
    """Return the rows of a job whose worker was killed, None if it had ended before."""
    rows: list[tuple[int, bytes]] = []
    thread = threading.Thread(target=run, args=(engine, shards, out, rows))
    thread.start()
    while engine != "ray-data" and thread.is_alive() and not list(out.glob("*")) + list(out.glob(".*")):
        time.sleep(0.01)
    time.sleep(random.uniform(0, LONGEST_WAIT))
    killed = kill_one(WORKER_NAMES[engine], thread.is_alive)
    thread.join()
    return rows if killed else None


def main() -> None:
    """Run the trials; the exit code is 1 if rows were lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", choices=list(WORKER_NAMES), default="local")
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()
    images = load_fashion_mnist().train[:ROWS]
    expected = list(enumerate(Codec().compress_batch(images, bare=True)))
    start_engine(options.engine.removesuffix("-data"), WORKERS)
    done = bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_shards(folder / "in", images, SHARDS, encoded=False)
        while done < options.trials:
            (rows_folder := folder / str(random.random())).mkdir()
            rows = trial(options.engine, folder / "in", rows_folder)
            if rows is None:
                continue
            done += 1
            is_right = sorted(rows) == expected
            bad += not is_right
            print(f"{done}: {len(rows)} rows, {'as they should be' if is_right else 'WRONG'}", flush=True)
    print(f"{options.engine}: {done} workers killed, {bad} jobs with rows lost, doubled or wrong")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
