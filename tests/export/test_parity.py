"""The shipped graphs are in parity with their checkpoint, and the gates catch graphs that are not."""

import dataclasses
import json

import onnx
import pytest
import torch
from onnx import numpy_helper

from fmae_edge.commands.parity import parity_table
from fmae_edge.export.parity import BATCHES, measure_parity
from fmae_edge.model.checkpoint import load_checkpoint
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import GRAPH_NAMES
from fmae_edge.runtime.engine.sessions import open_session
from tests.conftest import CHECKPOINT
from tests.installed_data import needs_data


@pytest.fixture(scope="module")
def model():
    return load_checkpoint(CHECKPOINT).model


@pytest.fixture(scope="module")
def files():
    return read_bundle(DEFAULT_BUNDLE, only=GRAPH_NAMES).files


@pytest.fixture
def some(images):
    return torch.from_numpy(images[:60].copy())


@pytest.mark.slow
@needs_data
def test_the_shipped_bundle_on_all_test_images(model, files, fashion_mnist, monkeypatch):
    """Measure one batch size, since all take a minute; the record must have the same figures for the others."""
    monkeypatch.setattr("fmae_edge.export.parity.BATCHES", (7,))
    parity = measure_parity(model, files, torch.from_numpy(fashion_mnist.test))
    assert parity.failures() == []
    assert parity.images == 10_000
    found = {(c.precision, c.optimised): c.psnr for c in parity.comparisons}
    recorded = read_bundle(DEFAULT_BUNDLE).manifest.record["parity"]
    assert recorded["failures"] == []
    assert not recorded["loss_allowed"]
    assert parity.torch_psnr == pytest.approx(recorded["torch_psnr"], abs=1e-4)
    rows = recorded["comparisons"]
    assert {(r["batch"], r["precision"], r["optimised"]) for r in rows} == {
        (b, *c) for b in BATCHES for c in found
    }
    for row in rows:
        # int8 results differ in the last bit between kinds of CPU
        psnr = pytest.approx(row["psnr"], abs=1e-4 if row["precision"] == "fp32" else 0.02)
        assert found[row["precision"], row["optimised"]] == psnr


def test_every_case_is_compared(model, files, some):
    done = []
    parity = measure_parity(model, files, some, lambda *progress: done.append(progress))
    cases = {(c.precision, c.batch, c.optimised) for c in parity.comparisons}
    assert cases == {(p, b, o) for p in ("int8", "fp32") for b in (1, 7, 256) for o in (False, True)}
    assert done == [(k, 12) for k in range(1, 13)]
    assert parity.failures() == []
    record = parity.to_record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_optimisations_are_on_and_off(model, files, some, monkeypatch):
    opened = []

    def note(content, name, threads, optimise):
        opened.append((name, optimise))
        return open_session(content, name, threads, optimise)

    monkeypatch.setattr("fmae_edge.export.parity.open_session", note)
    measure_parity(model, files, some[:2])
    assert sorted(opened) == sorted((name, on) for name in files for on in (False, True))


def test_any_number_of_images_is_compared_in_parts_with_the_same_figures(model, files, some, monkeypatch):
    monkeypatch.setattr("fmae_edge.export.parity.BATCHES", (4,))  # 24 and 12 are multiples of it
    whole = measure_parity(model, files, some)
    monkeypatch.setattr("fmae_edge.export.parity._NUMBERS_AT_ONCE", 24 * 28 * 28 + 5)
    done = []
    in_parts = measure_parity(model, files, some, lambda *progress: done.append(progress))
    assert done == [(k, 12) for k in range(1, 13)]  # 24, 24 and 12 images, with 4 comparisons each
    assert in_parts.images == whole.images == 60
    assert in_parts.torch_psnr == whole.torch_psnr
    for part, at_once in zip(in_parts.comparisons, whole.comparisons, strict=True):
        assert dataclasses.astuple(part)[:3] == dataclasses.astuple(at_once)[:3]
        assert dataclasses.astuple(part)[3:] == pytest.approx(dataclasses.astuple(at_once)[3:], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("limit", "most"), [("_MOST_PIXELS", 20 * 28 * 28 + 5), ("_MOST_IMAGES", 20)])
def test_of_many_or_large_images_the_first_are_compared(model, files, some, monkeypatch, limit, most):
    monkeypatch.setattr("fmae_edge.export.parity.BATCHES", (4,))
    monkeypatch.setattr(f"fmae_edge.export.parity.{limit}", most)
    parity = measure_parity(model, files, some)
    assert (parity.images, parity.held_out_images) == (20, 60)
    assert parity_table(parity).splitlines()[-1].startswith("20 of 60 images; PyTorch")
    alone = measure_parity(model, files, some[:20])
    assert parity.comparisons == alone.comparisons
    assert parity_table(alone).splitlines()[-1].startswith("20 images; PyTorch")


def test_a_large_image_alone_is_compared(model, files, some, monkeypatch):
    for name in ("_MOST_PIXELS", "_NUMBERS_AT_ONCE", "_PIXELS_AT_ONCE", "_TORCH_PIXELS"):
        monkeypatch.setattr(f"fmae_edge.export.parity.{name}", 5)
    parity = measure_parity(model, files, some[:2])
    assert (parity.images, [each.batch for each in parity.comparisons]) == (1, [1] * 4)  # each batch size once


def perturbed(content, name, factor):
    graph = onnx.load_from_string(content)
    (tensor,) = (t for t in graph.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * tensor_type(tensor)(factor), name))
    return graph.SerializeToString()


def tensor_type(tensor):
    return numpy_helper.to_array(tensor).dtype.type


@pytest.mark.parametrize(
    ("file", "tensor", "factor", "gate"),
    [
        ("encoder.fp32.onnx", "dense.weight", 1.001, "largest latent difference"),
        ("decoder.fp32.onnx", "conv3.weight", 1.001, "largest pixel difference"),
        ("decoder.onnx", "conv2.weight_scale", 1.2, "PSNR lost"),
        ("encoder.onnx", "dense.weight_scale", 1.3, "PSNR lost"),
        ("encoder.onnx", "dense.weight_scale", float("nan"), "PSNR lost"),
    ],
)
def test_a_graph_that_differs_from_the_model_is_detected(model, files, some, file, tensor, factor, gate):
    changed = files | {file: perturbed(files[file], tensor, factor)}
    failures = measure_parity(model, changed, some).failures()
    assert len([failure for failure in failures if gate in failure]) == 6  # 3 batches, optimised or not
    assert all(failure.startswith("int8" if "fp32" not in file else "fp32") for failure in failures)


def test_the_gates_have_their_documented_values(model, files, some):
    fp32 = next(c for c in measure_parity(model, files, some[:2]).comparisons if c.precision == "fp32")
    int8 = dataclasses.replace(fp32, precision="int8")
    for good, bad, comparison in (
        ({"pixel_max": 1e-5}, {"pixel_max": 1.1e-5}, fp32),
        ({"latent_max": 1e-4}, {"latent_max": 1.1e-4}, fp32),
        ({"loss_db": 0.10}, {"loss_db": 0.11}, int8),
        ({"pixel_max": 0.5}, {"loss_db": float("nan")}, int8),
    ):
        assert dataclasses.replace(comparison, **good).failures() == []
        assert len(dataclasses.replace(comparison, **bad).failures()) == 1
