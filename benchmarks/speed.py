"""How fast the codec is next to PyTorch, on one thread: `python benchmarks/speed.py`.

Every variant runs once a round, so that whatever else the machine does hits all alike; the table shows
medians over the rounds, and ratios of those medians. Images are the test images in tests/data.
"""

import gzip
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fmae_edge import Codec
from fmae_edge.cli.table import format_table
from fmae_edge.runtime.codec import PRECISIONS
from fmae_edge.train.checkpoint import load_checkpoint

ROOT = Path(__file__).parent.parent
ROUNDS = 40
IMAGES_A_ROUND = 256
BATCHES = (1, 64)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    content = gzip.decompress((ROOT / "tests/data/test-images-256.idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)[:IMAGES_A_ROUND]
    model = load_checkpoint(ROOT / "checkpoints" / "fashion-mnist").model
    latents = Codec(precision="fp32").encode(images)

    def torch_encode(batch: np.ndarray) -> None:
        model.encoder(torch.from_numpy(batch).unsqueeze(1).float() / 255).numpy()

    def torch_decode(batch: np.ndarray) -> None:
        model.decoder(torch.from_numpy(batch)).mul(255).round().to(torch.uint8).numpy()

    variants: dict[tuple[str, str], Callable[[np.ndarray], object]] = {
        ("encode", "PyTorch eager"): torch_encode,
        ("decode", "PyTorch eager"): torch_decode,
    }
    for precision in PRECISIONS:
        codec = Codec(precision=precision, threads=1)
        variants["encode", f"Codec, {precision}"] = codec.encode
        variants["decode", f"Codec, {precision}"] = codec.decode
    cases = [(task, name, batch) for task, name in variants for batch in BATCHES]
    times: dict[tuple[str, str, int], list[float]] = {case: [] for case in cases}
    with torch.inference_mode():
        for round_ in range(ROUNDS + 1):  # the first warms up
            for task, name, batch in cases:
                values = images if task == "encode" else latents
                parts = [values[at : at + batch].copy() for at in range(0, len(values), batch)]
                started = time.perf_counter()
                for part in parts:
                    variants[task, name](part)
                if round_:
                    times[task, name, batch].append((time.perf_counter() - started) / len(values))
            if sys.stderr.isatty():
                print(f"\rround {round_} of {ROUNDS}", end="\n" if round_ == ROUNDS else "", file=sys.stderr)
    medians = {case: statistics.median(values) for case, values in times.items()}
    rows = [
        (
            f"{task}, batch {batch}, {name}",
            f"{medians[task, name, batch] * 1e6:.0f} us",
            f"{medians[task, 'PyTorch eager', batch] / medians[task, name, batch]:.2f} x",
        )
        for task, name, batch in sorted(cases)
    ]
    print(format_table(("one thread, uint8 images in and out", "per image", "faster than PyTorch"), rows))


if __name__ == "__main__":
    main()
