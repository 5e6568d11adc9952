"""Average the weights of a run and of the refined run that started from it.

Use: `python scripts/average_runs.py A B -o RUN`. A refined run (`fmae-edge train --from A --refine 1 -o B`) is
better with `--effort`, and a little worse without. The average of both keeps most of the first and loses little of
the second (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). The prior of A is fitted to the
averaged encoder, half on refined latents of every third training image. Both runs are of Fashion-MNIST, and RUN
can be exported.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.model.checkpoint import load_checkpoint, publish, save_prior, start_run
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.train.measurement import measure_model
from fmae_edge.train.prior_fit import fit_prior
from fmae_edge.train.refinement import refine_all

STRIDE = 3  # of the images whose latents are refined: the search takes milliseconds for each


def main() -> None:
    """Average, fit the prior, and write the run."""
    parser = argparse.ArgumentParser(description="Average the weights of a run and of its refined run.")
    parser.add_argument("base", type=Path, metavar="A")
    parser.add_argument("refined", type=Path, metavar="B")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN")
    options = parser.parse_args()
    base, refined = load_checkpoint(options.base), load_checkpoint(options.refined)
    recipe, model, prior = refined.recipe, refined.model, base.prior
    if prior is None or recipe.rate_distortion is None:
        parser.error("both runs need a loss with a rate")
    start_run(options.output, model.config, recipe)
    start = base.model.state_dict()
    model.load_state_dict({name: (start[name] + weight) / 2 for name, weight in model.state_dict().items()})
    data = load_fashion_mnist()
    images, test = torch.from_numpy(data.train), torch.from_numpy(data.test)
    latents = encode_all(model, images).clone()
    some, qualities = refine_all(
        model,
        prior,
        images[::STRIDE],
        recipe.rate_distortion,
        recipe.seed,
        lambda done, n: _say("search", done, n),
    )
    rows = torch.arange(len(images)) % len(some)
    prior = fit_prior(
        prior,
        latents,
        recipe.prior_fit,
        recipe.seed,
        lambda done, n: _say("fit", done, n),
        refined=(some[rows], qualities[rows]),
    )
    save_prior(options.output, prior)
    quality, _ = measure_model(model, test, torch.device("cpu"))
    measured = {f"test_{name}": value for name, value in asdict(quality).items()}
    publish(options.output, model, [*refined.metrics[:-1], {**refined.metrics[-1], **measured}])
    print(measured)


def _say(what: str, done: int, total: int) -> None:
    if done == total or done % 1000 == 0:
        print(f"{what}: {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
