"""A run writes curves, one picture per epoch, and events for TensorBoard; training is the same without them."""

import importlib.util
import io
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import MODEL, RunError, load_checkpoint, read_config, start_run
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import Recipe
from fmae_edge.train import run_pictures
from fmae_edge.train.loop import train
from fmae_edge.train.run_pictures import CURVES, EVENTS, IMAGES, RECONSTRUCTIONS, RunPictures, plot_curves

CONFIG = ModelConfig(latent_size=8, widths=(4, 8))
RECIPE = Recipe(epochs=3, batch_size=32, lr=0.01, seed=3)
CPU = torch.device("cpu")
SCALE, MARGIN = 5, 12
SIDE = 28 * SCALE


@pytest.fixture
def tensors(images):
    pixels = torch.from_numpy(images.copy())
    return pixels[:100], pixels[100:150]


def run_once(run, tensors, stop_after=None, made_by=RunPictures):
    def on_epoch(metrics):
        if metrics["epoch"] == stop_after:
            raise KeyboardInterrupt

    torch.manual_seed(RECIPE.seed)
    model = Autoencoder(read_config(run))
    try:
        with made_by(run, tensors[1]) as made:
            train(run, model, RECIPE, *tensors, CPU, on_epoch=on_epoch, on_measured=made.on_measured)
    finally:  # TensorBoard reads files in the order of their names: second and process, which are the same here
        for path in (run / EVENTS).glob("events.out.tfevents.*.*"):
            path.rename(path.with_name(f"events.out.tfevents.{len(list(path.parent.iterdir()))}"))


def shown(path):
    """Return the originals and the reconstructions in a picture, each (10, 28, 28)."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    lefts = [MARGIN + index * (SIDE + MARGIN) for index in range(IMAGES)]
    return [
        np.stack([pixels[top : top + SIDE : SCALE, left : left + SIDE : SCALE] for left in lefts])
        for top in (MARGIN, MARGIN + SIDE + MARGIN)
    ]


def names(run):
    return sorted(path.name for path in (run / RECONSTRUCTIONS).iterdir())


def logged(run):
    """Return {name: [(epoch, value), ...]} of the scalars, and the pictures, as TensorBoard reads them."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(run / EVENTS), {"scalars": 0, "images": 0})
    events.Reload()
    scalars = {
        name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]
    }
    return scalars, events.Images(RECONSTRUCTIONS)


def test_one_picture_per_epoch_shows_the_first_test_images(tmp_path, tensors):
    run = tmp_path / "run"
    start_run(run, CONFIG, RECIPE)
    run_once(run, tensors)
    assert names(run) == [f"epoch-00{epoch}.png" for epoch in (1, 2, 3)]
    originals = tensors[1][:IMAGES]
    made = [shown(run / RECONSTRUCTIONS / name) for name in names(run)]
    for drawn, _ in made:
        np.testing.assert_array_equal(drawn, originals)
    with torch.inference_mode():
        expected = load_checkpoint(run).model(originals.unsqueeze(1) / 255).squeeze(1) * 255
    assert np.abs(made[-1][1] - expected.numpy()).max() < 0.501
    assert all((made[0][1] != other).any() for _, other in made[1:])


def test_curves_are_drawn_again_every_epoch(tmp_path, tensors):
    run, seen = tmp_path / "run", []
    start_run(run, CONFIG, RECIPE)
    with RunPictures(run, tensors[1]) as made:

        def on_measured(metrics, reconstructions):
            made.on_measured(metrics, reconstructions)
            seen.append((run / CURVES).read_bytes())

        train(run, Autoencoder(CONFIG), RECIPE, *tensors, CPU, on_measured=on_measured)
    assert len(set(seen)) == RECIPE.epochs
    with Image.open(io.BytesIO(seen[-1])) as picture:
        assert (picture.format, *picture.size) == ("PNG", 1080, 432)


@pytest.mark.slow
def test_of_many_epochs_some_are_drawn_and_always_the_last(tmp_path, tensors):
    keys = ("train_loss", "test_mse", "test_psnr_pooled", "test_psnr_per_image")
    metrics = [{"epoch": epoch, **dict.fromkeys(keys, 0.1 / epoch)} for epoch in range(1, 34)]
    run = tmp_path / os.fsdecode(b"run-\xff")  # TensorBoard cannot write there
    run.mkdir()
    with RunPictures(run, tensors[1]) as made:
        for count in range(1, 34):
            made.on_measured(metrics[:count], np.zeros((10, 28, 28), np.float32))
        assert names(run)[-1] == "epoch-030.png"
        curves = (run / CURVES).read_bytes()
    assert names(run) == [f"epoch-{epoch:03d}.png" for epoch in (*range(1, 21), 30, 33)]
    assert (run / CURVES).read_bytes() != curves
    assert not (run / EVENTS).exists()


def test_curves_go_through_the_metrics():
    names = ("test_psnr_pooled", "test_psnr_per_image", "train_loss", "test_mse")
    metrics = [
        {"epoch": epoch, **{name: 1 / (index + epoch) for index, name in enumerate(names)}} for epoch in (1, 2, 3)
    ]
    plain = [line.get_xydata().tolist() for panel in plot_curves(metrics).axes for line in panel.lines]
    assert plain == [[[entry["epoch"], entry[name]] for entry in metrics] for name in names]
    for entry in metrics[1:]:  # the loss has a rate only after the first steps
        entry["train_bytes"] = 20.0 + entry["epoch"]
    figure = plot_curves(metrics)
    assert figure.axes[2].lines[0].get_xydata().tolist() == [[2, 22], [3, 23]]
    assert figure.axes[2].get_xlim() == figure.axes[0].get_xlim()
    assert len(plot_curves(metrics[:1]).axes) == 2


def test_a_resumed_run_continues_its_pictures(tmp_path, tensors):
    run, whole = tmp_path / "run", tmp_path / "whole"
    for folder in (run, whole):
        start_run(folder, CONFIG, RECIPE)
    with pytest.raises(KeyboardInterrupt):
        run_once(run, tensors, stop_after=2)
    assert names(run) == ["epoch-001.png", "epoch-002.png"]
    run_once(run, tensors)
    run_once(run, tensors)  # already finished
    run_once(whole, tensors)
    assert names(run) == names(whole)
    for name in names(run):
        assert (run / RECONSTRUCTIONS / name).read_bytes() == (whole / RECONSTRUCTIONS / name).read_bytes()
    scalars, images = logged(run)
    assert [image.step for image in images] == [1, 2, 3]
    assert all([step for step, _ in events] == [1, 2, 3] for events in scalars.values())


def test_training_is_the_same_with_and_without_pictures(tmp_path, tensors):
    run, plain = tmp_path / "run", tmp_path / "plain"
    for folder in (run, plain):
        start_run(folder, CONFIG, RECIPE)
    with pytest.raises(KeyboardInterrupt):
        run_once(run, tensors, stop_after=2)
    for folder in (RECONSTRUCTIONS, EVENTS):
        shutil.rmtree(run / folder, ignore_errors=True)
    (run / CURVES).unlink()
    run_once(run, tensors)
    assert names(run) == ["epoch-003.png"]
    torch.manual_seed(RECIPE.seed)
    train(plain, Autoencoder(CONFIG), RECIPE, *tensors, CPU)
    assert (run / MODEL).read_bytes() == (plain / MODEL).read_bytes()
    assert len(load_checkpoint(run).metrics) == 3  # pictures do not hide what export reads


def test_events_hold_every_metric(tmp_path, tensors):
    run = tmp_path / "run"
    start_run(run, CONFIG, RECIPE)
    with pytest.raises(KeyboardInterrupt):
        run_once(run, tensors, stop_after=2)
    scalars, images = logged(run)
    metrics = load_checkpoint(run).metrics
    assert set(scalars) == set(metrics[0]) - {"epoch"}
    for name, events in scalars.items():
        assert events == [(entry["epoch"], pytest.approx(entry[name], rel=1e-6)) for entry in metrics]
    for image, name in zip(images, names(run), strict=True):
        with (
            Image.open(io.BytesIO(image.encoded_image_string)) as logged_picture,
            Image.open(run / RECONSTRUCTIONS / name) as picture,
        ):
            np.testing.assert_array_equal(np.asarray(logged_picture.convert("L")), np.asarray(picture))


def test_events_of_a_lost_epoch_are_not_shown_twice(tmp_path, tensors):
    run = tmp_path / "run"
    start_run(run, CONFIG, RECIPE)
    with pytest.raises(KeyboardInterrupt):
        run_once(run, tensors, stop_after=1)
    kept = shutil.copytree(run, tmp_path / "kept", ignore=shutil.ignore_patterns(EVENTS))
    with pytest.raises(KeyboardInterrupt):
        run_once(run, tensors, stop_after=2)
    shutil.copytree(kept, run, dirs_exist_ok=True)  # loses the checkpoint of the second epoch, but not its events
    run_once(run, tensors)
    scalars, images = logged(run)
    assert [image.step for image in images] == [1, 2, 3]
    assert all([step for step, _ in events] == [1, 2, 3] for events in scalars.values())


def test_nothing_is_written_before_the_first_epoch_is_finished(tmp_path, tensors):
    start_run(tmp_path / "run", CONFIG, RECIPE)
    with RunPictures(tmp_path / "run", tensors[1]):
        pass
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json", "recipe.json"]


def test_tensorboard_is_not_needed(tmp_path, tensors, monkeypatch, capfd):
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    spec = importlib.util.spec_from_file_location("pictures_without_tensorboard", run_pictures.__file__)
    without = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(without)
    start_run(tmp_path / "run", CONFIG, RECIPE)
    run_once(tmp_path / "run", tensors, made_by=without.RunPictures)
    assert len(names(tmp_path / "run")) == 3
    assert (tmp_path / "run" / CURVES).exists()
    assert not (tmp_path / "run" / EVENTS).exists()
    assert capfd.readouterr() == ("", "")


def test_a_folder_with_pictures_is_not_started_in(tmp_path, tensors):
    run = tmp_path / "run"
    run.mkdir()
    metrics = [{"epoch": 1, "train_loss": 0.1, "test_mse": 0.1, "test_psnr_pooled": 10, "test_psnr_per_image": 10}]
    with RunPictures(run, tensors[1]) as made:
        made.on_measured(metrics, np.zeros((50, 28, 28), np.float32))
    with pytest.raises(RunError, match="already exists"):
        start_run(run, CONFIG, RECIPE)
