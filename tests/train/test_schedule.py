"""Runs in minutes end on time, within an epoch if need be, and go on with the time that is left."""

import time

import pytest
import torch

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint, load_progress, start_run
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import ImageSet, Recipe
from fmae_edge.train.loop import train
from fmae_edge.train.schedule import Schedule

CONFIG = ModelConfig(latent_size=8, widths=(4, 8))
CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by what a test adds to it."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def tensors(images):
    pixels = torch.from_numpy(images.copy())
    return pixels[:100], pixels[100:120]


def test_epochs_end_after_all_steps():
    schedule = Schedule(Recipe(4), 10)
    assert schedule.done(1, 0) == 0
    assert schedule.done(3, 0) == 0.5
    assert schedule.done(4, 9) < schedule.done(4, 10) == 1
    assert schedule.shown(2, 3) == (13, 40)


def test_minutes_end_after_their_time(clock):
    schedule = Schedule(Recipe(None, minutes=2), 10, elapsed=30)
    assert schedule.done(7, 3) == 0.25
    assert schedule.shown(7, 3) == (30, 120)
    clock[0] += 60
    assert schedule.elapsed == 90
    assert schedule.done(8, 0) == 0.75
    clock[0] += 60
    assert schedule.done(9, 0) == 1
    assert schedule.shown(9, 0) == (120, 120)


def run_minutes(run, tensors, clock, seconds_per_step, stop_after=None):
    recipe = Recipe(None, 25, 0.01, minutes=1, validation_images=ImageSet.of(tensors[1].numpy()))
    steps = []

    def on_step(step):
        steps.append(step.done)
        clock[0] += seconds_per_step

    def on_epoch(metrics):
        if metrics["epoch"] == stop_after:
            raise KeyboardInterrupt

    if not run.exists():
        start_run(run, CONFIG, recipe)
    metrics = train(run, Autoencoder(CONFIG), recipe, *tensors, CPU, on_step=on_step, on_epoch=on_epoch)
    return metrics, steps


def test_a_run_in_minutes_ends_within_an_epoch_and_measures_it(tmp_path, tensors, clock):
    metrics, steps = run_minutes(tmp_path / "run", tensors, clock, 10)  # 4 steps per epoch
    assert len(steps) == 6
    assert [entry["progress"] for entry in metrics] == [pytest.approx(4 / 6), 1]
    assert all("val_mse" in entry for entry in metrics)
    assert len(load_checkpoint(tmp_path / "run").metrics) == 2
    again, _ = run_minutes(tmp_path / "run", tensors, clock, 10)
    assert again == metrics


def test_a_resumed_run_has_the_time_that_was_left(tmp_path, tensors, clock):
    with pytest.raises(KeyboardInterrupt):
        run_minutes(tmp_path / "run", tensors, clock, 10, stop_after=1)
    assert load_progress(tmp_path / "run").elapsed == 40
    clock[0] += 1e6
    metrics, _ = run_minutes(tmp_path / "run", tensors, clock, 10)
    assert [entry["progress"] for entry in metrics] == [pytest.approx(4 / 6), 1]


def test_an_epoch_that_the_time_does_not_reach_is_not_measured(tmp_path, tensors, clock):
    metrics, _ = run_minutes(tmp_path / "run", tensors, clock, 15)  # an epoch takes the minute exactly
    assert len(metrics) == 1
