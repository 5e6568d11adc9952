"""Measure what a call of a codec adds to onnxruntime: `Codec.encode` and `decode` of one image, and bare sessions.

`python benchmarks/codec_calls.py` takes half a minute. A bare session runs the same graph on the same array. Calls
are timed in short turns, on one thread.
"""

import argparse
import statistics
from functools import partial

import numpy as np
from numpy.random import default_rng

from fmae_edge import Codec
from fmae_edge.evaluate.bench import interleave
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.engine.sessions import open_session


def main() -> None:
    """Time the calls and print a table."""
    parser = argparse.ArgumentParser(description="Cost of a call of a codec over that of onnxruntime.")
    parser.add_argument("--rounds", type=int, default=200, metavar="N", help="turns of each call (default: 200)")
    args = parser.parse_args()
    codec, files = Codec(threads=1), read_bundle(DEFAULT_BUNDLE).files
    latents = default_rng(0).normal(0, 1, (1, codec.manifest.latent_size)).astype(np.float32)
    images = codec.decode(latents)
    calls = {}
    for task, values, feed in (
        ("encode", images, {"image": images[:, None]}),
        ("decode", latents, {"latent": latents}),
    ):
        session = open_session(files[f"{task}r.onnx"], task, 1)
        calls[f"{task}, session"] = partial(session.run, None, feed)
        calls[f"{task}, batch of one"] = partial(getattr(codec, task), values)
        calls[f"{task}, one without a batch"] = partial(getattr(codec, task), values[0])
    times = interleave(calls, args.rounds)
    medians = {name: statistics.median(taken) * 1e6 for name, taken in times.items()}
    print("| | us | over the session |\n| --- | ---: | ---: |")
    for name, median in medians.items():
        over = median - medians[f"{name.split(',')[0]}, session"]
        print(f"| {name} | {median:.1f} | {over:.1f} |")


if __name__ == "__main__":
    main()
