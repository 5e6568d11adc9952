"""Training with a rate in the loss runs, resumes and lowers the bits that its prior predicts."""

from dataclasses import replace

import pytest
import torch

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import PRIOR, RESUME, RunError, load_checkpoint, read_config, start_run
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.model.learned_prior import Prior, group_sizes
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS, PriorFit, Recipe
from fmae_edge.train.loop import train
from fmae_edge.train.objective import quantise, rate_distortion
from fmae_edge.train.prior_fit import fit_prior

CONFIG = ModelConfig(latent_size=8, widths=(4, 8))
RECIPE = Recipe(3, batch_size=32, lr=0.01, seed=3, rate_distortion=0.003, prior_fit=PriorFit(steps=20))
CPU = torch.device("cpu")


@pytest.fixture
def tensors(images):
    pixels = torch.from_numpy(images.copy())
    return pixels[:100], pixels[100:150]


def run_once(run, tensors, stop_after=None):
    def on_epoch(metrics):
        if metrics["epoch"] == stop_after:
            raise KeyboardInterrupt

    torch.manual_seed(RECIPE.seed)
    return train(run, Autoencoder(read_config(run)), RECIPE, *tensors, CPU, on_epoch=on_epoch)


def bits_of(prior, latents, quality):
    steps = torch.tensor(float(QUALITY_STEPS[quality]))
    rounded = quantise(latents, steps)
    return prior.bits(rounded, rounded, torch.full((len(latents),), quality))


@pytest.mark.parametrize("size", [1, 2, 8, 10, 64, 65])
def test_groups_cover_all_latents_in_few_steps(size):
    sizes = group_sizes(size)
    assert sum(sizes) == size
    assert min(sizes) >= 1
    assert len(sizes) <= 12
    assert max(sizes) <= max(1, size // 8)


@pytest.mark.parametrize("size", [(8, 8, 1), (8, 8, 3), (9, 13, 3)])
def test_the_rate_is_in_bits_per_pixel_with_all_its_channels(size):
    height, width, channels = size
    torch.manual_seed(0)
    model, prior = Autoencoder(ModelConfig(height, width, channels, 4, (4,))), Prior(4)
    batch = torch.rand(1, channels, height, width)
    costs = rate_distortion(model, prior, batch, 0.01, torch.Generator().manual_seed(1))
    step = QUALITY_STEPS[torch.randint(9, (1,), generator=torch.Generator().manual_seed(1))]
    rate = (costs.loss - costs.error) * 0.01 * 255**2
    torch.testing.assert_close(rate, costs.bits / (height * width) * (step / QUALITY_STEPS[4]) ** 2)


def test_a_group_sees_only_earlier_latents():
    torch.manual_seed(0)
    prior = Prior(16)
    latents = torch.randn(5, 16) * 40
    quality = torch.arange(5)
    packed = prior.pack()
    before = [values.detach() for values in packed.predict(latents, quality)]
    changed = latents.clone()
    changed[:, 6:] += 100
    first_of_group = [sum(group_sizes(16)[:index]) for index in range(len(group_sizes(16)))]
    unaware = max(start + size for start, size in zip(first_of_group, group_sizes(16), strict=True) if start <= 6)
    for values, after in zip(before, packed.predict(changed, quality), strict=True):
        torch.testing.assert_close(values[:, :unaware], after[:, :unaware])
        assert (values[:, unaware:] != after[:, unaware:]).any()


@torch.no_grad()
def test_probabilities_of_all_symbols_sum_to_one():
    torch.manual_seed(0)
    prior = Prior(1)
    for quality, step in enumerate(QUALITY_STEPS):
        symbols = torch.arange(-6000, 6001).unsqueeze(1) * step
        bits = prior.bits(
            symbols.float(), torch.zeros(1, 1).expand(len(symbols), 1), torch.full((len(symbols),), quality)
        )
        # The floor of the probability adds 2^-20 per symbol
        assert torch.exp2(-bits.double()).sum().item() == pytest.approx(1, abs=0.02)


def test_the_loss_is_the_error_plus_weighted_bits(images):
    torch.manual_seed(0)
    model, prior = Autoencoder(CONFIG), Prior(8)
    batch = torch.from_numpy(images[:64].copy()).unsqueeze(1).float() / 255

    def costs(weight):
        return rate_distortion(model, prior, batch, weight, torch.Generator().manual_seed(1))

    dear, cheap = costs(0.001), costs(0.01)
    assert dear.error == cheap.error
    assert dear.bits == cheap.bits
    assert (dear.loss - dear.error).item() == pytest.approx(10 * (cheap.loss - cheap.error).item(), rel=1e-4)
    dear.loss.backward()
    for parameter in (*model.parameters(), *prior.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_the_weight_of_bits_grows_with_the_square_of_the_step(images, monkeypatch):
    seen = []

    def one_bit(prior, values, context, quality):
        seen.append(quality)
        return torch.ones(len(values))

    monkeypatch.setattr(Prior, "bits", one_bit)
    batch = torch.from_numpy(images[:20].copy()).unsqueeze(1) / 255
    costs = rate_distortion(Autoencoder(CONFIG), Prior(8), batch, 1e-5, torch.Generator().manual_seed(1))
    steps = torch.tensor([QUALITY_STEPS[quality] for quality in seen[0]])
    assert len(set(steps.tolist())) > 4
    expected = (steps / QUALITY_STEPS[4]).square().mean() / 784 / (1e-5 * 255**2)
    assert (costs.loss - costs.error).item() == pytest.approx(expected.item(), rel=1e-3)


def test_each_epoch_draws_new_qualities_and_noise(tmp_path, tensors, monkeypatch):
    seeds = []

    def follow(model, prior, batch, weight, generator, share):
        seeds.append(generator.initial_seed())
        return rate_distortion(model, prior, batch, weight, generator, share)

    monkeypatch.setattr("fmae_edge.train.batch_loss.rate_distortion", follow)
    start_run(tmp_path / "run", CONFIG, RECIPE)
    run_once(tmp_path / "run", tensors)
    assert len(set(seeds)) == RECIPE.epochs


def test_the_recipe_says_when_the_rate_starts_and_how_long_the_prior_is_fitted(tmp_path, tensors, monkeypatch):
    rated, fitted = [], []

    def follow(*given):
        rated.append(given)
        return rate_distortion(*given)

    monkeypatch.setattr("fmae_edge.train.batch_loss.rate_distortion", follow)
    recipe = replace(RECIPE, rate_start=0.5, prior_fit=PriorFit(steps=7))
    start_run(tmp_path / "run", CONFIG, recipe)
    model = Autoencoder(CONFIG)
    train(tmp_path / "run", model, recipe, *tensors, CPU, on_fit=lambda *progress: fitted.append(progress))
    assert len(rated) == 6  # of 12 steps
    assert fitted == [(done, 7) for done in range(1, 8)]


def test_a_finished_run_is_not_fitted_again(tmp_path, tensors, monkeypatch):
    start_run(tmp_path / "run", CONFIG, RECIPE)
    run_once(tmp_path / "run", tensors)
    before = (tmp_path / "run" / PRIOR).read_bytes()
    monkeypatch.setattr("fmae_edge.train.loop.fit_prior", None)  # a call would fail
    run_once(tmp_path / "run", tensors)
    assert (tmp_path / "run" / PRIOR).read_bytes() == before


def test_fitting_lowers_the_bits_and_leaves_the_prior_alone():
    torch.manual_seed(0)
    latents = torch.randn(400, 1).expand(400, 8) * torch.linspace(0.1, 1, 8)  # each determines all others
    prior = Prior(8)
    before = bits_of(prior, latents * UNITS, 4).mean()
    fitted = fit_prior(prior, latents, PriorFit(steps=50, warm_up=20), seed=0)
    assert bits_of(fitted, latents * UNITS, 4).mean() < 0.6 * before
    assert bits_of(prior, latents * UNITS, 4).mean() == before


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path, tensors):
    for name in ("whole", "parts"):
        start_run(tmp_path / name, CONFIG, RECIPE)
    metrics = run_once(tmp_path / "whole", tensors)
    assert metrics[-1]["train_bytes"] > 0
    with pytest.raises(KeyboardInterrupt):
        run_once(tmp_path / "parts", tensors, stop_after=2)
    with pytest.raises(RunError, match=rf"{PRIOR}: missing"):
        load_checkpoint(tmp_path / "parts")
    run_once(tmp_path / "parts", tensors)
    for name in (PRIOR, "model.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    loaded = load_checkpoint(tmp_path / "whole")
    assert loaded.prior is not None
    with torch.no_grad():
        assert bits_of(loaded.prior, encode_all(loaded.model, tensors[0]) * UNITS, 4).isfinite().all()


def test_a_run_without_a_rate_cannot_continue_with_one(tmp_path, tensors):
    plain = Recipe(epochs=1, batch_size=32)
    start_run(tmp_path / "run", CONFIG, plain)
    train(tmp_path / "run", Autoencoder(CONFIG), plain, *tensors, CPU)
    assert not (tmp_path / "run" / PRIOR).exists()
    assert load_checkpoint(tmp_path / "run").prior is None
    assert (tmp_path / "run" / RESUME).exists()
    with pytest.raises(RunError, match="does not fit"):
        run_once(tmp_path / "run", tensors)


@pytest.mark.parametrize("weight", [0.0, -1.0, 2.0, float("nan")])
def test_a_lambda_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match="rate_distortion is"):
        Recipe(rate_distortion=weight)
