"""`fmae-edge evaluate` ends with the verdict, and keeps it in the bundle that it was given."""

import json

import numpy as np
import pytest

from fmae_edge.evaluate.codec_settings import Ladder, general_ladders
from fmae_edge.runtime.atomic_write import write_file
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.errors import OutputError
from tests.few_images import replace_fashion_mnist


@pytest.fixture(autouse=True)
def few(monkeypatch, few_images):
    """Measure few images with few codecs and qualities."""
    replace_fashion_mnist(monkeypatch, few_images)
    webp = next(each for each in general_ladders((28, 28)) if each.name == "WebP")
    monkeypatch.setattr("fmae_edge.evaluate.evaluation.general_ladders", lambda shape: [Ladder(webp.rungs[:4], 4)])
    monkeypatch.setattr("fmae_edge.evaluate.evaluation.fit_pca_codecs", lambda images: [])
    monkeypatch.setattr("fmae_edge.evaluate.evaluation.QUALITIES", 4)


def test_the_last_lines_are_the_verdict_and_the_bundle_keeps_it(cli, tmp_path, bundle):
    done = cli("evaluate", bundle, "--images", "100")
    assert done.returncode == 0
    sentences = json.loads((tmp_path / "evaluation/evaluation.json").read_text())["verdict"]["sentences"]
    assert done.stdout.rstrip().split("\n\n")[-len(sentences) :] == sentences
    assert sentences[0] == "This bundle needs fewer bytes than every other codec, at every quality that it has."
    assert sentences[1].startswith("One image per file: ")
    assert "than the best other codec (WebP) at equal PSNR, from" in sentences[1]
    assert sentences[-1] == "Measured on 100 held-out images."
    assert "measuring 100 of 256 held-out images; more: --images N" in done.stderr
    manifest = read_bundle(bundle).manifest
    assert manifest.record["verdict"]["sentences"] == sentences
    assert manifest.bundle_id == read_bundle(DEFAULT_BUNDLE).manifest.bundle_id
    assert f"wrote the verdict to the manifest of {bundle}" in done.stderr
    shown = cli("info", "bundle").stdout
    assert all(sentence in shown for sentence in sentences)


@pytest.mark.parametrize("name", [(), ("default",)])
def test_a_built_in_bundle_does_not_keep_it(cli, name):
    before = (DEFAULT_BUNDLE / "manifest.json").read_bytes()
    done = cli("evaluate", *name, "--images", "100", "--json")
    assert done.returncode == 0
    assert "manifest" not in done.stderr
    verdict = json.loads(done.stdout)["verdict"]
    assert verdict["images"] == 100
    assert verdict["single"]["smaller"]["percent"] < -50
    assert verdict["training"]["training_images"] == 100
    assert (DEFAULT_BUNDLE / "manifest.json").read_bytes() == before


def test_a_bundle_that_cannot_be_written_is_no_failure(cli, bundle, monkeypatch):
    def refuse(path, content, force):
        if path.name == "manifest.json":
            raise OutputError(f"{path}: cannot be written (Read-only file system)")
        write_file(path, content, force)

    monkeypatch.setattr("fmae_edge.evaluate.evaluation_files.write_file", refuse)
    done = cli("evaluate", bundle, "--images", "100")
    assert done.returncode == 0
    assert "fmae-edge: the manifest does not keep the verdict: " in done.stderr
    assert "cannot be written (Read-only file system)" in done.stderr


def test_images_of_another_size_than_the_bundle_takes(cli, rgb_bundle, tmp_path):
    done = cli("evaluate", rgb_bundle)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the images have shape (28, 28), but the bundle takes (26, 20, 3)" in done.stderr
    assert not any(path.suffix for path in (tmp_path / "evaluation").iterdir())


@pytest.mark.parametrize("number", ["50", "150", "10100"])
def test_an_invalid_number_of_images(cli, number):
    done = cli("evaluate", "--images", number)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--images is " in done.stderr


def test_fewer_than_100_held_out_images_are_measured_alone(cli, few_images, monkeypatch):
    from dataclasses import replace

    fewer = replace(few_images, test=np.ascontiguousarray(few_images.test[:40]))
    replace_fashion_mnist(monkeypatch, fewer)
    done = cli("evaluate")
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith(
        "Measured on 40 held-out images with one image per file; 100 images per file needs at least 100."
    )
