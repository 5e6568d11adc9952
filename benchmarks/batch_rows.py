"""Measure the CPU time per row of `Compress` for several numbers of rows in a batch.

python benchmarks/batch_rows.py
"""

import statistics
import time

from fmae_edge.bulk.rows import Compress
from fmae_edge.data.fashion_mnist import load_fashion_mnist

ROWS, ROUNDS = 4096, 3


def main() -> None:
    """Print a table."""
    images, compress = load_fashion_mnist().train[:ROWS], Compress(threads=1)
    compress({"image": images[:64]})  # loads the graphs
    print("| rows per batch | us of CPU time per row |\n| ---: | ---: |")
    for size in (16, 64, 256, 1024, ROWS):
        times = []
        for _ in range(ROUNDS):
            began = time.process_time()
            for at in range(0, ROWS, size):
                compress({"image": images[at : at + size]})
            times.append(time.process_time() - began)
        print(f"| {size:,} | {statistics.median(times) / ROWS * 1e6:.0f} |")


if __name__ == "__main__":
    main()
