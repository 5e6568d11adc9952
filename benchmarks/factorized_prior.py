"""Measure a learned codec from the literature on the same images: `python benchmarks/factorized_prior.py`.

It trains CompressAI's FactorizedPrior, the baseline of Balle et al., "Variational image compression with a scale
hyperprior", ICLR 2018, on the training images of Fashion-MNIST. On all test images it measures the bytes that
CompressAI's own `compress` writes and the pixels that its own `decompress` returns.

The architecture is the paper's, with a width for 28x28: one channel in and out, and images padded with black to
32x32, so that four halvings leave 2x2 positions of 64 channels. The loss counts only the 28x28 pixels. CompressAI
pins an older numpy, so it needs a separate environment, with this project installed in it too:

    python -m venv compressai && compressai/bin/pip install compressai torch==2.13.0 torchvision==0.28.0
    compressai/bin/pip install --no-deps -e .
    compressai/bin/python benchmarks/factorized_prior.py --json factorized_prior.json

Bytes are those of the strings, without the header of CompressAI's files. "cross-entropy" is that under the model's
own probabilities. The strings are longer, because the coder pads each of them to words of 4 bytes.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.measure.quality import Quality, measure_quality

SIDE, PAD = 28, 2
CHANNELS, LATENT_CHANNELS = 64, 64
BATCH, STEPS, PEAK_LEARNING_RATE = 128, 4690, 2e-3
LAMBDAS = (2e-4, 5e-4, 1.2e-3, 3e-3)
MEASURED_AT_ONCE = 500


@dataclass(frozen=True)
class Point:
    """The results of a model for one lambda on the test images: bytes per image, and quality of uint8 pixels."""

    rate_lambda: float
    images: int
    bytes_per_image: float
    model_bytes_per_image: float
    quality: Quality
    training_seconds: float


def main() -> None:
    """Train, measure and print the table."""
    args = parse_arguments()
    data = load_fashion_mnist(args.data)
    train_images, test_images = torch.from_numpy(data.train), torch.from_numpy(data.test)
    points = []
    for rate_lambda in args.lambdas:
        started = time.perf_counter()
        model = train(make_model(), train_images, rate_lambda, args.steps)
        points.append(measure(model, test_images, rate_lambda, time.perf_counter() - started))
    print(markdown(points))
    if args.json:
        content = {"steps": args.steps, "batch": BATCH, "points": [asdict(point) for point in points]}
        args.json.write_text(json.dumps(content, indent=2) + "\n")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="CompressAI's FactorizedPrior on Fashion-MNIST.")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder with the Fashion-MNIST files")
    parser.add_argument(
        "--steps", type=int, default=STEPS, metavar="N", help=f"training steps of batch {BATCH} (default {STEPS})"
    )
    parser.add_argument(
        "--lambdas", type=float, nargs="+", default=LAMBDAS, metavar="L", help="train one model each"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return parser.parse_args()


def make_model() -> Any:
    """Return the untrained model for images of one channel, with the same weights in every call."""
    # Imported after the images are loaded: loading them imports torchvision, which CompressAI needs, in a way that
    # also works with a CPU build of torch
    from compressai.models import FactorizedPrior
    from compressai.models.utils import conv, deconv

    torch.manual_seed(0)
    model = FactorizedPrior(CHANNELS, LATENT_CHANNELS)
    model.g_a[0] = conv(1, CHANNELS)
    model.g_s[-1] = deconv(CHANNELS, 1)
    return model.to(memory_format=torch.channels_last)  # a seventh faster on a CPU


def train(model: Any, images: Tensor, rate_lambda: float, steps: int) -> Any:
    """Minimise bits per pixel + lambda * squared error, in levels 0 to 255. Return the model, ready to code."""
    weights = [parameter for name, parameter in model.named_parameters() if not name.endswith(".quantiles")]
    optimiser = torch.optim.Adam(weights)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_LEARNING_RATE, total_steps=steps)
    model.train()
    for step, batch in zip(range(steps), batches(images), strict=False):
        pixels = padded(batch)
        output = model(pixels)
        bits = -torch.log2(output["likelihoods"]["y"]).sum() / batch.numel()
        error = functional.mse_loss(cropped(output["x_hat"]), cropped(pixels)) * 255**2
        optimiser.zero_grad()
        (bits + rate_lambda * error).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        if step % 500 == 0 or step == steps - 1:
            size = bits.item() * SIDE**2 / 8
            psnr = -10 * math.log10(error.item() / 255**2)
            print(f"lambda {rate_lambda:g}, step {step}: {size:.1f} bytes, {psnr:.2f} dB", flush=True)
    # The quantiles are the ends of the coder's tables. Searching them here saves a loss of their own in training
    model.update(force=True, update_quantiles=True)
    return model.eval()


def measure(model: Any, images: Tensor, rate_lambda: float, training_seconds: float) -> Point:
    """Compress and decompress uint8 images (N, 28, 28), and return the measurements."""
    coded, model_bits, decoded = 0, 0.0, []
    with torch.inference_mode():
        for batch in images.split(MEASURED_AT_ONCE):
            pixels = padded(batch)
            written = model.compress(pixels)
            coded += sum(map(len, written["strings"][0]))
            model_bits -= float(torch.log2(model(pixels)["likelihoods"]["y"]).sum())
            decoded.append(cropped(model.decompress(**written)["x_hat"]).squeeze(1))
    levels = torch.cat(decoded).mul(255).round().numpy().astype(np.uint8)
    return Point(
        rate_lambda=rate_lambda,
        images=len(images),
        bytes_per_image=coded / len(images),
        model_bytes_per_image=model_bits / 8 / len(images),
        quality=measure_quality(images.numpy() / np.float32(255), levels / np.float32(255)),
        training_seconds=training_seconds,
    )


def batches(images: Tensor) -> Iterator[Tensor]:
    """Yield batches of shuffled images forever, in the same order in every run."""
    generator = torch.Generator().manual_seed(0)
    while True:
        order = torch.randperm(len(images), generator=generator)
        for rows in order.split(BATCH)[: len(images) // BATCH]:
            yield images[rows]


def padded(images: Tensor) -> Tensor:
    """Return uint8 images (N, 28, 28) as (N, 1, 32, 32) in [0, 1], padded with black."""
    pixels = functional.pad(images.unsqueeze(1).float() / 255, [PAD] * 4)
    return pixels.contiguous(memory_format=torch.channels_last)


def cropped(pixels: Tensor) -> Tensor:
    """Return the (N, 1, 28, 28) pixels inside the padding."""
    return pixels[..., PAD:-PAD, PAD:-PAD]


def markdown(points: list[Point]) -> str:
    """Return the table."""
    rows = [
        f"| {point.rate_lambda:g} | {point.bytes_per_image:.2f} | {point.model_bytes_per_image:.2f} | "
        f"{point.quality.psnr_pooled:.2f} dB | {point.quality.ssim:.3f} | {point.training_seconds:.0f} s |"
        for point in points
    ]
    header = "| lambda | bytes per image | cross-entropy | PSNR, pooled | SSIM | training |"
    return "\n".join([header, "| ---: | ---: | ---: | ---: | ---: | ---: |", *rows])


if __name__ == "__main__":
    main()
