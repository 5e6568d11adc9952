"""Measure the bytes per image under each prior, and the time of coding: `python benchmarks/priors.py`.

The priors are a table per latent, the trained network in float32, and the same network in integers, as in the
default bundle. The first table has the cross-entropy under each of them, and the coded bytes under the last. The
images are the test images; the prior of tables is counted on the training images.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fmae_edge.commands.console import format_table
from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.export.integer_prior import table_prior
from fmae_edge.model.checkpoint import load_checkpoint
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME
from fmae_edge.runtime.entropy.prior import read_prior
from fmae_edge.runtime.entropy.symbol_bits import SymbolBits
from fmae_edge.runtime.entropy.symbol_coder import clip_symbols, decode_symbols, encode_symbols

CHECKPOINT = Path(__file__).parent.parent / "checkpoints" / "fashion-mnist"
REPETITIONS = 100
MIDDLE = len(QUALITY_STEPS) // 2


def microseconds(call: Callable[[], object], repetitions: int) -> float:
    """Return the median time of a call in microseconds."""
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e6


def main() -> None:
    """Print both tables."""
    images = load_fashion_mnist(None)
    checkpoint = load_checkpoint(CHECKPOINT)
    assert checkpoint.prior is not None
    train, test = (
        encode_all(checkpoint.model, torch.from_numpy(each)).numpy() * np.float32(UNITS)
        for each in (images.train, images.test)
    )
    size = test.shape[1]
    table = read_prior(table_prior(train), size, QUALITY_STEPS, "tables")
    shipped = read_bundle(DEFAULT_BUNDLE, only=[PRIOR_NAME]).files[PRIOR_NAME]
    network = read_prior(shipped, size, QUALITY_STEPS, PRIOR_NAME)
    rows = []
    for quality, step in enumerate(QUALITY_STEPS):
        symbols = clip_symbols(np.rint(test / step))
        rounded = torch.from_numpy(symbols).float() * step
        with torch.inference_mode():
            floats = checkpoint.prior.bits(rounded, rounded, torch.full((len(rounded),), quality)).mean().item()
        coded = np.mean([len(payload) for payload in encode_symbols(network, symbols, quality)])
        costs = (
            SymbolBits(table, quality).count(symbols).mean(),
            floats,
            SymbolBits(network, quality).count(symbols).mean(),
        )
        rows.append((f"quality {quality + 1}", *(f"{bits / 8:.2f}" for bits in costs), f"{coded:.2f}"))
    print(format_table(("bytes per image", "tables", "network, float32", "network, integers", "coded"), rows))
    symbols = clip_symbols(np.rint(test / QUALITY_STEPS[MIDDLE]))
    payloads = encode_symbols(network, symbols, MIDDLE)
    times = []
    for count, repetitions in ((1, REPETITIONS), (len(symbols), 5)):
        some, files = symbols[:count], payloads[:count]
        encode = microseconds(lambda some=some: encode_symbols(network, some, MIDDLE), repetitions)
        decode = microseconds(lambda files=files: decode_symbols(network, files, size, MIDDLE), repetitions)
        times.append(
            (f"{count} images" if count > 1 else "one image", f"{encode / count:.0f}", f"{decode / count:.0f}")
        )
    print()
    print(format_table(("microseconds per image", "symbols to bytes", "bytes to symbols"), times))


if __name__ == "__main__":
    main()
