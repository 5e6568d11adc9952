"""Export writes a complete bundle that passes the parity gates, or nothing."""

import hashlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from fmae_edge import Codec
from fmae_edge.export import bundle_writer
from fmae_edge.export.bundle_figures import measure_bit_costs, measure_contrast_floors, measure_rate
from fmae_edge.export.bundle_graphs import ExportOptions
from fmae_edge.export.bundle_writer import export_bundle
from fmae_edge.export.errors import ExportError, ParityError
from fmae_edge.export.gradient_graph import gradient_graph
from fmae_edge.measure.quality import contrast_to_error
from fmae_edge.model.checkpoint import MODEL, RECIPE, load_checkpoint
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import GRADIENT_NAME
from fmae_edge.runtime.errors import BundleError, OutputError
from fmae_edge.runtime.self_test import GOLDEN_NAME, self_test
from tests.conftest import CHECKPOINT


@pytest.fixture
def export(tmp_path, images, small_run):
    pixels = torch.from_numpy(images.copy())

    def export_run(run=small_run, target=tmp_path / "made", **options):
        return export_bundle(run, load_checkpoint(run), pixels[:200], pixels[200:], target, "trial", **options)

    return export_run


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_written_bundle_has_its_figures(export, tmp_path, images):
    # Calibrated on 100 images, it may miss the gate by a little
    manifest, parity = export(CHECKPOINT, allow_parity_loss=True)
    read = read_bundle(tmp_path / "made").manifest
    assert read == manifest
    assert read.name == "trial"
    assert read.record["parity"]["images"] == 56
    assert read.record["parity"]["torch_psnr"] == parity.torch_psnr
    assert set(read.record) == {"training", "quantisation", "parity", "quality", "rate", "tools"}
    assert set(read.record["quality"]) == {
        f"{precision} graphs, {dtype} latents"
        for precision in ("int8", "fp32")
        for dtype in ("float32", "float16", "int8")
    }
    assert list(read.record["rate"]) == [f"quality {quality}" for quality in range(1, 10)]
    sizes = [point["bytes_per_image"] for point in read.record["rate"].values()]
    assert sizes == sorted(sizes)
    assert all(cost > 0 for cost in read.qualities.bit_costs)
    made = read_bundle(tmp_path / "made")
    assert read.qualities.bit_costs == measure_bit_costs(made, images[:200])  # training images
    assert read.qualities.contrast_floors == measure_contrast_floors(made, images[:200])
    assert read.record["rate"] == measure_rate(made, images[200:])  # test images
    symbols = Codec(tmp_path / "made", precision="fp32").encode(images[:200], dtype="int8")
    assert 100 <= abs(symbols.astype(int)).max() <= 127
    golden = safetensors.numpy.load((tmp_path / "made" / GOLDEN_NAME).read_bytes())
    np.testing.assert_array_equal(golden["images"], images[:8])  # training images
    assert os.listdir(tmp_path) == ["made"]
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o755


def test_the_recipe_is_recorded_as_the_run_has_it(export, small_run):
    """Old runs recorded the options only, and the default bundle has exactly those."""
    manifest, _ = export()
    assert manifest.record["training"]["recipe"] == json.loads((small_run / RECIPE).read_text())
    assert manifest.record["training"]["checkpoint_sha256"] == sha256_of(small_run / MODEL)
    assert not manifest.record["parity"]["loss_allowed"]
    shipped = read_bundle(DEFAULT_BUNDLE).manifest
    assert shipped.record["training"]["recipe"] == json.loads((CHECKPOINT / RECIPE).read_text())


def test_large_sets_are_used_in_part(export, monkeypatch):
    """The figures are those of the images that parity compares; the prior comes from the first training images."""
    monkeypatch.setattr("fmae_edge.export.parity._MOST_PIXELS", 30 * 28 * 28)
    monkeypatch.setattr("fmae_edge.export.bundle_writer._TRAIN_IMAGES", 150)
    seen = {}

    def noting(name, at):
        original = getattr(bundle_writer, name)

        def note(*arguments):
            seen[name] = len(arguments[at])
            return original(*arguments)

        monkeypatch.setattr(bundle_writer, name, note)

    for name, at in (("encode_all", 1), ("build_graphs", 1), ("measure_latents", 1), ("measure_rate", 1)):
        noting(name, at)
    manifest, _ = export(allow_parity_loss=True)
    assert seen == {"encode_all": 150, "build_graphs": 150, "measure_latents": 30, "measure_rate": 30}
    assert (manifest.record["parity"]["images"], manifest.record["parity"]["held_out_images"]) == (30, 56)


@pytest.mark.parametrize(
    ("limit", "problem"),
    [("MAX_BUNDLE_BYTES", "a bundle may have at most"), ("MAX_MANIFEST_BYTES", "manifest.json has more than")],
)
def test_a_bundle_that_the_runtime_refuses_is_not_written(export, tmp_path, monkeypatch, limit, problem):
    monkeypatch.setattr(f"fmae_edge.runtime.bundle.bundle.{limit}", 1000)
    with pytest.raises(BundleError, match=f"^bundle 'trial': .*{problem}"):
        export()
    assert os.listdir(tmp_path) == []


def test_every_file_is_written_once_and_none_is_read_again(export, tmp_path, monkeypatch):
    written = []

    def noting(write):
        def note(path, content):
            written.append(path.name)
            return write(path, content)

        return note

    monkeypatch.setattr(Path, "write_bytes", noting(Path.write_bytes))
    monkeypatch.setattr(Path, "write_text", noting(Path.write_text))
    monkeypatch.setattr("fmae_edge.runtime.codec.read_bundle", None)  # Codec(folder) would call it
    export()
    assert sorted(written) == sorted(path.name for path in (tmp_path / "made").iterdir())


def test_an_export_that_is_killed_while_it_measures_leaves_nothing(export, tmp_path, monkeypatch):
    found = []

    def measured(*arguments):
        found.append(os.listdir(tmp_path))
        return measure_rate(*arguments)

    monkeypatch.setattr("fmae_edge.export.bundle_writer.measure_rate", measured)
    export()
    assert found == [[]]


def test_a_missed_gate_writes_nothing_unless_allowed(export, tmp_path, monkeypatch):
    # The real activations need ten times these ranges, so they saturate
    monkeypatch.setattr("fmae_edge.export.quantise.upper_bound", lambda values, method: values.max() / 10)
    options = ExportOptions(int8_loss=99)  # else most layers return to float
    with pytest.raises(ParityError, match="no bundle was written; int8.*PSNR lost"):
        export(options=options)
    assert os.listdir(tmp_path) == []
    export(options=options, allow_parity_loss=True)
    record = json.loads((tmp_path / "made" / "manifest.json").read_text())["record"]["parity"]
    assert record["loss_allowed"]
    assert record["failures"]


def test_it_has_the_graph_of_the_gradient_and_its_parity(export, tmp_path):
    manifest, parity = export(allow_parity_loss=True)
    assert GRADIENT_NAME in read_bundle(tmp_path / "made").files
    recorded = manifest.record["parity"]["gradient"]
    assert recorded == parity.gradient.to_record()
    assert recorded["images"] == 16
    assert 0 < recorded["difference"] < 1e-5
    assert "gradient" in [check.name for check in self_test(tmp_path / "made") if check.passed]


def test_a_wrong_gradient_is_not_written(export, tmp_path, monkeypatch):
    def off_by_a_thousandth(decoder):
        model = gradient_graph(decoder)
        (level,) = (tensor for tensor in model.graph.initializer if tensor.name == "gradient.level")
        level.raw_data = np.float32(1.001 / 255).tobytes()
        return model

    monkeypatch.setattr("fmae_edge.export.bundle_graphs.gradient_graph", off_by_a_thousandth)
    with pytest.raises(ParityError, match=r"gradient: difference, share of norm, is 0\.0\d+, the gate is 0\.0001"):
        export()
    assert not (tmp_path / "made").exists()


def test_an_existing_bundle_stays_unless_forced(export, tmp_path, bundle):
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(OutputError, match="already exists; use --force"):
        export(target=bundle)
    assert (bundle / "manifest.json").read_bytes() == before
    export(target=bundle, force=True)
    assert read_bundle(bundle).manifest.name == "trial"
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_folder_that_is_not_a_bundle_is_never_replaced(export, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="contains more than a bundle"):
        export(target=precious, force=True)
    assert (precious / "thesis.tex").exists()


def test_a_bundle_with_other_files_is_never_replaced(export, bundle, tmp_path):
    (bundle / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="contains more than a bundle"):
        export(target=bundle, force=True)
    assert (bundle / "thesis.tex").exists()
    (bundle / "manifest.json").write_text("{}")
    (bundle / "thesis.tex").unlink()
    with pytest.raises(OutputError, match="contains more than a bundle"):
        export(target=bundle, force=True)
    (tmp_path / "link").symlink_to(bundle)
    with pytest.raises(OutputError, match="contains more than a bundle"):
        export(target=tmp_path / "link", force=True)


def test_a_target_without_a_parent_folder_is_refused(export, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        export(target=tmp_path / "missing" / "made")


def test_a_model_for_images_of_another_size_is_refused(tmp_path, images):
    checkpoint = load_checkpoint(CHECKPOINT)
    small = torch.from_numpy(images[:, :20, :20].copy())
    with pytest.raises(ExportError, match=r"\(28, 28\).*\(20, 20\)"):
        export_bundle(CHECKPOINT, checkpoint, small, small, tmp_path / "made", "trial")
    assert os.listdir(tmp_path) == []


def test_the_shipped_bundle_was_made_from_the_shipped_checkpoint():
    training = read_bundle(DEFAULT_BUNDLE).manifest.record["training"]
    assert training["checkpoint_sha256"] == sha256_of(CHECKPOINT / MODEL)
    assert training["metrics"] == load_checkpoint(CHECKPOINT).metrics
    assert training["metrics"][-1]["test_mse"] <= 0.0052


def test_nearly_all_training_images_are_above_the_floors_and_noise_is_not(images):
    bundle = read_bundle(DEFAULT_BUNDLE)
    codec = Codec.from_bundle(bundle)
    floors = measure_contrast_floors(bundle, images)
    noise = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    for quality, floor in enumerate(floors, 1):
        ratios = contrast_to_error(images, codec.decompress(codec.compress_batch(images, quality)))
        assert np.mean(ratios < floor) <= 2 / len(images)  # batches of other sizes may differ by a level
        ratios = contrast_to_error(noise, codec.decompress(codec.compress_batch(noise, quality)))
        assert max(ratios) < floor
