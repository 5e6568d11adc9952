"""A run that starts with the weights of another one needs it only once, and is resumed like any other run."""

import pytest
import torch

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import (
    MODEL,
    PRIOR,
    RunError,
    load_checkpoint,
    read_recipe,
    resume_run,
    sha256_of_model,
    start_run,
)
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import ImageSet, PriorFit, Recipe
from fmae_edge.train.loop import train

CPU = torch.device("cpu")
TINY = ModelConfig(latent_size=8, widths=(4, 8))
FIRST = Recipe(2, batch_size=32, lr=0.01, rate_distortion=0.003, prior_fit=PriorFit(steps=5))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, images):
    """A run of a tiny model, without refined latents."""
    run = tmp_path_factory.mktemp("runs") / "first"
    pixels = torch.from_numpy(images.copy())
    start_run(run, TINY, FIRST)
    torch.manual_seed(0)
    train(run, Autoencoder(TINY), FIRST, pixels[:100], pixels[100:120], CPU)
    return run


def from_first(run, first_run, images, recipe, stop_at=None):
    """Train from the weights of `first_run`, as long as it is needed: later calls continue without it."""

    def on_step(step):
        if step.done == stop_at:
            raise KeyboardInterrupt

    pixels = torch.from_numpy(images.copy())
    torch.manual_seed(99 if stop_at else 5)  # a continued run must not depend on it
    model, prior = Autoencoder(TINY), None
    if not run.exists():
        start_run(run, TINY, recipe)
        model, prior = load_checkpoint(first_run).model, load_checkpoint(first_run).prior
    return train(run, model, recipe, pixels[:100], pixels[100:150], CPU, on_step=on_step, prior=prior)


def test_a_resumed_run_from_other_weights_ends_like_an_uninterrupted_one(tmp_path, images, first_run):
    recipe = Recipe(
        3,
        batch_size=32,
        lr=0.01,
        rate_distortion=0.003,
        rate_start=0.0,
        refine=0.5,
        start=sha256_of_model(first_run),
        validation_images=ImageSet.of(images[100:150]),
        prior_fit=PriorFit(steps=5),
    )
    from_first(tmp_path / "whole", first_run, images, recipe)
    for stop_at in (2, 7, 11):  # in each of the three epochs, of 4 steps
        with pytest.raises(KeyboardInterrupt):
            from_first(tmp_path / "parts", first_run, images, recipe, stop_at)
        assert resume_run(tmp_path / "parts", {}) == (TINY, recipe)
        assert (tmp_path / "parts" / MODEL).exists() == (stop_at > 4)  # nothing to export before an epoch is done
    from_first(tmp_path / "parts", None, images, recipe)
    for name in (PRIOR, MODEL):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_run_begins_with_the_weights_and_the_prior_it_starts_from(tmp_path, images, first_run):
    recipe = Recipe(
        1, 32, 1e-12, rate_distortion=0.003, rate_start=0.0, start="0" * 64, prior_fit=PriorFit(steps=1)
    )
    from_first(tmp_path / "run", first_run, images, recipe)
    before, after = load_checkpoint(first_run), load_checkpoint(tmp_path / "run")
    for old, new in ((before.model, after.model), (before.prior, after.prior)):
        for name, weight in old.state_dict().items():
            torch.testing.assert_close(new.state_dict()[name], weight, rtol=1e-6, atol=1e-7)


def test_a_run_that_never_had_its_starting_weights_does_not_continue_with_random_ones(tmp_path):
    start_run(tmp_path / "run", TINY, Recipe(start="0" * 64))
    with pytest.raises(
        RunError, match="stopped before it had copied the weights that it starts from; delete it, and"
    ):
        resume_run(tmp_path / "run", {})
    start_run(tmp_path / "other", TINY, Recipe())
    assert resume_run(tmp_path / "other", {})[1] == read_recipe(tmp_path / "other")
