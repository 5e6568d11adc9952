"""Bad input: one clear sentence on stderr, exit code 1, nothing written, nothing lost."""

import json
import os
import pickle
import re
import shutil
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from typer.main import get_command

from fmae_edge.data.image_file import png_bytes
from tests.conftest import CHECKPOINT

PNG = png_bytes(np.zeros((28, 28), np.uint8))


def npy(path, array, **options):
    with path.open("wb") as file:
        np.save(file, array, **options)


@cache
def huge_png():
    """A complete PNG of 40,000 x 40,000 black pixels: 200 kB."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes(40_000 * (1 + 40_000 // 8)), 1)
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0)
    return PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


BAD_IMAGES = {
    "missing file": (None, "no such file"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "text file": (lambda path: path.write_text("hello"), "not an image file"),
    "truncated": (lambda path: path.write_bytes(PNG[:-25]), "truncated or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "huge": (lambda path: path.write_bytes(huge_png()), "40000x40000 and must be 28x28"),
    "another size": (
        lambda path: path.write_bytes(png_bytes(np.zeros((30, 28), np.uint8))),
        "28x30.*28x28.*--fit resize",
    ),
    "pipe": (os.mkfifo, "not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
}
BAD_LATENTS = {
    "missing file": (None, "no such file"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text file": (lambda path: path.write_text("hello"), r"neither a \.fmae nor a \.npy file"),
    "shape": (lambda path: npy(path, np.zeros(65, np.float32)), r"\(65,\)"),
    "dtype": (lambda path: npy(path, np.zeros(64, np.int32)), "int32"),
    "NaN": (lambda path: npy(path, np.full(64, np.nan, np.float32)), "NaN"),
    "infinity": (lambda path: npy(path, np.full(64, np.inf, np.float32)), "infinity"),
    "pickled": (lambda path: npy(path, np.array([{}] * 64), allow_pickle=True), "pickled"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps([1])), r"neither a \.fmae nor a \.npy file"),
    "truncated": (lambda path: path.write_bytes(_latent_bytes()[:-3]), "truncated"),
}


def _latent_bytes():
    import io

    stream = io.BytesIO()
    np.save(stream, np.zeros(64, np.float32))
    return stream.getvalue()


def refused(done, message, folder, before, code=1):
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("fmae-edge: ")
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr), done.stderr
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.parametrize("command", ["compress", "reconstruct", "compare"])
def test_bad_images(cli, tmp_path, name, command):
    make, message = BAD_IMAGES[name]
    if make:
        make(tmp_path / "bad.png")
    before = sorted(os.listdir(tmp_path))
    refused(cli(command, "bad.png"), f"bad.png: .*{message}", tmp_path, before)


@pytest.mark.parametrize("name", BAD_LATENTS)
def test_bad_latents(cli, tmp_path, name):
    make, message = BAD_LATENTS[name]
    if make:
        make(tmp_path / "bad.npy")
    before = sorted(os.listdir(tmp_path))
    refused(cli("decompress", "bad.npy"), f"bad.npy: .*{message}", tmp_path, before)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("taken.npy", "taken.npy: already exists; use --force"),
        ("missing/img.npy", "its folder missing does not exist"),
        ("taken.npy/img.npy", "taken.npy is (not a folder|a file, not a folder)"),
        ("taken.npy/", "taken.npy is a file, not a folder"),
        ("taken.npy/{stem}/x.npy", "taken.npy is a file, not a folder"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_bad_outputs(cli, tmp_path, output, message, more):
    (tmp_path / "img.png").write_bytes(PNG)
    (tmp_path / "taken.npy").write_text("precious")
    refused(cli("compress", "img.png", "-o", output, *more), message, tmp_path, ["img.png", "taken.npy"])
    assert (tmp_path / "taken.npy").read_text() == "precious"


def test_a_folder_in_which_no_files_can_be_created(cli, tmp_path):
    (tmp_path / "img.png").write_bytes(PNG)
    message = "/proc/img.npy: (no files can be created in its folder /proc|its folder cannot be written to)"
    refused(cli("compress", "img.png", "-o", "/proc/img.npy"), message, tmp_path, ["img.png"])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "missing.txt",
            r"-o is missing\.txt; a file name must end in \.npy or \.fmae, a folder name in ",
        ),
        (".npy", r"-o is \.npy; it has no name before its \.npy"),
        ("out/.fmae", r"-o is out/\.fmae; it has no name before its \.fmae"),
        ("", "an argument is empty"),
        ("{stem}/", "-o is {stem}/; a pattern needs a file name"),
        ("--force", r"-o needs a path, got the option --force; write \./--force"),
        ("{stem", "-o is {stem; it has an unmatched brace"),
        ("{stem!r}.npy", "has an unmatched brace"),
    ],
)
def test_invalid_outputs(cli, tmp_path, output, message):
    (tmp_path / "img.png").write_bytes(PNG)
    refused(cli("compress", "img.png", "-o", output), message, tmp_path, ["img.png"], code=2)


def test_a_name_that_is_too_long(cli, tmp_path):
    (tmp_path / "img.png").write_bytes(PNG)
    long = "x" * 300
    for arguments in ((f"{long}.png",), ("img.png", "-o", f"{long}.npy"), ("img.png", "--bundle", long)):
        refused(cli("compress", *arguments), "File name too long", tmp_path, ["img.png"])


NUMBERS = [
    ("compress", "--quality", "x.png"),
    ("compress", "--effort", "x.png"),
    ("compress", "--max-bytes", "x.png"),
    ("compress", "--packet", "x.png"),
    ("compress", "--jobs", "x.png"),
    ("decompress", "--jobs", "x.npy"),
    ("decompress", "--index", "x.npy"),
    ("compare", "--quality", "x.png"),
    ("compare", "--effort", "x.png"),
    ("train", "--epochs"),
    ("train", "--batch-size"),
    ("train", "--seed"),
    ("train", "--latent"),
    ("export", "--calibration-images", "run", "-o", "made"),
    ("bench", "--rounds"),
    ("evaluate", "--effort"),
    ("evaluate", "--images"),
]


@pytest.mark.parametrize(("command", "option", "more"), [(each[0], each[1], each[2:]) for each in NUMBERS])
@pytest.mark.parametrize("value", ["9" * 5000, "-" + "9" * 5000, "-1", "0x5", "5.0", "9" * 19, "\n"])
def test_numbers_out_of_the_range_of_an_option(cli, tmp_path, command, option, more, value):
    """Python itself refuses to read or print integers of thousands of digits."""
    refused(
        cli(command, f"{option}={value}", *more), f"fmae-edge: {option} is '.*; expected an", tmp_path, [], code=2
    )


def test_every_integer_option_refuses_invalid_numbers():
    from fmae_edge.cli import build_app

    commands = get_command(build_app()).commands.values()
    found = {
        (command.name, option)
        for command in commands
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and re.fullmatch(r"[NK]|\d-\d", str(parameter.metavar))
    }
    assert found == {each[:2] for each in NUMBERS}


def test_parity_of_a_run_with_another_latent_size(cli, tmp_path, bundle):
    from fmae_edge.model.autoencoder import Autoencoder
    from fmae_edge.model.checkpoint import publish, start_run
    from fmae_edge.model.config import ModelConfig
    from fmae_edge.model.recipe import Recipe

    start_run(tmp_path / "run", ModelConfig(latent_size=32), Recipe())
    publish(tmp_path / "run", Autoencoder(ModelConfig(latent_size=32)), [{"epoch": 1}])
    refused(cli("parity", "run", bundle), "32 latents, but the bundle 64", tmp_path, ["bundle", "run"])


@pytest.mark.parametrize("output", ["taken", "taken/folder"])
def test_an_evaluation_with_an_impossible_output_does_not_start(cli, tmp_path, monkeypatch, output):
    (tmp_path / "taken").write_text("precious")
    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", None)
    refused(cli("evaluate", "-o", output), "taken.*: ", tmp_path, ["taken"])
    assert (tmp_path / "taken").read_text() == "precious"


def test_several_images_to_one_file(cli, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PNG)
    refused(
        cli("compress", "a.png", "b.png", "-o", "out.png"),
        "-o is out.png; 2 inputs need a folder or a pattern",
        tmp_path,
        ["a.png", "b.png"],
        code=2,
    )
    said = cli("compress", "a.png", "b.png", "-o", "-")
    refused(said, "-o is -; 2 inputs need a folder or a pattern", tmp_path, ["a.png", "b.png"], code=2)
    said = cli("compress", "-", "-", "-o", "out")
    refused(said, "the inputs contain - twice", tmp_path, ["a.png", "b.png"], code=2)


@pytest.mark.parametrize("command", ["compress", "doctor", "bench"])
def test_a_bundle_that_is_a_file(cli, tmp_path, command):
    (tmp_path / "img.png").write_bytes(PNG)
    done = cli(
        *(("compress", "img.png", "--bundle", "img.png") if command == "compress" else (command, "img.png"))
    )
    assert done.returncode == 1
    assert "img.png: is a file, not a bundle folder" in done.stdout + done.stderr


def changed_byte(bundle):
    path = bundle / "decoder.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def newer(bundle):
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))


BAD_BUNDLES = {
    "changed byte": (changed_byte, r"decoder\.onnx does not match the SHA-256"),
    "missing file": (lambda bundle: (bundle / "encoder.onnx").unlink(), r"encoder\.onnx is missing"),
    "no manifest": (lambda bundle: (bundle / "manifest.json").unlink(), r"manifest\.json is missing"),
    "newer version": (newer, "format version is 99.*upgrade"),
    "no folder": (shutil.rmtree, "no such bundle folder"),
}


@pytest.mark.parametrize("name", BAD_BUNDLES)
@pytest.mark.parametrize("command", ["compress", "decompress", "reconstruct", "compare", "info", "parity"])
def test_bad_bundles(cli, tmp_path, bundle, name, command):
    (tmp_path / "img.png").write_bytes(PNG)
    npy(tmp_path / "latent.npy", np.zeros(64, np.float32))
    spoil, message = BAD_BUNDLES[name]
    spoil(bundle)
    before = sorted(os.listdir(tmp_path))
    arguments = {
        "compress": ("img.png", "--bundle", bundle),
        "decompress": ("latent.npy", "--bundle", bundle),
        "reconstruct": ("img.png", "--bundle", bundle),
        "compare": ("img.png", "--bundle", bundle),
        "info": (bundle,),
        "parity": (CHECKPOINT, bundle),
    }[command]
    refused(cli(command, *arguments), message, tmp_path, before)


@pytest.mark.parametrize("command", ["export", "parity"])
def test_a_checkpoint_whose_config_does_not_fit(cli, tmp_path, bundle, command):
    run = shutil.copytree(CHECKPOINT, tmp_path / "run")
    config = json.loads((run / "config.json").read_text()) | {"latent_size": 32}
    (run / "config.json").write_text(json.dumps(config))
    arguments = (run, "-o", "made") if command == "export" else (run, bundle)
    message = r"model\.safetensors has .*64.* for .* where config\.json needs .*32"
    refused(cli(command, *arguments), message, tmp_path, ["bundle", "run"])


def test_a_folder_that_is_not_a_run(cli, tmp_path):
    refused(cli("export", "nowhere", "-o", "made"), "nowhere: no such run folder", tmp_path, [])
    refused(cli("train", "-o", "nowhere", "--resume"), r"config\.json: cannot be read", tmp_path, [])


def test_a_missing_data_set(cli, tmp_path):
    refused(cli("train", "-o", "run", "--data", "nowhere"), "nowhere: no such folder", tmp_path, [])


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [("--lr", "5", "5.0"), ("--rate-distortion", "2", "2.0"), ("--batch-size", "10000000", "10000000")],
)
def test_training_options_are_named_as_they_were_typed(cli, tmp_path, option, value, shown):
    done = cli("train", option, value, "--data", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith(f"fmae-edge: {option} is {shown}; it must lie between ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("compress",),
        ("compress", "x.png", "--dtype", "float64"),
        ("compress", "x.png", "--precision", "fp16"),
        ("compress", "x.png", "--fit", "stretch"),
        ("compress", "x.png", "--no-such-option"),
        ("no-such-command",),
        ("compare",),
        ("compare", "x.png", "--quality", "10"),
        ("train", "--epochs", "0"),
        ("train", "--lr", "nan"),
        ("train", "--device", "tpu"),
        ("export", "run"),
    ],
)
def test_wrong_usage_exits_with_2(cli, tmp_path, arguments):
    done = cli(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert os.listdir(tmp_path) == []
