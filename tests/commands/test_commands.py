"""Version, help, `info`, `reconstruct` and `train`: the output, the files and the exit code."""

import dataclasses
import json
import os
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import fmae_edge
from fmae_edge import Codec
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.manifest import Manifest
from tests.conftest import CHECKPOINT, COMMAND, REPOSITORY
from tests.installed_data import needs_data


def test_version(cli):
    assert cli("--version").stdout == f"fmae-edge {fmae_edge.__version__}\n"


def test_help_names_every_command(cli):
    done = cli("--help")
    assert done.returncode == 0
    for command in ("compress", "decompress", "reconstruct", "compare", "info", "train", "export", "parity"):
        assert f"\n  {command} " in done.stdout
        assert cli(command, "--help").returncode == 0


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["compress", "--help"]])
def test_help_and_version_import_no_heavy_package(arguments):
    code = (
        "import sys; from fmae_edge.cli import main\n"
        f"sys.argv = ['fmae-edge', *{arguments!r}]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert loaded
    assert not loaded & {"numpy", "onnxruntime", "torch", "PIL", "rich.progress"}


def test_the_entry_point_imports_little_before_it_catches_ctrl_c():
    code = "import sys; import fmae_edge.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("fmae_edge")} == {"fmae_edge", "fmae_edge.cli"}
    assert not {"dataclasses", "inspect", "json", "traceback", "pathlib"} & loaded


def test_info(cli, bundle):
    done = cli("info")
    assert done.returncode == 0
    manifest = json.loads((DEFAULT_BUNDLE / "manifest.json").read_text())
    assert f"fashion-mnist ({manifest['bundle_id']})" in done.stdout
    assert "all gates passed" in done.stdout
    assert cli("info", bundle).stdout.splitlines()[0] == done.stdout.splitlines()[0]
    assert json.loads(cli("info", "--json").stdout) == manifest


def test_info_on_a_bundle_without_a_record(cli, bundle):
    path = bundle / "manifest.json"
    manifest = Manifest.from_json(path.read_bytes(), "it")
    path.write_text(dataclasses.replace(manifest, record={}).to_json())
    done = cli("info", bundle)
    assert done.returncode == 1
    assert done.stderr.endswith("the record in its manifest is incomplete (KeyError('training')); try --json\n")
    assert cli("info", bundle, "--json").returncode == 0


def test_reconstruct_images(cli, tmp_path):
    samples = sorted((REPOSITORY / "samples").glob("*.png"))[:3]
    done = cli("reconstruct", *samples, "-o", "out.png")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + 3 + 1
    assert lines[2].startswith(f"{samples[0]} ")
    assert 15 < float(lines[2].removeprefix(str(samples[0])).split()[0]) < 45
    with Image.open(tmp_path / "out.png") as figure:
        assert figure.width == 12 + 3 * 152
    done = cli("reconstruct", *samples, "-o", "out.png")
    assert done.returncode == 1
    assert "out.png: already exists" in done.stderr
    rows = [
        json.loads(line) for line in cli("reconstruct", *samples, "-o", "two.png", "--json").stdout.splitlines()
    ]
    assert [row["image"] for row in rows] == [str(sample) for sample in samples]


def test_reconstruct_to_standard_output_prints_the_table_on_standard_error():
    sample = next((REPOSITORY / "samples").glob("*.png"))
    for more, start in ([], "image"), (["--json"], "{"):
        done = subprocess.run([COMMAND, "reconstruct", sample, "-o", "-", *more], capture_output=True, check=True)
        with Image.open(BytesIO(done.stdout)) as figure:
            assert figure.format == "PNG"
        assert done.stdout.endswith(b"IEND\xaeB`\x82")
        assert done.stderr.decode().startswith(start)


def test_reconstruct_leaves_out_unreadable_images_and_fails(cli, tmp_path, picture, monkeypatch, images):
    monkeypatch.setattr(Codec, "decode", lambda *_: images[:1])  # an exact copy, whose PSNR is infinite
    done = cli("reconstruct", "img.png", "nowhere.png", "--json")
    assert done.returncode == 1
    assert done.stderr == "fmae-edge: nowhere.png: no such file\n"
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["image"], row["psnr"]) == ("img.png", None)


@needs_data
def test_reconstruct_draws_five_test_images_by_default(cli, tmp_path, images):
    done = cli("reconstruct")
    assert done.returncode == 0
    assert done.stdout.count("test image") == 5
    with Image.open(tmp_path / "reconstructions.png") as figure:
        np.testing.assert_array_equal(np.asarray(figure)[12 : 12 + 140 : 5, 12 : 12 + 140 : 5], images[0])


@needs_data
def test_train_refuses_to_start_over(cli, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    done = cli("train", "-o", "run")
    assert done.returncode == 1
    assert "run: already exists; continue with --resume" in done.stderr
    assert os.listdir(tmp_path / "run") == ["notes.txt"]


def test_resume_keeps_the_recipe(cli):
    lr = json.loads((CHECKPOINT / "recipe.json").read_text())["lr"]
    done = cli("train", "-o", CHECKPOINT, "--resume", "--lr", "0.1")
    assert done.returncode == 2
    assert f"--lr is 0.1, but the run was started with {lr}" in done.stderr


def test_a_missing_package_is_reported_with_the_extra_to_install(tmp_path):
    for arguments, missing, extra in (
        (["train"], "typer", "cli"),
        (["train"], "torch", "train"),
        (["export", str(CHECKPOINT), "-o", "made"], "torch", "export"),
        (["parity", str(CHECKPOINT), str(DEFAULT_BUNDLE)], "torch", "export"),
        (["evaluate", "-o", "made"], "bjontegaard", "evaluate"),
    ):
        code = (
            f"import sys; sys.modules[{missing!r}] = None\n"
            "from fmae_edge.cli import main\n"
            f"sys.argv = ['fmae-edge', *{arguments}]; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 1
        assert done.stderr == (
            f"fmae-edge: this needs {missing}: install fmae-edge with [{extra}], "
            f"as in pip install '.[{extra}]' in a clone\n"
        )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", [["compress", "img.png"], ["info", "img.fmae"], ["doctor"], ["train"]])
def test_a_missing_numpy_is_reported_with_the_command_to_install_it(tmp_path, arguments):
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from fmae_edge.cli import main\n"
        f"sys.argv = ['fmae-edge', *{arguments}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: numpy is not installed: pip install numpy")
