"""Compare the graph of the gradient with the decoder: `python benchmarks/gradient.py [BUNDLE]`.

They run on one thread with the options of the codec. The figures are microseconds per image, medians of
interleaved rounds. `error_gradient` is the engine's call, which cuts a batch into parts and copies the results.
"""

import sys
from pathlib import Path

import numpy as np

from fmae_edge.commands.console import format_table
from fmae_edge.evaluate.bench import interleave
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME
from fmae_edge.runtime.engine.graphs import Graphs
from fmae_edge.runtime.engine.sessions import open_session
from fmae_edge.runtime.images import channels_first

BATCHES = (1, 4, 8, 16, 32, 64)
ROUNDS = 100


def main() -> None:
    """Measure and print one table."""
    bundle = read_bundle(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_BUNDLE)
    decoder = open_session(bundle.file(DECODER_NAME), DECODER_NAME, threads=1)
    gradient, no_arena = (
        open_session(bundle.gradient_graph()[0], GRADIENT_NAME, threads=1, arena=arena) for arena in (True, False)
    )
    graphs = Graphs(bundle, "fp32", threads=1)
    numbers = np.random.default_rng(0)
    names = (DECODER_NAME, GRADIENT_NAME, "the same, arena off", "error_gradient")
    variants = {}
    for batch in BATCHES:
        latents = numbers.standard_normal((batch, bundle.manifest.latent_size), dtype=np.float32)
        images = numbers.integers(0, 256, (batch, *bundle.manifest.image_shape), dtype=np.uint8)
        feed = {"latent": latents, "image": channels_first(images)}
        variants[names[0], batch] = lambda latents=latents: decoder.run(None, {"latent": latents})
        variants[names[1], batch] = lambda feed=feed: gradient.run(None, feed)
        variants[names[2], batch] = lambda feed=feed: no_arena.run(None, feed)
        variants[names[3], batch] = lambda given=(latents, images): graphs.error_gradient(*given)
    times = interleave(variants, ROUNDS)
    rows = [(name, *(f"{np.median(times[name, batch]) / batch * 1e6:.0f}" for batch in BATCHES)) for name in names]
    print(format_table(("us per image", *(f"batch {batch}" for batch in BATCHES)), rows))


if __name__ == "__main__":
    main()
