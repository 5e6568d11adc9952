"""Compare sizes of the model before training one: `python benchmarks/model_sizes.py`.

Models with random weights are exported, and the sizes and the speed of their graphs are printed next to those of
the default bundle. All run on one CPU in one process with interleaved calls, so compare the ratios. Needs the
development install and Fashion-MNIST (`make data`).

    python benchmarks/model_sizes.py                                  # candidates for a bundle with more latents
    python benchmarks/model_sizes.py 128:32,64,128 256:48,80,64       # latents and widths

All layers are in int8 except those that are faster in float32. An export may keep more layers in float32, if a
trained model loses too much quality in int8; then its int8 graphs are larger and slower.
"""

import argparse
import os
from collections.abc import Callable, Mapping

from fmae_edge.commands.console import format_table

CANDIDATES = ("192:48,96,64", "224:48,96,64", "256:48,80,64", "256:32,80,64", "256:32,64,128")
BATCHES = (1, 4, 16, 64)
GRAPHS = ("encoder.onnx", "decoder.onnx", "encoder.fp32.onnx", "decoder.fp32.onnx")
DEFAULT = "default"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Compare sizes of the model before training one.")
    parser.add_argument(
        "sizes", nargs="*", default=CANDIDATES, metavar="LATENTS:WIDTHS", help="such as 64:32,64,128"
    )
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="interleaved rounds (default 40)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # not the first CPU, which handles interrupts
    os.environ["OMP_NUM_THREADS"] = "1"
    # Imported after that, because they size their thread pools by the CPUs at the import
    import numpy as np

    from fmae_edge.evaluate.bench import interleave
    from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle

    models = {DEFAULT: read_bundle(DEFAULT_BUNDLE, only=GRAPHS).files}
    models |= {size: graphs_of(*parsed(size)) for size in args.sizes}
    calls = {
        (model, name, batch): call
        for model, graphs in models.items()
        for name in GRAPHS
        for batch, call in calls_of(graphs[name], name).items()
    }
    times = interleave(calls, args.rounds)
    print(table(models, {key: float(np.median(seconds)) / key[2] for key, seconds in times.items()}))


def parsed(size: str) -> tuple[int, tuple[int, ...]]:
    """Return latents and widths."""
    latents, _, widths = size.partition(":")
    return int(latents), tuple(map(int, widths.split(",")))


def graphs_of(latents: int, widths: tuple[int, ...]) -> Mapping[str, bytes]:
    """Return the graphs of a model of this size with random weights."""
    import torch

    from fmae_edge.data.fashion_mnist import load_fashion_mnist
    from fmae_edge.export.bundle_graphs import ExportOptions, build_graphs
    from fmae_edge.export.bundle_writer import latent_steps
    from fmae_edge.model.autoencoder import Autoencoder
    from fmae_edge.model.config import ModelConfig
    from fmae_edge.model.fast_pass import encode_all

    torch.manual_seed(0)
    model = Autoencoder(ModelConfig(latent_size=latents, widths=widths)).eval()
    images = torch.from_numpy(load_fashion_mnist().train[:128].copy())
    steps = torch.tensor(latent_steps(encode_all(model, images).numpy()))
    options = ExportOptions(calibration_images=32, int8_loss=float("inf"))
    return build_graphs(model, images, steps, options).graphs


def calls_of(graph: bytes, name: str) -> dict[int, Callable[[], object]]:
    """Return a call of a graph by batch, with random inputs."""
    import numpy as np

    from fmae_edge.runtime.engine.sessions import open_session

    session = open_session(graph, name, 1)
    (port,) = session.get_inputs()
    random, shape = np.random.default_rng(0), port.shape[1:]
    calls: dict[int, Callable[[], object]] = {}
    for batch in BATCHES:
        inputs = random.integers(0, 256, (batch, *shape))
        values = inputs.astype(np.uint8) if "uint8" in port.type else (inputs / 255).astype(np.float32)
        calls[batch] = lambda feed={port.name: values}: session.run(None, feed)
    return calls


def table(models: Mapping[str, Mapping[str, bytes]], per_image: Mapping[tuple[str, str, int], float]) -> str:
    """Return the table of sizes in MB, and of times per image as ratios at batch 1 and at the best batch."""

    def ratio(model: str, name: str) -> str:
        best = {each: min(per_image[each, name, batch] for batch in BATCHES) for each in (model, DEFAULT)}
        alone = per_image[model, name, 1] / per_image[DEFAULT, name, 1]
        return f"{alone:.2f} / {best[model] / best[DEFAULT]:.2f}"

    rows = [
        (
            model,
            *(f"{len(graphs[name]) / 1e6:.2f}" for name in GRAPHS),
            *(ratio(model, name) for name in ("encoder.onnx", "decoder.onnx")),
        )
        for model, graphs in models.items()
    ]
    columns = ("encoder MB", "decoder", "encoder.fp32", "decoder.fp32", "encode, ratio", "decode, ratio")
    return format_table(("latents:widths", *columns), rows)


if __name__ == "__main__":
    main()
