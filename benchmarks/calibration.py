"""Compare the ways to find int8 ranges, on held-out training images: `python benchmarks/calibration.py`.

Needs Fashion-MNIST (`make data`) and the checkpoint in checkpoints/. The test images are not used, because this
table decides the defaults of `fmae-edge export`.
"""

import dataclasses
from itertools import product
from pathlib import Path

import numpy as np
import torch

from fmae_edge.commands.console import format_table
from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.export.bundle_graphs import ExportOptions, build_graphs
from fmae_edge.export.bundle_writer import latent_steps
from fmae_edge.export.quantise import CALIBRATION_METHODS
from fmae_edge.measure.quality import pooled_psnr
from fmae_edge.model.checkpoint import load_checkpoint
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.engine.sessions import open_session

ROOT = Path(__file__).parent.parent
HELD_OUT = 5000
BATCH = 50
CALIBRATION_IMAGES = (128, 512, 2048)


def main() -> None:
    """Measure and print the table."""
    model = load_checkpoint(ROOT / "checkpoints" / "fashion-mnist").model
    train = torch.from_numpy(load_fashion_mnist(None).train)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
    held_out, rest = train[order[:HELD_OUT]], train[order[HELD_OUT:]]
    steps = torch.tensor(latent_steps(encode_all(model, rest).numpy()))
    originals = held_out.unsqueeze(1)
    reals = originals.numpy() / np.float32(255)
    with torch.inference_mode():
        decoded = torch.cat([model(batch.float() / 255) for batch in originals.split(BATCH)])
    reference = pooled_psnr(reals, decoded.numpy())
    print(f"PyTorch on {HELD_OUT} held-out training images: {reference:.3f} dB, pooled")
    rows = []
    for method, images in product(CALIBRATION_METHODS, CALIBRATION_IMAGES):
        options = dataclasses.replace(ExportOptions(), calibration=method, calibration_images=images)
        graphs = build_graphs(model, rest, steps, options).graphs
        x = originals.numpy()
        for name, port in (("encoder.onnx", "image"), ("decoder.onnx", "latent")):
            session = open_session(graphs[name], name, available_cpus())
            x = np.concatenate([session.run(None, {port: part})[0] for part in np.split(x, len(x) // BATCH)])
        rows.append((method, str(images), f"{reference - pooled_psnr(reals, x / np.float32(255)):.4f} dB"))
    print(format_table(("calibration", "images", "lost in int8"), rows))


if __name__ == "__main__":
    main()
