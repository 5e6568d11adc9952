"""Commands take the name of a built-in bundle, and `info --list` shows the names."""

import json

import pytest
from PIL import Image

from fmae_edge.runtime.bundle.built_in import built_in_folder, built_in_names
from fmae_edge.runtime.bundle.bundle import read_bundle
from tests.conftest import CHECKPOINT
from tests.manifest_changes import rewrite


@pytest.fixture
def picture(tmp_path, images):
    Image.fromarray(images[0]).save(tmp_path / "img.png")
    return "img.png"


def test_the_list_shows_each_bundle_in_a_line(cli):
    done = cli("info", "--list")
    assert (done.returncode, done.stderr) == (0, "")
    header, _, *rows = done.stdout.splitlines()
    assert header.split("  ")[0] == "name"
    assert [row.split()[0] for row in rows] == list(built_in_names())
    for row, name in zip(rows, built_in_names(), strict=True):
        manifest = read_bundle(built_in_folder(name)).manifest
        rate = manifest.record["rate"]
        for shown in ("28x28 gray", f" {manifest.latent_size} ", manifest.bundle_id, " MB "):
            assert shown in row
        best, worst = rate["quality 9"]["psnr_pooled"], rate["quality 1"]["psnr_pooled"]
        assert row.endswith(f"{worst:.2f} to {best:.2f} dB")


def test_the_list_as_json(cli):
    records = [json.loads(line) for line in cli("info", "--list", "--json").stdout.splitlines()]
    assert [record["name"] for record in records] == list(built_in_names())
    for record in records:
        folder = built_in_folder(record["name"])
        manifest = read_bundle(folder).manifest
        assert record["bundle_id"] == manifest.bundle_id
        assert record["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
        assert [each["quality"] for each in record["qualities"]] == list(range(1, 10))
        psnr = [each["psnr"] for each in record["qualities"]]
        assert psnr == sorted(psnr)


@pytest.mark.parametrize("arguments", [("detail",), ("--bundle", "detail")])
def test_the_list_takes_no_bundle(cli, arguments):
    done = cli("info", "--list", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--list shows all built-in bundles" in done.stderr


def test_a_round_trip_by_name(cli, tmp_path, picture):
    assert cli("compress", picture, "-o", "img.fmae", "--bundle", "detail").returncode == 0
    done = cli("decompress", "img.fmae")
    assert done.returncode == 1
    assert done.stderr.endswith('the built-in bundle detail: Codec("detail") or --bundle detail\n')
    assert cli("decompress", "img.fmae", "-o", "out.png", "--bundle", "detail").returncode == 0
    assert cli("info", "img.fmae", "--bundle", "detail").returncode == 0
    assert Image.open(tmp_path / "out.png").size == (28, 28)


def test_the_other_commands_take_a_name(cli, tmp_path, picture):
    bundle_id = read_bundle(built_in_folder("detail")).manifest.bundle_id
    assert json.loads(cli("info", "detail", "--json").stdout)["bundle_id"] == bundle_id
    assert json.loads(cli("doctor", "detail", "--json").stdout)["bundle"]["bundle_id"] == bundle_id
    for command in ("compare", "reconstruct"):
        default = json.loads(cli(command, picture, "--json", "-o", f"{command}1.png").stdout)
        detail = json.loads(cli(command, picture, "--json", "-o", f"{command}2.png", "--bundle", "detail").stdout)
        assert detail["psnr"] > default["psnr"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("compress", "img.png", "--bundle", "detial"),
        ("decompress", "img.fmae", "--bundle", "detial"),
        ("compare", "img.png", "--bundle", "detial"),
        ("info", "detial"),
        ("doctor", "detial"),
        ("bench", "detial"),
        ("evaluate", "detial"),
        ("report", "detial"),
        ("parity", CHECKPOINT, "detial"),
    ],
)
def test_a_misspelt_name_lists_the_names(cli, picture, arguments):
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "fmae-edge: detial: no such bundle folder; the built-in bundles are default and detail\n"
    )


def test_a_folder_of_that_name_is_written_with_a_dot(cli, tmp_path, bundle):
    rewrite(bundle, lambda content: content.update(name="mine"))
    bundle.rename(tmp_path / "detail")
    assert json.loads(cli("info", "./detail", "--json").stdout)["name"] == "mine"
    assert json.loads(cli("info", "--bundle", "./detail", "--json").stdout)["name"] == "mine"
    named = json.loads(cli("info", "detail", "--json").stdout)
    assert named["bundle_id"] == read_bundle(built_in_folder("detail")).manifest.bundle_id
