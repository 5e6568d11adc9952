"""A run with validation images keeps its best epoch, stops when they get worse, and resumes to the same result."""

from dataclasses import replace

import pytest
import torch

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import (
    MODEL,
    PRIOR,
    RunError,
    load_checkpoint,
    load_progress,
    read_config,
    start_run,
)
from fmae_edge.model.chosen_epoch import chosen_epoch, criterion
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import ImageSet, PriorFit, Recipe
from fmae_edge.train import measurement
from fmae_edge.train.augment import augment_batch
from fmae_edge.train.loop import train
from fmae_edge.train.measurement import measure_model, measure_rate_distortion
from fmae_edge.train.schedule import stops_early

CONFIG = ModelConfig(latent_size=8, widths=(4, 8))
CPU = torch.device("cpu")


@pytest.fixture
def tensors(images):
    pixels = torch.from_numpy(images.copy())
    return pixels[:100], pixels[100:150]


@pytest.fixture
def recipe(tensors):
    known = {"train_images": ImageSet.of(tensors[0].numpy()), "validation_images": ImageSet.of(tensors[1].numpy())}
    fit = PriorFit(steps=5)
    return Recipe(4, 32, 0.01, 3, 0.003, prior_fit=fit, patience=0.9, augment="shift", **known)


def run_once(run, tensors, recipe, stop_after=None, **callbacks):
    def on_epoch(metrics):
        if metrics["epoch"] == stop_after:
            raise KeyboardInterrupt

    if not run.exists():
        start_run(run, CONFIG, recipe)
    torch.manual_seed(recipe.seed)
    model = Autoencoder(read_config(run))
    return train(run, model, recipe, *tensors, CPU, on_epoch=on_epoch, **callbacks), model


def entries(values, total=None):
    """Return metrics whose epochs have these values on the validation images, of `total` epochs."""
    return [
        {"epoch": number, "val_mse": value, "progress": number / (total or len(values))}
        for number, value in enumerate(values, 1)
    ]


def test_the_chosen_epoch_has_the_lowest_loss_on_validation_images():
    assert chosen_epoch(entries([5, 2, 3, 2]))["epoch"] == 2
    assert chosen_epoch([entry | {"val_loss": -entry["val_mse"]} for entry in entries([5, 2, 9, 2])])["epoch"] == 3
    assert chosen_epoch([{"epoch": 1, "test_mse": 1}, {"epoch": 2, "test_mse": 2}])["epoch"] == 2


def fake_epochs(monkeypatch, values):
    """Let the epochs have these losses on the validation images."""
    left = iter(values)

    def measure(*given):
        return next(left), measure_rate_distortion(*given)[1]

    monkeypatch.setattr(measurement, "measure_rate_distortion", measure)


def test_a_run_keeps_the_model_and_the_prior_of_its_best_epoch(tmp_path, tensors, recipe, monkeypatch):
    losses, weights, priors = [5.0, 2.0, 3.0, 2.5], [], []

    def fit(prior, *_):
        priors.append({name: tensor.clone() for name, tensor in prior.state_dict().items()})
        return prior

    monkeypatch.setattr("fmae_edge.train.loop.fit_prior", fit)
    fake_epochs(monkeypatch, losses)
    run = tmp_path / "run"
    metrics, model = run_once(
        run, tensors, recipe, on_measured=lambda *_: weights.append((run / MODEL).read_bytes())
    )
    assert [entry["val_loss"] for entry in metrics] == losses
    assert weights[0] != weights[1] == weights[2] == weights[3] == (run / MODEL).read_bytes()
    for name, tensor in load_checkpoint(run).model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name].contiguous())
    fake_epochs(monkeypatch, losses)
    with pytest.raises(KeyboardInterrupt):
        run_once(tmp_path / "short", tensors, recipe, stop_after=2)
    assert weights[1] == (tmp_path / "short" / MODEL).read_bytes()
    second = load_progress(tmp_path / "short").tensors
    assert all(torch.equal(tensor, second[f"prior.{name}"]) for name, tensor in priors[0].items())


def test_each_epoch_changes_its_images_in_its_own_way(tmp_path, tensors, recipe, monkeypatch):
    seeds = []

    def follow(pixels, augment, generator, share):
        seeds.append((augment, generator.initial_seed()))
        return augment_batch(pixels, augment, generator, share)

    monkeypatch.setattr("fmae_edge.train.loop.augment_batch", follow)
    run_once(tmp_path / "run", tensors, recipe)
    assert len(set(seeds)) == recipe.epochs
    assert {augment for augment, _ in seeds} == {"shift"}


def test_the_metrics_are_of_validation_images_only(tmp_path, tensors, recipe):
    metrics, _ = run_once(tmp_path / "run", tensors, recipe)
    names = {"mse", "psnr_pooled", "psnr_per_image", "ssim", "bytes", "loss"}
    assert {name for name in metrics[0] if "val_" in name or "test_" in name} == {f"val_{name}" for name in names}
    best = load_checkpoint(tmp_path / "run").model
    assert measure_model(best, tensors[1], CPU)[0].mse == pytest.approx(chosen_epoch(metrics)["val_mse"], rel=1e-5)
    plain, _ = run_once(tmp_path / "plain", tensors, replace(recipe, rate_distortion=None))
    assert criterion(plain[0]) == plain[0]["val_mse"]


def test_other_validation_images_are_refused(tmp_path, tensors, recipe):
    with pytest.raises(RunError, match="other validation images"):
        run_once(tmp_path / "run", (tensors[0], tensors[1][1:]), recipe)


def test_the_loss_of_validation_images_can_be_compared_between_epochs(tmp_path, tensors, recipe):
    torch.manual_seed(0)
    model, prior = Autoencoder(CONFIG), Prior(8)
    first = measure_rate_distortion(model, prior, tensors[1], 0.01, 5, CPU)
    torch.rand(9)
    assert measure_rate_distortion(model, prior, tensors[1], 0.01, 5, CPU) == first
    assert measure_rate_distortion(model, prior, tensors[1], 0.01, 6, CPU) != first
    assert first[0] > measure_model(model, tensors[1], CPU)[0].mse


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path, tensors, recipe, monkeypatch):
    """With augmentation, and a best epoch before the interruption."""
    for name, parts in (("whole", []), ("parts", [1, 3])):
        fake_epochs(monkeypatch, [5.0, 1.0, 3.0, 2.0])
        for stop_after in parts:
            with pytest.raises(KeyboardInterrupt):
                run_once(tmp_path / name, tensors, recipe, stop_after)
            torch.rand(17)
        metrics, _ = run_once(tmp_path / name, tensors, recipe)
        assert chosen_epoch(metrics)["epoch"] == 2
    for file in (MODEL, PRIOR):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()


def test_a_finished_run_gives_its_best_model_again(tmp_path, tensors, recipe, monkeypatch):
    fake_epochs(monkeypatch, [5.0, 1.0, 3.0, 2.0])
    _, expected = run_once(tmp_path / "run", tensors, recipe)
    _, model = run_once(tmp_path / "run", tensors, recipe)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))


LEARNS = [9, 8, 7, 6, 6.1, 6, 6.1, 6.05, 6, 5, 4, 3.5]  # stands still while the learning rate is high
OVERFITS = [9, 7, 6, 5, 4, 4.1, 4.3, 4.5, 4.7, 4.9, 5, 5]


def first_stop(values, **settings):
    recipe = Recipe(len(values), **settings)
    known = entries(values)
    return next((at for at in range(1, len(values) + 1) if stops_early(known[:at], recipe)), None)


def test_a_run_stops_only_when_its_validation_gets_worse():
    assert first_stop(LEARNS) is None
    assert first_stop(OVERFITS) == 8  # a quarter of 12 epochs after the best one
    assert first_stop(OVERFITS, patience=0.4) == 10
    assert first_stop([1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]) == 7  # not before the learning rate has fallen
    assert first_stop([5, 4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2]) is None


def test_a_run_without_validation_images_never_stops_early():
    metrics = [{"epoch": number, "test_mse": value} for number, value in enumerate(OVERFITS, 1)]
    assert not any(stops_early(metrics[:at], Recipe(12)) for at in range(13))


def test_training_ends_with_the_epoch_at_which_it_stops_early(tmp_path, tensors, recipe, monkeypatch):
    recipe = replace(recipe, epochs=12, patience=0.25)
    ended = []
    for _ in range(2):  # resumed, it stays ended
        fake_epochs(monkeypatch, map(float, OVERFITS))
        metrics, _ = run_once(tmp_path / "run", tensors, recipe, on_trained=lambda all: ended.append(len(all)))
        assert len(metrics) == 8
    assert ended == [8, 8]
    assert load_checkpoint(tmp_path / "run").prior is not None
