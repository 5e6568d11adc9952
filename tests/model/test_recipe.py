"""The recipe of a run: valid values, the learning rate, and what recipe.json records."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from fmae_edge.model.checkpoint import RECIPE, RunError, read_recipe, start_run
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import ImageSet, PriorFit, Recipe
from tests.conftest import CHECKPOINT


def test_the_learning_rate_rises_then_falls_to_zero():
    recipe = Recipe(lr=0.5)
    rates = [recipe.learning_rate(step / 100) for step in range(101)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(0.5)
    assert 0 < rates[0] < 0.05
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_the_recipe_says_where_the_learning_rate_starts_and_peaks():
    recipe = Recipe(lr=0.5, warm_up=0.6, initial_lr=0.2)
    assert recipe.learning_rate(0) == pytest.approx(0.5 * 0.2)
    assert recipe.learning_rate(0.3) == pytest.approx(0.5 * (0.2 + 1) / 2)  # half way up
    assert max((step / 100 for step in range(101)), key=recipe.learning_rate) == 0.6


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 10**4000},  # too large for a float
        {"batch_size": -1},
        {"batch_size": 10**400},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": 1.5},
        {"warm_up": 0},
        {"initial_lr": 1.5},
        {"rate_start": -0.5},
        {"rate_start": 1.0},
        {"refine": -0.5},
        {"refine": 1.5},
        {"refine": float("nan")},
        {"start": 5},
        {"patience": 0},
        {"minutes": 0, "epochs": None},
        {"minutes": float("nan"), "epochs": None},
        {"rate_distortion": 0},
        {"rate_distortion": 1.5},
        {"units": 64},
        {"quality_steps": (1, 2, 3)},
    ],
)
def test_invalid_values_are_refused(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=rf"^{name} is {re.escape(str(value))}; "):
        Recipe(**wrong)


def test_a_run_has_epochs_or_minutes():
    assert Recipe(epochs=None, minutes=0.5).minutes == 0.5
    with pytest.raises(ValueError, match="minutes is given with 10 epochs"):
        Recipe(minutes=5)
    with pytest.raises(ValueError, match="epochs is None"):
        Recipe(epochs=None)


@pytest.mark.parametrize("wrong", [{"augment": "rotate"}, {"augment": None}, {"data": "photos"}])
def test_unknown_augmentations_and_data_are_refused(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} is .*must be"):
        Recipe(**wrong)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 1.5}, {"lr": 2}, {"warm_up": -1}])
def test_invalid_values_of_the_prior_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"^prior_fit\.{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        PriorFit(**wrong)


def test_recipe_json_records_every_field_and_reads_back(tmp_path, images):
    recipe = Recipe(
        epochs=3,
        rate_distortion=0.01,
        rate_start=0.2,
        refine=0.4,
        start="5" * 64,
        prior_fit=PriorFit(steps=9),
        train_images=ImageSet.of(images[:200]),
        test_images=ImageSet.of(images[200:]),
        validation_images=ImageSet.of(images[100:110]),
        data={"name": "photos", "settings": {"size": [28, 28]}},
        augment="flip",
    )
    start_run(tmp_path / "run", ModelConfig(), recipe)
    record = json.loads((tmp_path / "run" / RECIPE).read_text())
    assert set(record) == {field.name for field in dataclasses.fields(Recipe)}
    assert record["prior_fit"] == {"steps": 9, "batch_size": 512, "lr": 0.003, "warm_up": 200}
    assert read_recipe(tmp_path / "run") == recipe


def test_a_recipe_of_version_0_1_0_gets_the_constants_of_that_version(tmp_path):
    record = {"epochs": 32, "batch_size": 256, "lr": 0.004, "seed": 0, "rate_distortion": 0.0032}
    (tmp_path / RECIPE).write_text(json.dumps(record))
    assert read_recipe(tmp_path) == Recipe(
        epochs=32,
        batch_size=256,
        lr=0.004,
        seed=0,
        rate_distortion=0.0032,
        warm_up=0.3,
        initial_lr=0.04,
        rate_start=0.1,
        units=80,
        quality_steps=(64, 48, 36, 27, 20, 15, 11, 8, 6),
        prior_fit=PriorFit(steps=8000, batch_size=512, lr=0.003, warm_up=200),
        train_images=None,
        test_images=None,
        validation_images=None,
        data=None,
        minutes=None,
        augment="none",
        patience=0.25,
        refine=0.0,
        start=None,
    )


def test_refining_needs_a_rate_and_may_fill_the_whole_run():
    assert Recipe(rate_distortion=0.01, refine=1.0, rate_start=0.0).refine == 1
    with pytest.raises(ValueError, match="refine is 0.5, but needs a loss with a rate: give --rate-distortion"):
        Recipe(refine=0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prior_fit": 5},
        {"prior_fit": None},
        {"prior_fit": {"rounds": 2}},
        {"train_images": []},
        {"train_images": {"shape": 5, "sha256": "0" * 64}},
        {"train_images": {"shape": [5, "x"], "sha256": "0" * 64}},
        {"test_images": {"shape": [5, 2, 2], "sha256": "of the pixels"}},
        {"quality_steps": 5},
        {"lr": "0.1"},
        {"patience": 3},
        {"patience_in_epochs": 3},
        {"minutes": "5", "epochs": None},
    ],
)
def test_a_damaged_recipe_is_refused(tmp_path, wrong):
    run = shutil.copytree(CHECKPOINT, tmp_path / "run")
    (run / RECIPE).write_text(json.dumps(json.loads((run / RECIPE).read_text()) | wrong))
    with pytest.raises(RunError, match="not a valid Recipe"):
        read_recipe(run)


def test_image_sets_differ_by_shape_and_by_pixels():
    images = np.zeros((4, 6, 8), np.uint8)
    one = ImageSet.of(images)
    assert str(one).startswith("4 images of 6x8 pixels with SHA-256 ")
    assert ImageSet.of(images.reshape(4, 8, 6)) != one
    changed = images.copy()
    changed[3, 5, 7] = 1
    assert ImageSet.of(changed) != one
    assert ImageSet.of(np.asfortranarray(images)) == one
