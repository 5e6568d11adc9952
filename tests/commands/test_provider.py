"""`--provider`: the commands run the float32 graphs on an execution provider, and doctor tests it."""

import json

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.runtime.engine.sessions import load_onnxruntime

HERE = str(load_onnxruntime().get_available_providers()).lower()
MISSING = next(name for name in ("tensorrt", "coreml") if name not in HERE)
COMMANDS = [
    ["compress", "img.png", "-o", "x.fmae"],
    ["decompress", "x.npy"],
    ["compare", "img.png"],
    ["reconstruct", "img.png"],
    ["bench"],
    ["bulk", "compress", "shards", "out"],
    ["bulk", "decompress", "payloads", "out"],
]


@pytest.mark.parametrize("name", ["cpu", "CPUExecutionProvider"])
def test_results_are_those_of_the_precision(cli, tmp_path, picture, images, name):
    assert cli("compress", "img.png", "--provider", name, "--precision", "fp32").returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "img.npy"), Codec(precision="fp32").encode(images[0]))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_missing_provider_is_named(cli, tmp_path, picture, images, command):
    np.save(tmp_path / "x.npy", np.zeros(64, np.float32))
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/img.png").write_bytes((tmp_path / "img.png").read_bytes())
    (tmp_path / "payloads").mkdir()
    (tmp_path / "payloads/img.fmae").write_bytes(Codec().compress(images[0]))
    done = cli(*command, "--provider", MISSING)
    assert done.returncode == 1
    assert "was built without" in done.stderr
    assert done.stderr.count("\n") == 1 + (command[0] == "bulk"), done.stderr  # and the totals of a job


@pytest.mark.parametrize("command", [words for words in COMMANDS if words != ["bench"]], ids=" ".join)
def test_int8_graphs_are_refused_on_other_providers(cli, tmp_path, picture, command):
    done = cli(*command, "--provider", MISSING, "--precision", "int8")
    assert done.returncode == 2
    assert f"--precision is int8, which runs on the CPU only; use fp32 on {MISSING}" in done.stderr


def test_an_unknown_provider_is_wrong_usage(cli, picture):
    done = cli("compress", "img.png", "--provider", "nonsense")
    assert done.returncode == 2
    assert "--provider contains 'nonsense', which onnxruntime does not know; it has" in done.stderr


def test_doctor_compares_the_float32_results_on_a_provider(cli):
    done = cli("doctor", "--provider", "cpu", "--json")
    assert done.returncode == 0
    part = json.loads(done.stdout)["providers"]
    assert part["asked_for"] == "cpu"
    assert [check["name"] for check in part["checks"]] == ["fp32 latents", "fp32 pixels"]
    assert "asked for: cpu" in cli("doctor", "--provider", "cpu").stdout


def test_doctor_says_that_a_provider_is_missing_and_tests_the_rest(cli):
    done = cli("doctor", "--provider", MISSING, "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert "was built without" in report["providers"]["problem"]
    assert all(check["passed"] for check in report["self-test"]["checks"])
