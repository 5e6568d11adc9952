"""Measure the time and quality of each layer in int8 and in float32: `python benchmarks/layer_precision.py`.

Each row is the shipped graph with one layer in the other precision, on one CPU, in interleaved calls. PSNR is
measured on training images that are not used for calibration. Needs Fashion-MNIST (`make data`). This table
decides which layers `fmae-edge export` always keeps in float32.
"""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fmae_edge.commands.console import format_table
from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.evaluate.bench import interleave
from fmae_edge.export.bundle_graphs import ExportOptions
from fmae_edge.export.bundle_writer import latent_steps
from fmae_edge.export.int8_network import Int8Network
from fmae_edge.export.int8_target import int8_target
from fmae_edge.export.network import network_of
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.model.checkpoint import load_checkpoint
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.runtime.engine.sessions import open_session

ROOT = Path(__file__).parent.parent
BATCHES = (1, 4, 16, 64)
ROUNDS = 40


@torch.inference_mode()
def main() -> None:
    """Measure and print the table."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    model = load_checkpoint(ROOT / "checkpoints" / "fashion-mnist").model
    train = torch.from_numpy(load_fashion_mnist(None).train)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
    options = ExportOptions()
    network = network_of(model)
    network = replace(network, decoder=rewrite_decoder(network.decoder))
    calibration, held_out = train[order[: options.calibration_images]], train[order[-1000:]]
    steps = torch.tensor(latent_steps(encode_all(model, train).numpy()))
    int8 = Int8Network(network, calibration, steps, int8_target(options.int8_target), options.calibration)
    measure = int8.measure_on(held_out)
    variants = {"as shipped": network.faster_in_float}
    for name in int8.layer_names:
        variants[f"{name} in {'int8' if name in network.faster_in_float else 'float32'}"] = (
            network.faster_in_float ^ {name}
        )
    calls = {}
    for variant, stay_float in variants.items():
        for part, graph in int8.graphs(stay_float).items():
            session = open_session(graph.SerializeToString(), part, threads=1)
            (port,) = session.get_inputs()
            for batch in BATCHES:
                numbers = np.random.default_rng(0).integers(0, 100, (batch, *port.shape[1:]))
                feed = {port.name: numbers.astype(np.uint8 if port.type == "tensor(uint8)" else np.float32)}
                calls[variant, part, batch] = partial(session.run, None, feed)
    medians = {key: np.median(times) for key, times in interleave(calls, ROUNDS).items()}
    rows = []
    for variant, stay_float in variants.items():
        part = "decoder.onnx" if variant.startswith("decoder") else "encoder.onnx"
        parts = ("encoder.onnx", "decoder.onnx") if variant == "as shipped" else (part,)
        for part in parts:
            times = [f"{medians[variant, part, batch] / batch * 1e6:.0f} us" for batch in BATCHES]
            lost = measure.reference_psnr - measure.psnr(stay_float)
            rows.append((f"{part.partition('.')[0]}: {variant}", *times, f"{lost:.4f} dB"))
    header = ("time per image", *(f"batch {batch}" for batch in BATCHES), "lost, both halves")
    print(format_table(header, sorted(rows)))


if __name__ == "__main__":
    main()
