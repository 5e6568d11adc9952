"""Latents that a search has improved cost less, and training on them makes them cost even less."""

import time

import pytest
import torch

from fmae_edge.model.autoencoder import Autoencoder, to_pixels
from fmae_edge.model.checkpoint import load_checkpoint, sha256_of_model, start_run
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS, PriorFit, Recipe
from fmae_edge.train.loop import train
from fmae_edge.train.prior_fit import fit_prior
from fmae_edge.train.refinement import refine_all, refine_latents, refined_costs

TINY = ModelConfig(latent_size=8, widths=(4, 8))
CPU = torch.device("cpu")
WEIGHT = 0.001


@pytest.fixture
def small(small_run):
    """A trained model for gray images, and its prior."""
    checkpoint = load_checkpoint(small_run)
    return checkpoint.model, checkpoint.prior


@pytest.fixture(scope="module")
def random_rgb():
    """A random model for RGB images whose latents matter, and a random prior."""
    torch.manual_seed(0)
    model = Autoencoder(ModelConfig(10, 13, 3, 8, (4, 8)))
    with torch.no_grad():
        model.encoder.dense.weight.mul_(20)
        model.decoder.dense.weight.mul_(20)
    return model, Prior(8)


@torch.no_grad()
def costs(model, prior, pixels, rounded, quality, weight=WEIGHT):
    """Return what each image adds to the loss of training, from its definition."""
    steps = torch.tensor(QUALITY_STEPS)[quality]
    error = (model.decoder(rounded / UNITS) - pixels).square().flatten(1).mean(dim=1)
    bits = torch.cat([prior.bits(*[row[None]] * 2, at[None]) for row, at in zip(rounded, quality, strict=True)])
    area = pixels.shape[2] * pixels.shape[3]
    return error + bits * (steps / QUALITY_STEPS[4]) ** 2 / area / (weight * 255**2)


@pytest.mark.parametrize(("kind", "weight"), [("gray", WEIGHT), ("rgb", 2e-5)])  # at which bits matter too
def test_refined_latents_never_cost_more_than_rounded_ones(images, small, random_rgb, kind, weight):
    if kind == "gray":
        (model, prior), pixels = small, to_pixels(torch.from_numpy(images[:8].copy()))
    else:
        (model, prior), pixels = random_rgb, torch.rand(8, 3, 10, 13, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        latents = model.encoder(pixels) * UNITS
    for number, step in enumerate(QUALITY_STEPS):
        quality = torch.full((len(pixels),), number)
        refined = refine_latents(model, prior, pixels, latents, quality, weight)
        torch.testing.assert_close(refined, (refined / step).round() * step)
        rounded = (latents / step).round() * step
        again = refine_latents(model, prior, pixels, refined, quality, weight)  # there is little left to find
        before, after, last = (
            costs(model, prior, pixels, each, quality, weight) for each in (rounded, refined, again)
        )
        assert (after <= before * (1 + 1e-5)).all(), f"at quality {number + 1}"
        assert (last <= after * (1 + 1e-5)).all(), f"at quality {number + 1}"
        assert after.mean() < 0.999 * before.mean(), f"at quality {number + 1}"


def test_latents_are_refined_for_the_weight_of_the_loss(random_rgb):
    model, prior = random_rgb
    pixels = torch.rand(100, 3, 10, 13, generator=torch.Generator().manual_seed(1))
    quality = torch.full((len(pixels),), 4)
    latents, weight = model.encoder(pixels).detach() * UNITS, 2e-5
    found = {
        factor: refine_latents(model, prior, pixels, latents, quality, factor * weight) for factor in (1 / 3, 1, 3)
    }
    cost = {
        factor: costs(model, prior, pixels, each, quality, weight).mean().item() for factor, each in found.items()
    }
    assert cost[1] < min(cost[1 / 3], cost[3]) * 0.999


def test_the_loss_of_refined_latents_is_their_cost_and_trains_only_decoder_and_prior(images, small):
    model, prior = small
    model.zero_grad()
    prior.zero_grad()
    pixels = to_pixels(torch.from_numpy(images[:16].copy()))
    found = refined_costs(model, prior, pixels, WEIGHT, torch.Generator().manual_seed(4))
    quality = torch.randint(9, (16,), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        latents = model.encoder(pixels) * UNITS
    refined = refine_latents(model, prior, pixels, latents, quality, WEIGHT)
    expected = costs(model, prior, pixels, refined, quality).mean().item()
    assert found.loss.item() == pytest.approx(expected, rel=1e-3)
    found.loss.backward()
    assert all(weight.grad is None for weight in model.encoder.parameters())
    assert all(weight.grad.abs().max() > 0 for weight in model.decoder.parameters())
    assert sum(weight.grad.abs().max() > 0 for weight in prior.parameters()) > len(prior.groups)


def test_all_images_are_refined_each_at_its_quality(images, small):
    model, prior = small
    pixels = torch.from_numpy(images[:40].copy())
    seen = []
    refined, quality = refine_all(model, prior, pixels, WEIGHT, 7, lambda *progress: seen.append(progress))
    assert seen[-1] == (40, 40)
    assert len(set(quality.tolist())) > 4
    latents = model.encoder(to_pixels(pixels)).detach() * UNITS
    expected = refine_latents(model, prior, to_pixels(pixels), latents, quality, WEIGHT)
    assert (refined == expected).float().mean() > 0.99  # the encoder of the model rounds differently
    steps = torch.tensor(QUALITY_STEPS)[quality].unsqueeze(1)
    torch.testing.assert_close(refined, (refined / steps).round() * steps)
    assert torch.equal(refine_all(model, prior, pixels, WEIGHT, 7)[0], refined)


def cost_after_training(run, other, images, refine):
    """Train for 14 steps from the weights of the run `other`, and return the mean cost of refined latents."""
    start = load_checkpoint(other)
    recipe = Recipe(
        epochs=2,
        batch_size=30,
        lr=0.01,
        rate_distortion=WEIGHT,
        rate_start=0.0,
        refine=refine,
        start=sha256_of_model(other),
        prior_fit=PriorFit(steps=1),
    )
    start_run(run, start.model.config, recipe)
    train(run, start.model, recipe, images[:200], images[200:], CPU, prior=start.prior)
    done = load_checkpoint(run)
    with torch.no_grad():
        draws = torch.Generator().manual_seed(0)
        return refined_costs(done.model, done.prior, to_pixels(images), WEIGHT, draws).loss.item()


def test_training_with_refined_latents_makes_them_cheaper(tmp_path, images, small_run):
    pixels = torch.from_numpy(images.copy())
    plain, refined = (cost_after_training(tmp_path / str(share), small_run, pixels, share) for share in (0.0, 1.0))
    assert refined < 0.99 * plain


def test_a_prior_that_is_fitted_to_refined_latents_too_needs_fewer_bits_for_them(images, small):
    model, prior = small
    pixels = torch.from_numpy(images.copy())
    latents = model.encoder(to_pixels(pixels)).detach()
    refined, quality = refine_all(model, prior, pixels, WEIGHT, 0)
    bits = []
    for given in (None, (refined, quality)):
        fitted = fit_prior(prior, latents, PriorFit(steps=60, batch_size=128, warm_up=5), 0, refined=given)
        with torch.no_grad():
            bits.append(fitted.bits(refined, refined, quality).mean().item())
    assert bits[1] < 0.98 * bits[0]


@pytest.mark.parametrize("length", [{"epochs": 3}, {"epochs": None, "minutes": 1}])
def test_refined_latents_are_trained_on_in_the_last_share_of_the_steps_or_the_time(
    tmp_path, images, monkeypatch, length
):
    now, steps, refined = [0.0], [], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def follow(*given):
        refined.append((len(steps), len(given[2])))
        return refined_costs(*given)

    def on_step(step):
        steps.append(step)
        now[0] += 5

    monkeypatch.setattr("fmae_edge.train.batch_loss.refined_costs", follow)
    recipe = Recipe(**length, batch_size=32, rate_distortion=0.003, refine=0.25, prior_fit=PriorFit(steps=1))
    start_run(tmp_path / "run", TINY, recipe)
    pixels = torch.from_numpy(images.copy())
    train(tmp_path / "run", Autoencoder(TINY), recipe, pixels[:128], pixels[128:150], CPU, on_step=on_step)
    assert len(steps) == 12
    assert refined == [(9, 16), (10, 16), (11, 16)]  # half of each batch


def test_the_prior_is_fitted_to_refined_latents_only_if_the_recipe_refines(tmp_path, images, monkeypatch):
    given = []

    def follow(prior, latents, settings, seed, on_step, validation, refined):
        given.append(refined)
        return fit_prior(prior, latents, settings, seed, on_step, validation, refined)

    monkeypatch.setattr("fmae_edge.train.loop.fit_prior", follow)
    pixels, progress = torch.from_numpy(images.copy()), []
    for share in (0.0, 0.1):
        recipe = Recipe(1, 32, rate_distortion=0.003, refine=share, prior_fit=PriorFit(steps=1))
        run = tmp_path / str(share)
        start_run(run, TINY, recipe)
        callbacks = {"on_refined": lambda *done: progress.append(done)}
        train(run, Autoencoder(TINY), recipe, pixels[:64], pixels[64:80], CPU, **callbacks)
    assert given[0] is None
    assert given[1][0].shape == (64, 8)
    assert progress == [(64, 64)]
