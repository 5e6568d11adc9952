"""A run folder is read completely, or refused with the name of the invalid file."""

import json
import shutil

import pytest
import safetensors.torch
import torch

from fmae_edge.model.checkpoint import (
    CONFIG,
    METRICS,
    MODEL,
    RECIPE,
    RunError,
    load_checkpoint,
    read_config,
    start_run,
)
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import Recipe
from tests.conftest import CHECKPOINT


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(CHECKPOINT, tmp_path / "run")


def change_config(run, **changes):
    path = run / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_shipped_checkpoint_is_the_seed_trained_for_rate_and_distortion():
    checkpoint = load_checkpoint(CHECKPOINT)
    assert checkpoint.model.config == ModelConfig()
    assert checkpoint.recipe.rate_distortion == 0.0032
    assert checkpoint.prior is not None
    assert len(checkpoint.metrics) == checkpoint.recipe.epochs
    # 0.00470 is the error of 10 epochs that minimise only the error
    assert checkpoint.metrics[-1]["test_mse"] <= 0.0047


def test_a_config_of_square_images_stays_readable(run):
    """Older runs recorded one `image_size`."""
    recorded = {"image_size": 28, "image_channels": 1, "latent_size": 64, "widths": [32, 64, 128]}
    (run / CONFIG).write_text(json.dumps(recorded))
    assert read_config(run) == load_checkpoint(run).model.config == ModelConfig()
    (run / CONFIG).write_text(json.dumps({**recorded, "image_size": 30}))
    assert read_config(run) == ModelConfig(30, 30)


@pytest.mark.parametrize("name", [CONFIG, RECIPE, MODEL, METRICS])
def test_a_missing_file_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(RunError, match=name):
        load_checkpoint(run)


def test_a_missing_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "changes", [{"latent_size": 32}, {"widths": [32, 64]}, {"widths": [32, 64, 127]}, {"height": 40, "width": 40}]
)
def test_a_config_that_does_not_fit_the_weights_is_refused(run, changes):
    change_config(run, **changes)
    with pytest.raises(RunError, match=r"model\.safetensors has .* where config\.json needs"):
        load_checkpoint(run)


def test_more_latents_than_the_payload_of_a_file_holds_are_refused(run):
    assert ModelConfig(latent_size=16383).latent_size == 16383  # 4 bytes each plus 1 are 65,533
    with pytest.raises(ValueError, match=r"latent_size is 16384; it must be at most 16383, .* payload"):
        ModelConfig(latent_size=16384)
    change_config(run, latent_size=16384)
    with pytest.raises(RunError, match=r"config\.json: .*latent_size is 16384"):
        load_checkpoint(run)


@pytest.mark.parametrize("changes", [{"latent_size": "64"}, {"image_size": 300}, {"depth": 3}, {"widths": 5}])
def test_an_invalid_config_is_refused(run, changes):
    change_config(run, **changes)
    with pytest.raises(RunError, match="not a valid ModelConfig"):
        load_checkpoint(run)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\0"])
def test_a_config_that_is_not_a_json_object_is_refused(run, text):
    (run / CONFIG).write_text(text)
    with pytest.raises(RunError, match=r"config\.json"):
        read_config(run)


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c[:100], lambda c: b"", lambda c: b"\xff" * 100])
def test_damaged_weights_are_refused(run, change):
    path = run / MODEL
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        load_checkpoint(run)


def test_weights_that_diverged_are_refused(run):
    weights = safetensors.torch.load_file(run / MODEL)
    weights["encoder.dense.bias"][3] = float("nan")
    safetensors.torch.save_file(weights, run / MODEL)
    with pytest.raises(RunError, match=r"NaN.*encoder\.dense\.bias"):
        load_checkpoint(run)


def test_a_missing_weight_is_refused(run):
    weights = safetensors.torch.load_file(run / MODEL)
    del weights["decoder.dense.bias"]
    safetensors.torch.save_file(weights, run / MODEL)
    with pytest.raises(RunError, match=r"has nothing for decoder\.dense\.bias"):
        load_checkpoint(run)


def test_a_run_is_never_started_over_another(run):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(RunError, match="already exists; continue with --resume"):
        start_run(run, ModelConfig(), Recipe())
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_the_weights_load_without_gradients_or_training_mode():
    model = load_checkpoint(CHECKPOINT).model
    assert not model.training
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
