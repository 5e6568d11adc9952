"""`train --from RUN --refine SHARE`: what a user types reaches the recipe, and contradictions are refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fmae_edge.commands.training_options import TrainingOptions
from fmae_edge.data.fashion_mnist import FashionMnist
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint, read_recipe, sha256_of_model, start_run
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import PriorFit, Recipe
from fmae_edge.train.loop import train as train_model
from fmae_edge.train.prior_fit import fit_prior


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch, images):
    """Images, a cache of its own, a short fit of the prior, and no comparison with other codecs."""
    monkeypatch.setattr("fmae_edge.commands.training_progress._compare_quickly", lambda *given: ([], None))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "fmae_edge.train.loop.fit_prior",
        lambda prior, latents, settings, *rest: fit_prior(prior, latents, replace(settings, steps=3), *rest),
    )
    np.save(tmp_path / "some.npy", images)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, images):
    """A folder with two runs of the same sizes: `rate`, and `plain` without a rate."""
    import torch

    folder, pixels = tmp_path_factory.mktemp("finished"), torch.from_numpy(images.copy())
    for name, rate in (("rate", 0.002), ("plain", None)):
        recipe = Recipe(1, 64, rate_distortion=rate, prior_fit=PriorFit(steps=1))
        start_run(folder / name, config := ModelConfig(latent_size=8, widths=(4, 8)), recipe)
        train_model(folder / name, Autoencoder(config), recipe, pixels[:64], pixels[64:90], torch.device("cpu"))
    return folder


def train(cli, *arguments):
    done = cli("train", "some.npy", "--device", "cpu", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_starts_with_the_model_and_the_loss_of_another_one(cli, tmp_path, finished):
    said = train(cli, "-o", "run", "--from", finished / "rate", "--refine", "0.5", "--epochs", "1")
    assert f"refined latents in the last 50%, from {finished / 'rate'}, " in said
    assert "refining the latents of 213 training images\nfitting the prior" in said
    recipe, run = read_recipe(tmp_path / "run"), load_checkpoint(tmp_path / "run")
    assert recipe.start == sha256_of_model(finished / "rate")
    assert (recipe.refine, recipe.rate_distortion) == (0.5, 0.002)
    assert (recipe.warm_up, recipe.rate_start) == (0.15, 0)
    assert (run.model.config.latent_size, run.model.config.widths) == (8, (4, 8))
    assert str(finished) not in (tmp_path / "run" / "recipe.json").read_text()
    assert "1 epochs done" in train(cli, "-o", "run", "--resume", "--refine", "0.5")
    done = cli("train", "-o", "run", "--resume", "--refine", "0.4")
    assert "--refine is 0.4, but the run was started with 0.5; leave it out" in done.stderr


def test_options_replace_the_loss_of_the_other_run(cli, tmp_path, finished):
    train(
        cli,
        "-o",
        "one",
        "--from",
        finished / "rate",
        "--rate-distortion",
        "0.004",
        "--latent",
        "8",
        "--epochs",
        "1",
    )
    assert read_recipe(tmp_path / "one").rate_distortion == 0.004
    for start, mse in (("rate", ["--mse"]), ("plain", [])):
        train(cli, "-o", start, "--from", finished / start, *mse, "--epochs", "1")
        assert read_recipe(tmp_path / start).rate_distortion is None
        assert load_checkpoint(tmp_path / start).prior is None


def test_own_images_are_refined_without_naming_a_rate_because_they_have_one_by_default():
    TrainingOptions(refine=0.5).check()


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (
            ("--from", "{}/rate", "--latent", "9"),
            2,
            "--latent is 9, but --from {}/rate has 8; leave out one of them",
        ),
        (
            ("--from", "{}/rate", "--widths", "4,9"),
            2,
            "--widths is (4, 9), but --from {}/rate has (4, 8); leave out",
        ),
        (("--from", "{}/none"), 1, "{}/none: no such run folder"),
        (("--from", "some.npy"), 1, "some.npy: no such run folder"),
        (
            ("--from", "{}/plain", "--rate-distortion", "0.1"),
            2,
            "--from {}/plain was trained without a rate, so it",
        ),
        (
            ("--from", "{}/plain", "--refine", "0.1"),
            2,
            "--from {}/plain was trained without a rate, so it has no prior",
        ),
        (
            ("--from", "{}/rate", "--size", "32x32", "--fit", "pad"),
            2,
            "the images are 32x32 gray, but the model of",
        ),
        (
            ("--from", "{}/rate", "--color", "rgb"),
            2,
            "the images are 28x28 RGB, but the model of --from {}/rate is",
        ),
        (("--resume", "--from", "{}/rate"), 2, "--from {}/rate is for a new run, but --resume continues run with"),
        (("--refine", "1.5"), 2, "--refine is 1.5; it must be from 0 to 1"),
        (("--refine", "0.5", "--mse"), 2, "--refine and --mse contradict each other; use only one of them"),
    ],
)
def test_contradictions_are_refused_before_a_run_is_made(cli, tmp_path, finished, options, code, sentence):
    done = cli("train", "some.npy", "-o", "run", *(option.format(finished) for option in options))
    assert done.returncode == code
    assert not (tmp_path / "run").exists()
    assert f"fmae-edge: {sentence.format(finished)}" in done.stderr


def test_fashion_mnist_has_no_rate_to_refine_with_unless_one_is_named(cli, tmp_path, images, monkeypatch):
    few = FashionMnist(images[:200].copy(), images[200:].copy(), Path("few"))
    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", lambda data: few)
    done = cli("train", "-o", "run", "--refine", "0.5", "--device", "cpu")
    assert done.returncode == 2
    assert "--refine is 0.5, but needs a loss with a rate: give --rate-distortion" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_whose_prior_is_not_fitted_yet_cannot_be_started_from(cli, tmp_path, finished):
    half = shutil.copytree(finished / "rate", tmp_path / "half")
    (half / "prior.safetensors").unlink()
    done = cli("train", "some.npy", "-o", "run", "--from", "half")
    assert done.returncode == 1
    assert done.stderr.endswith("half/prior.safetensors: missing; did `fmae-edge train` finish in this folder?\n")
