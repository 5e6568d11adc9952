"""`fmae-edge info` describes a bundle and a .fmae file, and resists hostile contents."""

import json

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.format.fmae_file import pack_many, unpack
from tests.manifest_changes import rewrite

EVIL = "evil\x1b[2J\x1b]0;owned\x07"


@pytest.mark.parametrize("command", ["info", "doctor"])
def test_a_manifest_cannot_control_a_terminal(cli, bundle, command):
    def change(content):
        content["name"] = EVIL
        content["record"]["tools"] = {EVIL: EVIL}
        content["record"]["quality"] = {EVIL: next(iter(content["record"]["quality"].values()))}

    rewrite(bundle, change)
    done = cli(command, "bundle") if command == "info" else cli(command, bundle)
    assert "\x1b" not in done.stdout + done.stderr
    if command == "info":
        assert done.stdout.count(r"evil\x1b[2J") == 4


def test_a_number_that_is_too_large_is_an_error(cli, bundle):
    rewrite(bundle, lambda content: content["record"]["training"]["metrics"][-1].update(test_mse=10**400))
    done = cli("info", "bundle")
    assert done.returncode == 1
    assert "manifest.json is not valid JSON (an integer of 401 digits)" in done.stderr


def test_the_training_of_own_images_is_described(cli, bundle):
    def change(content):
        training = content["record"]["training"]
        training["recipe"] |= {"epochs": None, "minutes": 30.0, "batch_size": 256}
        training["metrics"] = [{"epoch": at + 1, "val_mse": mse} for at, mse in enumerate((0.03, 0.01, 0.02))]

    rewrite(bundle, change)
    done = cli("info", "bundle")
    assert done.returncode == 0, done.stderr
    assert "training  3 epochs in 30 minutes, kept epoch 2, batch 256" in done.stdout
    assert "; validation MSE 0.01000\n" in done.stdout


def test_a_file_is_described(cli, tmp_path, images):
    one, stack = Codec().compress(images[0], 3), Codec().compress_batch(images[:12], 7)
    (tmp_path / "one.fmae").write_bytes(one)
    (tmp_path / "stack.bin").write_bytes(stack)
    bundle_id = Codec().manifest.bundle_id
    done = cli("info", "one.fmae")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"file      one.fmae, {len(one)} bytes, version 1 of the .fmae format",
        f"bundle    {bundle_id}, all check codes match",
        "images    1",
        "quality   3",
        f"payload   {len(one) - 7} bytes",
        "names     none",
    ]
    lengths = Codec().inspect(stack).payload_bytes
    for done in (cli("info", "stack.bin"), cli("info", "-", stdin=stack)):
        lines = done.stdout.splitlines()
        assert lines[2] == "images    12, as a stack"
        assert lines[4].startswith(f"payload   {sum(lengths) / 12:.2f} bytes per image, from {min(lengths)} to ")


def test_a_file_of_another_bundle(cli, tmp_path, bundle, images):
    rewrite(bundle, lambda content: content["latent"].update(steps=[0.5] * 64))
    content = Codec(bundle).compress_batch(images[:0])
    (tmp_path / "none.fmae").write_bytes(content)
    done = cli("info", "none.fmae")
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: none.fmae: made by the bundle whose id begins with ")
    done = cli("info", "none.fmae", "--bundle", "bundle")
    assert "images    0, as a stack\n" in done.stdout
    assert json.loads(cli("info", "none.fmae", "--bundle", "bundle", "--json").stdout)["images"] == 0
    assert cli("info", "--bundle", "bundle").stdout == cli("info", "bundle").stdout
    done = cli("info", "bundle", "--bundle", "bundle")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "use only one of them" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("img.png", png_bytes(np.zeros((28, 28), np.uint8)), "neither a .fmae file nor the folder of a bundle"),
        ("text.fmae", b"hello, world", "neither a .fmae file nor the folder of a bundle"),
        ("cut.fmae", Codec().compress(np.zeros((28, 28), np.uint8))[:-1], "truncated"),
        ("missing.fmae", None, "no such file"),
        ("missing", None, "no such bundle folder"),
    ],
)
def test_a_target_that_is_neither_a_complete_file_nor_a_bundle(cli, tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = cli("info", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"fmae-edge: {name}: {sentence}")
    assert done.stderr.count("\n") == 1


def test_names_are_shown_and_cannot_control_a_terminal(cli, tmp_path, images):
    stack = Codec().compress_batch(images[:7])
    payloads, bundle_id = unpack(stack, Codec().manifest.bundle_id).payloads, Codec().manifest.bundle_id
    (tmp_path / "all.fmae").write_bytes(pack_many(payloads, 5, bundle_id, [*"abcdef", "g/h\u202f"]))
    assert cli("info", "all.fmae").stdout.endswith("names     a, b, c, d, e, ... (--json lists all)\n")
    (tmp_path / "five.fmae").write_bytes(Codec().compress_batch(images[:5], names=list("abcde")))
    assert cli("info", "five.fmae").stdout.endswith("names     a, b, c, d, e\n")
    (tmp_path / "all.fmae").write_bytes(pack_many(payloads, 5, bundle_id, ["\u202fa", *"bcdefg"]))
    assert r"names     \u202fa, b" in cli("info", "all.fmae").stdout
    (tmp_path / "all.fmae").write_bytes(pack_many(payloads, 5, bundle_id, [EVIL, *"bcdefg"]))
    done = cli("info", "all.fmae")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert r"names     contains invalid image names: 'evil\x1b[2J" in done.stdout
    record = json.loads(cli("info", "all.fmae", "--json").stdout)
    assert (record["images"], record["names"]) == (7, None)
    assert "U+001B" in record["names_error"]


def test_an_empty_stack_has_no_names(cli, tmp_path, images):
    (tmp_path / "none.fmae").write_bytes(Codec().compress_batch(images[:0], names=[]))
    assert cli("info", "none.fmae").stdout.endswith("\nnames     none\n")


def test_a_run_with_validation_images_shows_the_epoch_that_it_kept(cli, bundle):
    def change(content):
        training = content["record"]["training"]
        training["recipe"] |= {"epochs": None, "minutes": 12.5, "batch_size": 256}
        training["metrics"] = [
            {"epoch": epoch, "val_mse": mse, "val_loss": mse} for epoch, mse in ((1, 0.2), (2, 0.0125), (3, 0.1))
        ]

    rewrite(bundle, change)
    (line,) = [line for line in cli("info", bundle).stdout.splitlines() if line.startswith("training")]
    assert line.startswith("training  3 epochs in 12.5 minutes, kept epoch 2, batch 256")
    assert line.endswith("validation MSE 0.01250")
