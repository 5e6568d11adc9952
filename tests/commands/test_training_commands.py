"""`train`, `export` and `parity` as functions, on a few images instead of the complete data set."""

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from fmae_edge.commands.console import set_verbosity
from fmae_edge.commands.export import export
from fmae_edge.commands.parity import parity
from fmae_edge.commands.train import train
from fmae_edge.commands.training_progress import TrainingProgress
from fmae_edge.data.errors import DataError
from fmae_edge.data.fashion_mnist import FashionMnist
from fmae_edge.export.errors import ParityError
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.bundle.manifest import FileEntry, Manifest
from fmae_edge.train.prior_fit import fit_prior
from tests.conftest import CHECKPOINT
from tests.few_images import replace_fashion_mnist


@pytest.fixture(autouse=True)
def few_images(images, monkeypatch):
    pixels = images.copy()
    few = FashionMnist(pixels[:200], pixels[200:], Path("few"))
    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", lambda data: few)
    return few


def test_train_follows_its_options(tmp_path, capsys):
    run = tmp_path / "run"
    train(run=run, epochs=1, batch_size=100, lr=0.001, seed=5, device="cpu")
    options = {"epochs": 1, "batch_size": 100, "lr": 0.001, "seed": 5, "rate_distortion": None}
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe | options == recipe
    assert recipe["train_images"]["shape"] == [200, 28, 28]
    assert recipe["test_images"]["shape"] == [56, 28, 28]
    out = capsys.readouterr().out
    assert "epoch   1  train loss " in out
    assert "SSIM" in out
    assert {"curves.png", "reconstructions"} < {path.name for path in run.iterdir()}
    train(run=run, resume=True, device="cpu")
    assert "1 epochs done" in capsys.readouterr().out
    train(run=tmp_path / "other", epochs=1, batch_size=100, lr=0.001, seed=6, device="cpu")
    losses = [
        json.loads((tmp_path / name / "metrics.jsonl").read_text())["train_loss"] for name in ("run", "other")
    ]
    assert losses[0] != losses[1]


def test_resuming_with_other_data_is_refused(tmp_path, images, monkeypatch):
    run = tmp_path / "run"
    train(run=run, epochs=1, batch_size=100, device="cpu")
    before = (run / "model.safetensors").read_bytes()
    other = FashionMnist(images[1:201].copy(), images[200:].copy(), Path("other"))
    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", lambda data: other)
    with pytest.raises(DataError, match="the data set has changed since training: train had 200 images"):
        train(run=run, resume=True, device="cpu")
    assert (run / "model.safetensors").read_bytes() == before


def follow_fit(steps, json=False):
    """Call the callback of the training loop as in a fit in which each step takes half a second."""
    progress = TrainingProgress(json, update=lambda *_: None)
    for done in range(1, steps + 1):
        progress.on_fit(done, steps)


@pytest.fixture
def slow_clock(monkeypatch):
    ticks = iter(range(10**6))
    monkeypatch.setattr("fmae_edge.commands.training_progress.time.monotonic", lambda: next(ticks) / 2)


@pytest.mark.usefixtures("slow_clock")
def test_a_log_has_lines_about_the_progress_of_fitting_the_prior(capsys):
    follow_fit(100)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "fitting the prior to the trained encoder: 100 steps",
        "fitting the prior: 41 of 100 steps, about 30 s left",
        "fitting the prior: 81 of 100 steps, about 10 s left",
        "fitted the prior in 49.5 s",
    ]
    assert err == ""


@pytest.mark.usefixtures("slow_clock")
def test_json_has_epochs_only_and_quiet_prints_nothing_about_the_fit(capsys):
    follow_fit(100, json=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 4
    set_verbosity(quiet=True)
    follow_fit(100)
    assert capsys.readouterr() == ("", "")


def test_training_prints_each_line_at_once(tmp_path, monkeypatch):
    with (tmp_path / "log").open("w") as log:  # which Python writes in blocks of thousands of bytes
        monkeypatch.setattr("sys.stdout", log)
        progress = TrainingProgress(json=False, update=lambda *_: None)
        progress.say("training")
        assert (tmp_path / "log").read_text() == "training\n"
        progress.on_fit(1, 2)
        assert "fitting the prior" in (tmp_path / "log").read_text()
        metrics = (CHECKPOINT / "metrics.jsonl").read_text().splitlines()[0]
        TrainingProgress(json=True, update=lambda *_: None).on_epoch(json.loads(metrics))
        assert '"train_loss"' in (tmp_path / "log").read_text()


def short_fit(prior, latents, settings, *rest):
    return fit_prior(prior, latents, replace(settings, steps=3), *rest)


def test_train_prints_the_fit_after_the_last_epoch(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fmae_edge.train.loop.fit_prior", short_fit)
    train(run=tmp_path / "run", epochs=1, batch_size=100, rate_distortion=0.003, device="cpu")
    done = capsys.readouterr().out
    said = [line.split()[0] for line in done.splitlines()]
    assert said[:7] == ["training", "epoch", "fitting", "fitted", "on", "one", "training"]
    assert "WebP" in done  # a model of one step loses
    assert said[-1] == "1"


def test_export_refuses_a_parity_loss_unless_it_is_allowed(tmp_path, small_run, monkeypatch, capsys):
    # The real activations need ten times these ranges, so they saturate
    monkeypatch.setattr("fmae_edge.export.quantise.upper_bound", lambda values, method: values.max() / 10)
    with pytest.raises(ParityError, match="no bundle was written"):
        export(small_run, tmp_path / "made", int8_loss=99)  # else most layers return to float
    assert not (tmp_path / "made").exists()
    export(small_run, tmp_path / "made", int8_loss=99, allow_parity_loss=True)
    assert read_bundle(tmp_path / "made").manifest.name == "small"
    assert "wrote bundle small" in capsys.readouterr().out


def test_export_follows_its_options(tmp_path, small_run, monkeypatch, capsys):
    monkeypatch.setattr("fmae_edge.export.parity.BATCHES", (7,))
    export(
        small_run,
        tmp_path / "made",
        no_rewrite=True,
        int8_target="arm",
        calibration="percentile",
        calibration_images=40,
        allow_parity_loss=True,
    )
    record = read_bundle(tmp_path / "made").manifest.record["quantisation"]
    layers, loss = record.pop("layers"), record.pop("int8_loss")
    expected = {"rewrite": False, "int8_target": "arm", "calibration": "percentile", "calibration_images": 40}
    assert record == expected
    assert [layer["name"] for layer in layers[4:]] == [
        "decoder.dense",
        "decoder.conv1",
        "decoder.conv2",
        "decoder.conv3",
    ]
    assert loss["training_images"] == 100  # the other half calibrates
    out = capsys.readouterr().out
    assert f"int8 graphs: {loss['db']:.3f} dB lost on 100 training images, at most 0.04 wanted\n" in out
    assert "stay in float32 (faster in float32): encoder.conv1 (" in out
    ops = [node.op_type for node in onnx.load(tmp_path / "made" / "decoder.fp32.onnx").graph.node]
    assert ops.count("ConvTranspose") == 3


def test_parity_passes_or_names_the_failed_gate(bundle, few_images, capsys, monkeypatch):
    replace_fashion_mnist(monkeypatch, few_images)
    parity(CHECKPOINT, bundle)
    assert "56 images; PyTorch" in capsys.readouterr().out
    graph = onnx.load(bundle / "decoder.fp32.onnx")
    (weight,) = (tensor for tensor in graph.graph.initializer if tensor.name == "conv3.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.001, weight.name))
    (bundle / "decoder.fp32.onnx").write_bytes(graph.SerializeToString())
    path = bundle / "manifest.json"
    manifest = Manifest.from_json(path.read_bytes(), "it")
    manifest.files["decoder.fp32.onnx"] = FileEntry.of(graph.SerializeToString())
    path.write_text(manifest.to_json())
    with pytest.raises(ParityError, match="parity gates failed; fp32.*largest pixel difference"):
        parity(CHECKPOINT, bundle)
