"""Compare JavaScript with Python on files that Python writes: `python benchmarks/javascript.py`.

The test images of Fashion-MNIST share a file. For each engine it prints how many symbols and pixels differ from
Python's, and the time per image in Node on one thread. It fails if a symbol differs, a pixel by more than one
level, or more than 0.1 % of the pixels. It needs Node, and `npm ci` in js/.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from fmae_edge import Codec
from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.runtime.bundle.built_in import built_in_folder

SCRIPT = Path(__file__).parents[1] / "js/benchmarks/decode_file.js"
MOST_PIXELS = 1e-3  # the share that may differ by one level


def main() -> None:
    """Measure and print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Compare JavaScript with Python on files that Python writes.")
    parser.add_argument("--bundle", default="default", help="the name of a built-in bundle")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--quality", type=int, action="append", help="may be repeated (default: 5)")
    parser.add_argument("--engine", action="append", help="may be repeated (default: onnxruntime and own)")
    options = parser.parse_args()
    images = load_fashion_mnist().test[: options.images]
    folder = built_in_folder(options.bundle)
    failed = False
    print("| quality | engine | graphs | symbols that differ | pixels that differ | most | ms: symbols | all |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        for quality in options.quality or [5]:
            file, out = Path(scratch, "test.fmae"), Path(scratch, "decoded")
            file.write_bytes(Codec(options.bundle, threads=1).compress_batch(images, quality))
            for precision in ("int8", "fp32"):
                codec = Codec(options.bundle, precision=precision, threads=1)
                symbols, pixels = codec.symbols(file.read_bytes()), codec.decompress_batch(file.read_bytes())
                for engine in options.engine or ["onnxruntime", "own"]:
                    command = ["node", SCRIPT, folder, file, out, engine, precision]
                    times = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                    decoded = np.fromfile(f"{out}.pixels", np.uint8).reshape(pixels.shape)
                    difference = np.abs(decoded.astype(np.int16) - pixels)
                    others = int((np.fromfile(f"{out}.symbols", np.int32) != symbols.ravel()).sum())
                    share, most = float(np.mean(difference > 0)), int(difference.max())
                    failed |= others > 0 or share > MOST_PIXELS or most > 1
                    figures = f"{others} of {symbols.size} | {share:.4%} | {most}"
                    ms = f"{times['symbolsMs']:.3f} | {times['decompressMs']:.3f}"
                    print(f"| {quality} | {engine} | {precision} | {figures} | {ms} |", flush=True)
    if failed:
        raise SystemExit("JavaScript differs from Python by more than is allowed")


if __name__ == "__main__":
    main()
