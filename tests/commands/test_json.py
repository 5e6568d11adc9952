"""With --json, commands print one JSON object per line, as spec/output.schema.json specifies it."""

import json
import re

import pytest
from jsonschema import Draft202012Validator

from fmae_edge.cli import build_app
from fmae_edge.commands.training_progress import TrainingProgress
from fmae_edge.data.image_file import png_bytes
from tests.commands.json_lines import SCHEMA, require_valid
from tests.commands.results import summary
from tests.conftest import CHECKPOINT, REPOSITORY
from tests.installed_data import needs_data

COMMANDS = [command.callback.__name__ for command in build_app().registered_commands]


def require_summary(command, output, lines):
    """Raise unless `output` has this number of `lines` and a summary that counts them; return the records."""
    *records, last = require_valid(command, output, lines + 1)
    counts = last["summary"]
    for status in ("done", "skipped", "failed", "planned"):
        inputs = {re.sub(r"\[\d+]$", "", record["input"]) for record in records if record["status"] == status}
        assert counts[status] == len(inputs), status
    return records


@pytest.fixture
def pictures(tmp_path, images):
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(png_bytes(images[index]))
    (tmp_path / "bad.png").write_text("no image")
    return tmp_path


def test_every_command_that_prints_results_has_a_schema():
    assert set(SCHEMA["$defs"]) == {*COMMANDS, "bulk", "info_file", "info_list", "info_packet"}
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schemas_refuse_unknown_and_missing_fields():
    for command, schema in SCHEMA["$defs"].items():
        for kind in schema.get("oneOf", [schema]):
            if "$ref" not in kind:
                assert kind["additionalProperties"] is False, command
                assert kind["required"], command


@pytest.mark.parametrize("output", ["{stem}.npy", "{stem}.fmae", "out"])
def test_compress_and_decompress(cli, pictures, output):
    done = cli("compress", "*.png", "-o", output, "--json")
    statuses = [record["status"] for record in require_summary("compress", done.stdout, 4)]
    assert sorted(statuses) == ["done", "done", "done", "failed"]
    suffix = "fmae" if "fmae" in output else "npy"
    where = "out" if output == "out" else "."
    done = cli("decompress", f"{where}/*.{suffix}", "-o", "back", "--json")
    require_summary("decompress", done.stdout, 3)
    done = cli("decompress", f"{where}/*.{suffix}", "-o", "back", "--json", "--skip-existing")
    assert {record["status"] for record in require_summary("decompress", done.stdout, 3)} == {"skipped"}
    done = cli("decompress", f"{where}/*.{suffix}", "-o", "more", "--json", "--dry-run")
    assert {record["status"] for record in require_summary("decompress", done.stdout, 3)} == {"planned"}


def test_one_file_of_all_images(cli, pictures):
    done = cli("compress", "0.png", "1.png", "-o", "all.fmae", "--json")
    require_summary("compress", done.stdout, 2)
    done = cli("decompress", "all.fmae", "--json")
    require_summary("decompress", done.stdout, 2)
    (pictures / "same.fmae").write_bytes((pictures / "all.fmae").read_bytes())
    done = cli("decompress", "all.fmae", "same.fmae", "-o", "all.npy", "--json")
    require_summary("decompress", done.stdout, 2)


def test_pictures(cli, pictures):
    require_valid("compare", cli("compare", "0.png", "1.png", "bad.png", "--json").stdout, 2)
    require_valid("reconstruct", cli("reconstruct", "0.png", "1.png", "--json").stdout, 2)


def test_info_of_a_file(cli, pictures):
    cli("compress", "0.png", "-o", "one.fmae")
    (one,) = require_valid("info_file", cli("info", "one.fmae", "--json").stdout, 1)
    cli("compress", "0.png", "1.png", "-o", "all.fmae", "--names")
    (several,) = require_valid("info_file", cli("info", "all.fmae", "--json").stdout, 1)
    assert (one["names"], several["names"]) == (None, ["0", "1"])
    assert several["payload_bytes"][0] == one["payload_bytes"][0] == one["file_bytes"] - 7


def test_bundles(cli, bundle):
    require_valid("info", cli("info", "--json").stdout, 1)
    require_valid("info_list", cli("info", "--list", "--json").stdout, 2)
    (record,) = require_valid("doctor", cli("doctor", "--json").stdout, 1)
    assert record["self-test"]["checks"]
    (bundle / "decoder.onnx").write_bytes(b"")
    (record,) = require_valid("doctor", cli("doctor", bundle, "--json").stdout, 1)
    assert not record["healthy"]


def test_page(cli, tmp_path):
    (record,) = require_valid("page", cli("page", "-o", "page", "--json").stdout, 1)
    assert record["files"]["index.html"] == (tmp_path / "page/index.html").stat().st_size
    assert (record["output"], record["url"]) == ("page", None)


def test_bench(cli, monkeypatch):
    monkeypatch.setattr("fmae_edge.evaluate.bench.COLD_STARTS", 1)
    monkeypatch.setattr("fmae_edge.evaluate.bench.LOADS", 1)
    require_valid("bench", cli("bench", "--rounds", "1", "--json").stdout, 1)


@needs_data
def test_evaluate(cli, monkeypatch):
    shipped = json.loads((REPOSITORY / "docs/evaluation/evaluation.json").read_text())
    require_valid("evaluate", json.dumps(shipped), 1)
    # The others take minutes
    monkeypatch.setattr("fmae_edge.evaluate.evaluation.general_ladders", lambda shape: [])
    monkeypatch.setattr("fmae_edge.evaluate.evaluation.fit_pca_codecs", lambda images: [])
    require_valid("evaluate", cli("evaluate", "--images", "100", "--json").stdout, 1)


def test_report(report_page):
    _, figures = report_page
    require_valid("report", json.dumps(figures), 1)


def test_training(cli, tmp_path, small_run, images, monkeypatch, capsys):
    from pathlib import Path

    from fmae_edge.data.fashion_mnist import FashionMnist

    pixels = images.copy()
    few = FashionMnist(pixels[:200], pixels[200:], Path("few"))
    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", lambda data: few)
    monkeypatch.setattr("fmae_edge.export.parity.BATCHES", (7,))
    done = cli("train", "-o", "run", "--epochs", "2", "--batch-size", "100", "--device", "cpu", "--json")
    require_valid("train", done.stdout, 3)
    assert done.stderr.startswith("training on 200 images")
    progress = TrainingProgress(json=True, update=lambda *_: None)
    epochs = [json.loads(line) for line in (CHECKPOINT / "metrics.jsonl").read_text().splitlines()]
    epochs = [epoch for epoch in epochs if "test_mse" in epoch]  # the others were not measured
    assert epochs
    for epoch in epochs:
        progress.on_epoch(epoch)
    require_valid("train", capsys.readouterr().out, len(epochs))
    (record,) = require_valid("export", cli("export", small_run, "-o", "made", "--json").stdout, 1)
    require_valid("parity", cli("parity", small_run, "made", "--json").stdout, 1)
    assert record["files"]["encoder.onnx"] == (tmp_path / "made/encoder.onnx").stat().st_size


def test_the_lines_on_the_page_are_valid():
    page = (REPOSITORY / "docs/json.md").read_text()
    shown = re.findall(r"```json\n(.*?)```", page, flags=re.S)
    assert len(shown) >= 3
    for block in shown:
        is_shard = '"rows"' in block
        require_valid("bulk" if is_shard else "compress", block, len(block.splitlines()))


def test_packets(cli, pictures, images):
    size, numbers = 60, range(20)
    for number in numbers:
        (pictures / f"{number:02d}.png").write_bytes(png_bytes(images[number]))
    done = cli("compress", "??.png", "--packet", size, "--max-bytes", "20", "-o", "out", "--json")
    require_summary("compress", done.stdout, 20)
    assert summary(done)["images"] == 20
    files = sorted((pictures / "out").iterdir())
    assert summary(done)["packets"] == len(files)
    (record,) = require_valid("info_packet", cli("info", files[2], "--json").stdout, 1)
    described = cli("info", files[2]).stdout
    assert f"numbers {record['numbers'][0]} to {record['numbers'][-1]}\n" in described
    files[2].unlink()
    (pictures / "out/copy.fmpk").write_bytes(files[0].read_bytes())
    done = cli("decompress", "out/*.fmpk", "-o", "back", "--json")
    require_summary("decompress", done.stdout, 1 + 20 - len(record["numbers"]))
    assert (summary(done)["total"], summary(done)["missing"]) == (20, record["numbers"])
    files[-1].unlink()
    done = cli("decompress", "out/*.fmpk", "-o", "again", "--json")
    require_summary("decompress", done.stdout, 1 + summary(done)["images"])
    assert summary(done)["total"] is None
