"""Plan a large job: time, cost and I/O from the rate that bulk_jobs.py has measured on a few cores.

    python benchmarks/bulk_jobs.py --engines local --output bulk.json
    python benchmarks/bulk_plan.py bulk.json --images 1e9 --cores 64 --dollars-per-core-hour 0.04

Shards are independent, so the plan assumes that the rate grows with the number of cores, as long as the storage
delivers the rate that the table names.
"""

import argparse
import json
from pathlib import Path
from typing import Any


def plan(record: dict[str, Any], engine: str, images: float, cores: int, dollars: float) -> list[tuple[str, str]]:
    """Return the rows of the table."""
    per_core = record["engines"][engine]["images_per_second"] / record["workers"]
    seconds = images / per_core / cores
    read, written = record["bytes_read_per_image"], record["bytes_written_per_image"]
    return [
        ("images per second and core, measured", f"{per_core:,.0f}"),
        ("core hours", f"{images / per_core / 3600:,.1f}"),
        (f"hours on {cores} cores", f"{seconds / 3600:,.2f}"),
        (f"dollars, at {dollars} per core hour", f"{images / per_core / 3600 * dollars:,.2f}"),
        ("read, in GB", f"{images * read / 1e9:,.0f}"),
        ("written, in GB", f"{images * written / 1e9:,.0f}"),
        ("storage must deliver, in MB/s", f"{images * read / seconds / 1e6:,.0f}"),
        ("and accept, in MB/s", f"{images * written / seconds / 1e6:,.0f}"),
        ("memory of all workers, in GB", f"{record['engines'][engine]['memory_mb'] * cores / 1000:,.1f}"),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("record", type=Path, nargs="+", help="files that bulk_jobs.py --output has written")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--dollars-per-core-hour", type=float, default=0.04)
    options = parser.parse_args()
    records = [json.loads(path.read_text()) for path in options.record]
    tables = [
        plan(record, options.engine, options.images, options.cores, options.dollars_per_core_hour)
        for record in records
    ]
    print(f"| {options.images:,.0f} images | {' | '.join(record['input'] for record in records)} |")
    print("| --- |" + " ---: |" * len(records))
    for cells in zip(*tables, strict=True):
        print(f"| {cells[0][0]} | {' | '.join(value for _, value in cells)} |")


if __name__ == "__main__":
    main()
