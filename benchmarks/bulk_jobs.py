"""Measure bulk jobs against a plain loop: images per second, memory of the workers, and every row against Codec.

    pip install '.[ray,spark]'
    python benchmarks/bulk_jobs.py --engines local ray spark --rounds 3

The plain loop does the same Codec calls over the same Parquet files in the same number of processes: it reads a
file, codes its images and writes a file, and does nothing about bad rows, resuming or dead workers. Rounds are
interleaved, and a ratio is that of the two times of one round, because machines are noisy. Each process starts
anew and imports everything; the cluster of Ray and the session of Spark are there before. Images are the training
images of Fashion-MNIST, repeated.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from processes import WORKER_NAMES, peak_memory

from fmae_edge import Codec
from fmae_edge.bulk.shards.job import compress_shards
from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.data.image_file import load_image, png_bytes

SIDE = 28
Images = NDArray[np.uint8]


def image_column(images: Images, encoded: bool) -> pa.Array:
    """Return images as PNG files or as levels."""
    if encoded:
        return pa.array([png_bytes(image) for image in images], pa.binary())
    return pa.FixedSizeListArray.from_arrays(pa.array(images.ravel()), SIDE * SIDE)


def make_shards(folder: Path, images: Images, shards: int, encoded: bool) -> None:
    """Write `images` to Parquet files, each with one row group."""
    folder.mkdir()
    for number, ids in enumerate(np.array_split(np.arange(len(images)), shards)):
        table = pa.table({"id": ids, "image": image_column(images[ids], encoded)})
        pq.write_table(table, folder / f"{number:05d}.parquet", row_group_size=len(ids))


def loop(paths: list[Path], out: Path) -> None:
    """Code some files, one after the other."""
    codec = Codec(threads=1)
    for path in paths:
        table = pq.read_table(path)
        column = table["image"].combine_chunks()
        if pa.types.is_binary(column.type):
            images = np.stack([load_image(each, "image", (SIDE, SIDE))[0] for each in column.to_pylist()])
        else:
            images = column.flatten().to_numpy().reshape(-1, SIDE, SIDE)
        payloads = codec.compress_batch(images, bare=True)
        pq.write_table(pa.table({"id": table["id"], "payload": pa.array(payloads, pa.binary())}), out / path.name)


def plain_loop(shards: Path, out: Path, workers: int) -> None:
    """Code all files in `workers` processes."""
    out.mkdir()
    paths, context = sorted(shards.iterdir()), multiprocessing.get_context("spawn")
    os.environ["OMP_NUM_THREADS"] = "1"
    processes = [context.Process(target=loop, args=(paths[first::workers], out)) for first in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            sys.exit("a process of the plain loop failed")


def job(engine: str, shards: Path, out: Path, workers: int) -> None:
    """Run a job, and end the program if a shard or a row failed."""
    for outcome in compress_shards(shards, out, engine=engine, workers=workers):  # type: ignore[arg-type]
        if outcome.status != "done" or outcome.failed_rows:
            sys.exit(f"{outcome.input}: {outcome.error or outcome.errors}")


def require_equal(out: Path, expected: list[bytes]) -> None:
    """End the program unless each row is there once, with the payload of Codec."""
    found: dict[int, bytes] = {}
    rows = 0
    for path in out.iterdir():
        table = pq.read_table(path, columns=["id", "payload"])
        found.update(zip(table["id"].to_pylist(), table["payload"].to_pylist(), strict=True))
        rows += len(table)
    if rows != len(expected) or found != dict(enumerate(expected)):
        sys.exit(f"{out}: a row is missing, is there twice, or has another payload than Codec returns")


def size_of(folder: Path) -> int:
    """Return the number of bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def start_engine(engine: str, workers: int) -> None:
    """Start a cluster of Ray or a session of Spark on this machine."""
    if engine == "ray":
        import ray

        ray.init(num_cpus=workers, log_to_driver=False, include_dashboard=False)
    elif engine == "spark":
        os.environ["PYSPARK_PYTHON"] = sys.executable
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master(f"local[{workers},4]").config("spark.ui.enabled", "false")
        session = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        session.sparkContext.parallelize(range(workers), workers).map(abs).collect()


def main() -> None:
    """Print a table, and with --output write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engines", nargs="+", choices=["local", "ray", "spark"], default=["local"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoded", action="store_true", help="PNG files instead of levels")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    source = load_fashion_mnist().train
    images = source[np.arange(options.rows) % len(source)]
    expected = Codec().compress_batch(images, bare=True)
    rates: dict[str, list[float]] = {name: [] for name in ("loop", *options.engines)}
    memory: dict[str, float] = dict.fromkeys(rates, 0.0)
    for engine in options.engines:
        start_engine(engine, options.workers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_shards(folder / "in", images, options.shards, options.encoded)
        read = size_of(folder / "in") / options.rows
        for number in range(options.rounds):
            for engine in rates:
                out = folder / f"{engine}-{number}"
                with peak_memory(WORKER_NAMES.get(engine, "spawn_main")) as peak:
                    began = time.monotonic()
                    if engine == "loop":
                        plain_loop(folder / "in", out, options.workers)
                    else:
                        job(engine, folder / "in", out, options.workers)
                    rates[engine].append(options.rows / (time.monotonic() - began))
                    memory[engine] = max(memory[engine], peak())
                require_equal(out, expected)
        written = size_of(out) / options.rows
    record = {"rows": options.rows, "shards": options.shards, "workers": options.workers, "engines": {}}
    record |= {"input": "png" if options.encoded else "levels"}
    record |= {"bytes_read_per_image": read, "bytes_written_per_image": written}
    print(f"{options.rows} rows in {options.shards} shards, {options.workers} workers, all equal to Codec")
    for engine, values in rates.items():
        ratio = statistics.median(own / plain for own, plain in zip(values, rates["loop"], strict=True))
        rate = statistics.median(values)
        record["engines"][engine] = {"images_per_second": rate, "of_loop": ratio, "memory_mb": memory[engine]}
        print(f"{engine:6} {rate:8,.0f} images/s  {ratio:6.1%} of the loop  {memory[engine]:5.0f} MB per worker")
    if options.output:
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
