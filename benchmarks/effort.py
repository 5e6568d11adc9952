"""Measure what `--effort` costs and gains: `python benchmarks/effort.py`.

100 images share a file. For each quality and effort it prints the bytes per image, pooled PSNR, and the CPU time
of compressing an image on one thread. Then it prints, for each effort, the bytes against one pass at equal PSNR:
averaged over the logarithm from --low to --high dB, as `fmae-edge evaluate` compares codecs.

The images are the test images of Fashion-MNIST. --training takes as many of the last training images instead: the
levels of the search were chosen on them.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from fmae_edge import Codec
from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.evaluate.advantage import Point, bytes_at_levels
from fmae_edge.measure.quality import pooled_psnr

PER_FILE = 100


def main() -> None:
    """Measure and print both tables as Markdown."""
    parser = argparse.ArgumentParser(description="Measure what --effort costs and gains.")
    parser.add_argument("--bundle", default=None, help="default: the built-in one")
    parser.add_argument("--images", type=int, default=1000, help="a multiple of 100")
    parser.add_argument("--training", action="store_true", help="measure on training images")
    parser.add_argument("--effort", type=int, action="append", help="may be repeated (default: all)")
    parser.add_argument("--quality", type=int, action="append", help="may be repeated (default: all)")
    parser.add_argument("--low", type=float, default=22.6, help="dB")
    parser.add_argument("--high", type=float, default=23.4, help="dB")
    options = parser.parse_args()
    efforts, qualities = options.effort or list(range(10)), options.quality or list(range(1, 10))
    data = load_fashion_mnist()
    images = data.train[-options.images :] if options.training else data.test[: options.images]
    bundle = options.bundle if options.bundle is None or "/" not in options.bundle else Path(options.bundle)
    codec = Codec(bundle, threads=1)
    codec.compress_batch(images[:PER_FILE], 5, max(efforts))  # loads the graphs
    points: dict[int, list[Point]] = {}
    slowest: dict[int, float] = {}
    print("| quality | effort | bytes per image | PSNR, dB | CPU ms per image |\n| --- | --- | --- | --- | --- |")
    for quality in qualities:
        for effort in efforts:
            started = time.process_time()
            parts = [images[at : at + PER_FILE] for at in range(0, len(images), PER_FILE)]
            files = [codec.compress_batch(part, quality, effort) for part in parts]
            milliseconds = (time.process_time() - started) * 1e3 / len(images)
            decoded = np.concatenate([codec.decompress(file) for file in files])
            size, psnr = sum(map(len, files)) / len(images), pooled_psnr(images / 255, decoded / 255)
            points.setdefault(effort, []).append((size, psnr))
            slowest[effort] = max(slowest.get(effort, 0.0), milliseconds)
            print(f"| {quality} | {effort} | {size:.2f} | {psnr:.2f} | {milliseconds:.2f} |", flush=True)
    if 0 not in points:
        return
    levels = np.arange(options.low, options.high + 0.005, 0.01)
    one_pass = bytes_at_levels(points[0], levels)
    print(f"\n| effort | bytes against one pass, {options.low} to {options.high} dB | CPU ms per image, at most |")
    print("| --- | --- | --- |")
    for effort in efforts:
        both = np.isfinite(one_pass) & np.isfinite(more := bytes_at_levels(points[effort], levels))
        change = np.expm1(np.log(more[both] / one_pass[both]).mean()) if both.any() else np.nan
        reached = "" if both.all() else f" (up to {levels[both].max():.2f} dB)" if both.any() else " (not reached)"
        print(f"| {effort} | {100 * change:+.1f} %{reached} | {slowest[effort]:.2f} |")


if __name__ == "__main__":
    main()
