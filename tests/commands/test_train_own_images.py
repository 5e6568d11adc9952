"""`train FOLDER`: own images get their own defaults, a validation part and a verdict, and are found again."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmae_edge.commands.training_options import ImageOptions, TrainingOptions, named_or_path, run_folder
from fmae_edge.evaluate import codec_settings
from fmae_edge.model.checkpoint import load_checkpoint, read_config, read_recipe
from fmae_edge.model.default_recipe import default_rate_distortion
from fmae_edge.train.prior_fit import fit_prior
from tests.random_bundle import smooth_images

SMALL = ("--latent", "8", "--widths", "4,8", "--device", "cpu")


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """A cache of its own, a short fit of the prior, and a comparison with few settings of other codecs."""
    ladders = codec_settings.general_ladders

    def few(shape):
        return [replace(each, rungs=each.rungs[:2]) for each in ladders(shape) if each.name == "WebP"]

    monkeypatch.setattr("fmae_edge.evaluate.quick_verdict.general_ladders", few)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "fmae_edge.train.loop.fit_prior",
        lambda prior, latents, settings, *rest: fit_prior(prior, latents, replace(settings, steps=3), *rest),
    )


@pytest.fixture
def photos(tmp_path, images):
    (tmp_path / "photos").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "photos" / f"{index}.png")
    return tmp_path / "photos"


def train(cli, *arguments):
    done = cli("train", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def test_a_folder_becomes_a_run_with_its_own_defaults(cli, tmp_path, photos):
    said = train(cli, "photos", *SMALL, "--epochs", "2").stdout
    run = tmp_path / "runs" / "photos"
    recipe, config = read_recipe(run), read_config(run)
    assert recipe.rate_distortion == default_rate_distortion(config)
    assert (recipe.epochs, recipe.batch_size) == (2, 32)
    assert (config.latent_size, config.widths) == (8, (4, 8))
    parts = (recipe.train_images, recipe.validation_images, recipe.test_images)
    assert sum(part.shape[0] for part in parts) == 256
    assert all(part.shape[0] > 0 for part in parts)
    assert recipe.data["name"] == "photos"
    assert str(tmp_path) not in (run / "recipe.json").read_text()
    assert load_checkpoint(run).prior is not None
    assert "validation MSE" in said
    assert "test MSE" not in said
    lines = said.splitlines()
    assert lines[-1] == f"2 epochs done: {run.relative_to(tmp_path)}; next: fmae-edge export runs/photos -o BUNDLE"
    at = next(number for number, line in enumerate(lines) if line.startswith("fitted the prior"))
    assert lines[at + 1].startswith(f"on {parts[2].shape[0]} held-out images: ")
    assert lines[at + 2].count(" bytes and ") == 3
    assert lines[at + 3].startswith("training images have ")
    assert any("WebP" in line for line in lines[at + 4 :])


def test_held_out_images_may_have_a_folder_of_their_own(cli, tmp_path, images):
    np.save(tmp_path / "some.npy", images[:230])
    np.save(tmp_path / "other.npy", images[230:])
    train(cli, "some.npy", "--holdout", "other.npy", *SMALL, "--epochs", "1", "--mse")
    recipe = read_recipe(tmp_path / "runs" / "some")
    assert recipe.test_images.shape == (26, 28, 28)
    assert recipe.rate_distortion is None


def test_colours_sizes_and_augmentation_reach_the_model(cli, tmp_path):
    np.save(tmp_path / "icons.npy", smooth_images(220, 12, 16, 3))
    train(cli, "icons.npy", "-o", "run", "--epochs", "1", "--augment", "flip", *SMALL)
    assert read_config(tmp_path / "run").image_shape == (12, 16, 3)
    assert read_recipe(tmp_path / "run").augment == "flip"
    train(
        cli, "icons.npy", "-o", "gray", "--epochs", "1", "--color", "grey", "--size", "8x8", "--fit", "pad", *SMALL
    )
    assert read_config(tmp_path / "gray").image_shape == (8, 8)


def test_a_run_is_resumed_without_naming_its_images(cli, tmp_path, photos):
    train(cli, "photos", "-o", "run", *SMALL, "--epochs", "1")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    photos.rename(tmp_path / "elsewhere")
    assert "1 epochs done" in train(cli, "-o", "run", "--resume").stdout
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("contradiction", "sentence"),
    [
        (("--epochs", "3"), "--epochs is 3, but the run was started with 1"),
        (("--minutes", "3"), "--minutes is 3.0, but the run was started without it"),
        (("--latent", "9"), "--latent is 9, but the run was started with 8"),
        (("--widths", "4,8,8"), "--widths is (4, 8, 8), but the run was started with (4, 8)"),
        (("--size", "32x32"), "--size is 32x32, but the run was started with 28x28"),
        (("--color", "rgb"), "--color is rgb, but the run was started with gray"),
        (("--holdout", "0.2"), "--holdout is 0.2, but the run was started with 0.1"),
        (("--fit", "pad"), "--fit is pad, but the run was started without it"),
        (("mnist",), "DATA is mnist, but the run was started with photos"),
        (("--mse",), "--mse is set, but the run was started with --rate-distortion 0.01"),
    ],
)
def test_options_that_contradict_the_run_are_refused(cli, started, contradiction, sentence):
    done = cli("train", "-o", started, "--resume", *contradiction)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"fmae-edge: {sentence}; leave it out, or start a new run\n"


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A run that has only begun."""
    from fmae_edge.model.checkpoint import start_run
    from fmae_edge.model.config import ModelConfig
    from fmae_edge.model.recipe import Recipe

    run = tmp_path_factory.mktemp("runs") / "run"
    settings = {"size": [28, 28], "channels": 1, "fit": None, "holdout": 0.1}
    recipe = Recipe(1, rate_distortion=0.01, data={"name": "photos", "settings": settings})
    start_run(run, ModelConfig(latent_size=8, widths=(4, 8)), recipe)
    return run


def test_options_that_agree_with_the_run_are_accepted(started):
    options = ImageOptions("28x28", "grey", None, ("0.1",))
    options.require_same(read_recipe(started).data["settings"])
    TrainingOptions(epochs=1, rate_distortion=0.01, latent_size=8, widths="4,8").resume(started)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--size", "32"), "--size is '32'; expected HEIGHTxWIDTH in pixels, such as 32x32"),
        (("--size", "4x300"), "--size is '4x300'; height and width must be 8 to 256 pixels"),
        (("--widths", "32,"), "--widths is '32,'; expected integers with commas, such as 32,64,128"),
        (("--holdout", "1.5"), "--holdout is '1.5'; expected a share between 0 and 1, such as 0.1, or a path"),
        (("--holdout", "nan"), "--holdout is 'nan'; expected a share"),
        (("--holdout", "0.1", "--holdout", "x"), "--holdout takes one share, or any number of paths"),
        (("--epochs", "3", "--minutes", "1"), "--minutes and --epochs contradict each other"),
        (("--mse", "--rate-distortion", "0.1"), "--rate-distortion and --mse contradict each other"),
        (("--minutes", "0"), "--minutes is 0.0; it must lie between 0.01 and 1000000"),
        (("--rate-distortion", "5"), "--rate-distortion is 5.0; it must lie between 1e-6 and 1"),
        (("--latent", "0"), "--latent is '0'; expected an integer of at least 1"),
    ],
)
def test_wrong_options_are_usage_errors_before_images_are_read(cli, tmp_path, options, sentence):
    done = cli("train", "nowhere", "-o", "run", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"fmae-edge: {sentence}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_options_that_would_do_nothing_are_refused(cli, tmp_path, photos):
    for arguments, sentence in (
        (("photos", "--data", "."), "--data . has the files of a data set, but DATA has no name of one"),
        (("mnist", "--holdout", "0.2"), "--holdout is 0.2, but a data set has test images of its own"),
        (("--holdout", "0.2"), "--holdout is 0.2, but a data set has test images of its own"),
    ):
        done = cli("train", *arguments, "-o", "run")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"fmae-edge: {sentence}")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("inputs", [("photos", "-o", "photos/run"), (".",), ("a.npy", "--holdout", ".")])
def test_a_run_among_its_images_is_refused(cli, tmp_path, photos, inputs):
    done = cli("train", *inputs)
    assert done.returncode == 2
    assert "where its pictures would be read as images the next time; choose another folder" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_model_that_is_larger_than_memory_leaves_no_run(cli, tmp_path, photos, monkeypatch):
    def fail(config):
        raise MemoryError

    monkeypatch.setattr("fmae_edge.model.autoencoder.Autoencoder", fail)
    assert cli("train", "photos", "-o", "run").returncode == 1
    assert not (tmp_path / "run").exists()


def test_sizes_that_do_not_fit_the_images_are_refused(cli, tmp_path, photos):
    for options, sentence in (
        (("--widths", "1,1,1,1,1,1,1"), "--widths: 7 widths halve an image of 28x28 pixels 6 times"),
        (("--latent", "1000000"), "--latent: every size must be an integer from 1 to 65535; got 1000000\n"),
        (("--widths", "8,0"), "--widths: every size must be an integer from 1 to 65535; got 0\n"),
    ):
        done = cli("train", "photos", "-o", "run", *options)
        assert done.returncode == 2
        assert done.stderr.startswith(f"fmae-edge: {sentence}")
        assert not (tmp_path / "run").exists()


def test_a_run_that_exists_is_refused_before_images_are_read(cli, started):
    done = cli("train", "nowhere", "-o", started)
    assert done.returncode == 1
    assert "already exists; continue with --resume" in done.stderr


def test_missing_images_are_one_sentence(cli, tmp_path):
    done = cli("train", "nowhere", "-o", "run")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_json_has_epochs_and_then_the_verdict(cli, photos):
    done = train(cli, "photos", "-o", "run", *SMALL, "--epochs", "2", "--json")
    *epochs, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["epoch"] for entry in epochs] == [1, 2]
    assert all("val_loss" in entry for entry in epochs)
    assert [point["quality"] for point in last["held_out"]["points"]] == [1, 5, 9]
    assert last["held_out"]["verdict"]["sentences"]
    assert last["held_out"]["gap"] == last["held_out"]["train_psnr"] - last["held_out"]["psnr"]


def test_without_the_packages_for_comparison_a_sentence_says_how_to_get_them(cli, photos, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("fmae_edge.evaluate.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    done = train(cli, "photos", "-o", "run", *SMALL, "--epochs", "1")
    assert (
        "not compared with WebP and others: this needs imagecodecs; install fmae-edge with [evaluate]"
        in done.stdout
    )


def test_a_run_is_named_after_its_inputs(tmp_path, monkeypatch):
    (tmp_path / "a.photos").mkdir()
    monkeypatch.chdir(tmp_path / "a.photos")
    assert str(run_folder([])) == "runs/fashion-mnist"
    assert str(run_folder(["mnist"])) == "runs/mnist"
    for name in (".", "../a.photos", "a/.."):
        assert str(run_folder([Path(name)])) == "runs/a.photos"
    assert str(run_folder([tmp_path / "a.photos", Path("b")])) == "runs/a.photos+b"


@pytest.mark.parametrize(
    "name", ["letters/train", "letters/Images", "letters/training/images", "letters/train.npy"]
)
def test_a_run_on_a_folder_called_train_is_named_after_its_parent_too(tmp_path, name):
    expected = "letters-" + name.removeprefix("letters/").removesuffix(".npy").replace("/", "-")
    assert run_folder([tmp_path / name]) == Path("runs", expected)


def test_only_the_plain_name_of_a_data_set_is_one(tmp_path):
    assert named_or_path("mnist") == "mnist"
    assert not isinstance(named_or_path("./mnist"), str)
    assert not isinstance(named_or_path("photos"), str)
