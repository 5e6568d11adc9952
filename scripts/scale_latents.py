"""Make the quantiser steps of a trained run coarser or finer, without training it again.

Use: `python scripts/scale_latents.py RUN --factor 1.5 -o SCALED`. All runs have the same nine quantiser steps.
This script divides the latents by the factor in the last layer of the encoder, and multiplies them by it in the
first layer of the decoder. The model stays the same function, but the steps are that much coarser for it: each
quality takes fewer bytes and has more error. The prior is fitted to the new latents. RUN is one of Fashion-MNIST,
and SCALED can be exported.
"""

import argparse
from pathlib import Path

import torch

from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint, publish, save_prior, start_run
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.train.prior_fit import fit_prior


def main() -> None:
    """Scale the latents, fit the prior, and write the run."""
    parser = argparse.ArgumentParser(description="Scale the latents of a run, and fit its prior to them.")
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--factor", type=float, required=True, help="by which the quantiser steps become coarser")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="SCALED")
    options = parser.parse_args()
    source = load_checkpoint(options.run)
    model, prior = source.model, source.prior
    if prior is None:
        parser.error("the run needs a loss with a rate")
    scale_latents(model, options.factor)
    start_run(options.output, model.config, source.recipe)
    latents = encode_all(model, torch.from_numpy(load_fashion_mnist().train)).clone()
    settings, seed = source.recipe.prior_fit, source.recipe.seed
    save_prior(options.output, fit_prior(prior, latents, settings, seed, _say))
    publish(options.output, model, source.metrics)


@torch.no_grad()
def scale_latents(model: Autoencoder, factor: float) -> None:
    """Divide the latents of a model by a factor in its encoder, and multiply them by it in its decoder."""
    for numbers in model.encoder.dense.parameters():
        numbers.div_(factor)
    model.decoder.dense.weight.mul_(factor)


def _say(done: int, total: int) -> None:
    if done % 1000 == 0 or done == total:
        print(f"fit: {done} of {total} steps", flush=True)


if __name__ == "__main__":
    main()
