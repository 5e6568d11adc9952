"""Training on a few images learns, resumes to the same result, and never loses a finished epoch."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fmae_edge.model import checkpoint
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import (
    METRICS,
    MODEL,
    RESUME,
    RunError,
    load_checkpoint,
    read_config,
    read_recipe,
    start_run,
)
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import ImageSet, Recipe
from fmae_edge.train.loop import epoch_order, train
from fmae_edge.train.measurement import measure_model

CONFIG = ModelConfig(latent_size=8, widths=(4, 8))
RECIPE = Recipe(epochs=4, batch_size=32, lr=0.01, seed=3)
CPU = torch.device("cpu")


@pytest.fixture
def tensors(images):
    pixels = torch.from_numpy(images.copy())
    return pixels[:100], pixels[100:150]  # 100 is not a multiple of 32, so the last batch is short


def run_once(run, tensors, stop_after=None, recipe=RECIPE):
    def on_epoch(metrics):
        if metrics["epoch"] == stop_after:
            raise KeyboardInterrupt

    torch.manual_seed(recipe.seed)
    return train(run, Autoencoder(read_config(run)), recipe, *tensors, CPU, on_epoch=on_epoch)


def without_times(metrics):
    return [{k: v for k, v in entry.items() if k not in ("seconds", "images_per_second")} for entry in metrics]


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path, tensors):
    for name in ("whole", "parts"):
        start_run(tmp_path / name, CONFIG, RECIPE)
    expected = run_once(tmp_path / "whole", tensors)
    for stop_after in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run_once(tmp_path / "parts", tensors, stop_after)
        assert len(load_checkpoint(tmp_path / "parts").metrics) == stop_after
    torch.rand(17)  # changes the state of the global generator
    resumed = run_once(tmp_path / "parts", tensors)
    assert without_times(resumed) == without_times(expected)
    assert (tmp_path / "parts" / MODEL).read_bytes() == (tmp_path / "whole" / MODEL).read_bytes()


def test_an_interruption_within_an_epoch_keeps_the_last_one(tmp_path, tensors):
    start_run(tmp_path / "run", CONFIG, RECIPE)

    def on_step(step):
        if step.done == 6:  # an epoch has 4 steps
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", Autoencoder(CONFIG), RECIPE, *tensors, CPU, on_step=on_step)
    assert len(load_checkpoint(tmp_path / "run").metrics) == 1


def test_resuming_a_finished_run_changes_nothing(tmp_path, tensors):
    start_run(tmp_path / "run", CONFIG, RECIPE)
    expected = run_once(tmp_path / "run", tensors)
    before = (tmp_path / "run" / MODEL).read_bytes()
    assert run_once(tmp_path / "run", tensors) == expected
    assert (tmp_path / "run" / MODEL).read_bytes() == before


def test_an_old_run_without_constants_and_hashes_resumes_to_the_same_result(tmp_path, tensors):
    for name in ("new", "old"):
        start_run(tmp_path / name, CONFIG, RECIPE)
        with pytest.raises(KeyboardInterrupt):
            run_once(tmp_path / name, tensors, stop_after=2)
    options = {"epochs": 4, "batch_size": 32, "lr": 0.01, "seed": 3, "rate_distortion": None}
    (tmp_path / "old" / checkpoint.RECIPE).write_text(json.dumps(options))  # as version 0.1.0 wrote it
    for name in ("new", "old"):
        run_once(tmp_path / name, tensors, recipe=read_recipe(tmp_path / name))
    assert (tmp_path / "old" / MODEL).read_bytes() == (tmp_path / "new" / MODEL).read_bytes()


@pytest.mark.parametrize("kind", ["training", "test"])
def test_other_images_than_the_recipe_records_are_refused(tmp_path, tensors, kind):
    train_set, test_set = (ImageSet.of(each.numpy()) for each in tensors)
    recipe = replace(RECIPE, train_images=train_set, test_images=test_set)
    start_run(tmp_path / "run", CONFIG, recipe)
    with pytest.raises(KeyboardInterrupt):
        run_once(tmp_path / "run", tensors, stop_after=1, recipe=recipe)
    before = (tmp_path / "run" / RESUME).read_bytes()
    first, second = tensors
    other = (first.flip(0), second) if kind == "training" else (first, second[:-1])
    with pytest.raises(RunError, match=f"other {kind} images .recorded: .*, now: .*--data"):
        run_once(tmp_path / "run", other, recipe=recipe)
    assert (tmp_path / "run" / RESUME).read_bytes() == before
    run_once(tmp_path / "run", tensors, recipe=recipe)


def test_a_model_without_its_progress_is_not_trained_over(tmp_path, tensors):
    start_run(tmp_path / "run", CONFIG, RECIPE)
    run_once(tmp_path / "run", tensors)
    (tmp_path / "run" / RESUME).unlink()
    before = (tmp_path / "run" / MODEL).read_bytes()
    with pytest.raises(RunError, match="cannot continue"):
        run_once(tmp_path / "run", tensors)
    assert (tmp_path / "run" / MODEL).read_bytes() == before


def test_progress_of_another_config_is_refused(tmp_path, tensors):
    start_run(tmp_path / "run", CONFIG, RECIPE)
    run_once(tmp_path / "run", tensors)
    with pytest.raises(RunError, match=r"does not fit config\.json"):
        train(tmp_path / "run", Autoencoder(ModelConfig(latent_size=9, widths=(4, 8))), RECIPE, *tensors, CPU)


def test_training_learns_and_measures_it(tmp_path, tensors):
    recipe = Recipe(epochs=12, batch_size=16, lr=0.02)
    start_run(tmp_path / "run", CONFIG, recipe)
    steps = []
    torch.manual_seed(0)
    metrics = train(tmp_path / "run", Autoencoder(CONFIG), recipe, *tensors, CPU, on_step=steps.append)
    mean_image_mse = (tensors[1] / 255 - (tensors[0] / 255).mean(dim=0)).square().mean().item()
    assert metrics[-1]["test_mse"] < 0.75 * mean_image_mse
    assert metrics[-1]["test_mse"] < metrics[0]["test_mse"]
    assert [step.done for step in steps] == list(range(1, 12 * 7 + 1))
    lines = (tmp_path / "run" / METRICS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == metrics
    assert set(metrics[0]) == {
        "epoch", "train_loss", "test_mse", "test_psnr_pooled", "test_psnr_per_image", "test_ssim",
        "seconds", "images_per_second",
    }  # fmt: skip


def test_the_training_loss_is_the_mean_over_images_even_with_a_short_last_batch(tmp_path, tensors):
    recipe = Recipe(epochs=1, batch_size=64, lr=1e-12)  # too small a step to change the model
    start_run(tmp_path / "run", CONFIG, recipe)
    torch.manual_seed(0)
    model = Autoencoder(CONFIG)
    quality, _ = measure_model(model, tensors[0], CPU)
    (metrics,) = train(tmp_path / "run", model, recipe, *tensors, CPU)
    assert metrics["train_loss"] == pytest.approx(quality.mse, rel=1e-3)


def test_measurements_are_passed_on_after_the_checkpoint(tmp_path, tensors):
    start_run(tmp_path / "run", CONFIG, RECIPE)
    seen = []

    def on_measured(metrics, reconstructions):
        assert metrics == load_checkpoint(tmp_path / "run").metrics
        with torch.inference_mode():
            expected = load_checkpoint(tmp_path / "run").model(tensors[1][:10].unsqueeze(1) / 255).squeeze(1)
        np.testing.assert_allclose(reconstructions, expected.numpy(), atol=1e-5)
        seen.append(len(metrics))

    train(tmp_path / "run", Autoencoder(CONFIG), RECIPE, *tensors, CPU, on_measured=on_measured)
    assert seen == [1, 2, 3, 4]


def test_bfloat16_trains_equally_well(tmp_path, tensors, monkeypatch):
    """Take the path of CPUs that multiply bfloat16; other CPUs emulate it."""
    losses = {}
    for bfloat16 in (False, True):
        monkeypatch.setattr("fmae_edge.train.loop.has_fast_bfloat16", lambda _, answer=bfloat16: answer)
        start_run(tmp_path / str(bfloat16), CONFIG, RECIPE)
        losses[bfloat16] = [entry["train_loss"] for entry in run_once(tmp_path / str(bfloat16), tensors)]
    assert losses[True] != losses[False]
    assert losses[True] == pytest.approx(losses[False], rel=0.05)


def test_a_diverging_run_stops(tmp_path, tensors):
    start_run(tmp_path / "run", CONFIG, RECIPE)
    model = Autoencoder(CONFIG)
    torch.nn.init.constant_(model.encoder.dense.bias, float("nan"))
    with pytest.raises(RunError, match="loss is nan in epoch 1.*lower --lr"):
        train(tmp_path / "run", model, RECIPE, *tensors, CPU)


def test_every_epoch_has_its_own_order_of_all_images():
    orders = [epoch_order(50, 3, epoch).tolist() for epoch in (1, 2, 3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert epoch_order(50, 3, 2).tolist() == orders[1]
    assert epoch_order(50, 4, 1).tolist() != orders[0]


def test_seeds_give_different_results(tmp_path, tensors):
    losses = []
    for seed in (0, 1):
        run, recipe = tmp_path / str(seed), Recipe(epochs=1, seed=seed)
        start_run(run, CONFIG, recipe)
        losses.append(run_once(run, tensors, recipe=recipe)[0]["train_loss"])
    assert losses[0] != losses[1]
