"""`fmae-edge doctor` finds out whether a machine and a bundle work."""

import json

import numpy as np
import pytest
import safetensors.numpy

from fmae_edge import Codec
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.manifest import FileEntry
from fmae_edge.runtime.diagnosis import diagnose
from fmae_edge.runtime.engine.providers import as_providers
from fmae_edge.runtime.self_test import GOLDEN_NAME, self_test
from tests.manifest_changes import rewrite

CHECKS = {f"{precision} {result}" for precision in ("fp32", "int8") for result in ("latents", "pixels")} | {
    "gradient",
    "symbols of a file",
    "file of symbols",
}


def put(bundle, name, content):
    """Write a file of a bundle and its hash in the manifest."""
    (bundle / name).write_bytes(content)
    rewrite(bundle, lambda manifest: manifest["files"].update({name: FileEntry.of(content)._asdict()}))


def failures(bundle):
    return {check.name for check in self_test(bundle) if not check.passed}


def test_the_shipped_bundle_is_healthy(cli):
    done = cli("doctor", "--json")
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert report["healthy"]
    assert report["problems"] == []
    assert {check["name"] for check in report["self-test"]["checks"]} == CHECKS
    assert all(check["passed"] and check["ms"] > 0 for check in report["self-test"]["checks"])
    assert report["machine"]["threads"] >= 1
    assert report["onnxruntime"]["telemetry"] == "off"
    assert "CPUExecutionProvider" in report["onnxruntime"]["providers"]
    assert report["onnxruntime"]["version"] == report["versions"]["onnxruntime"]
    assert report["bundle"]["bundle_id"] == json.loads((DEFAULT_BUNDLE / "manifest.json").read_text())["bundle_id"]


def test_without_json_it_prints_lines_and_a_table(cli):
    done = cli("doctor")
    assert done.returncode == 0
    for line in (
        "versions",
        "  threads because of: ",
        "  bundle id: ",
        "  files: encoder.onnx, ",
        "  int8 latents",
        "passed",
    ):
        assert line in done.stdout
    assert "FAILED" not in done.stdout


@pytest.mark.parametrize(
    ("tensor", "change", "check"),
    [
        ("int8.latents", lambda t: t * np.float32(1.1), "int8 latents"),
        ("fp32.latents", lambda t: t + np.float32(1e-3) * np.ptp(t), "fp32 latents"),
        ("fp32.pixels", lambda t: t ^ 1, "fp32 pixels"),
        ("int8.pixels", lambda t: t ^ 4, "int8 pixels"),
        ("symbols", lambda t: t + np.eye(*t.shape, 5, np.int32), "symbols of a file"),
    ],
)
def test_a_machine_with_other_results_fails(bundle, tensor, change, check):
    golden = safetensors.numpy.load((bundle / GOLDEN_NAME).read_bytes())
    golden[tensor] = np.ascontiguousarray(change(golden[tensor]))
    put(bundle, GOLDEN_NAME, safetensors.numpy.save(golden))
    assert check in failures(bundle)
    report = diagnose(bundle)
    assert not report["healthy"]
    assert check in report["problems"][0]


def test_other_weights_fail(bundle):
    fp32 = (bundle / "encoder.fp32.onnx").read_bytes()
    middle = len(fp32) // 2
    put(bundle, "encoder.fp32.onnx", fp32[:middle] + bytes(4000) + fp32[middle + 4000 :])
    assert failures(bundle) == {"fp32 latents"}


@pytest.mark.parametrize(
    "broken",
    [
        b"no tensors",
        safetensors.numpy.save({"images": np.zeros((2, 28, 28), np.uint8)}),
        safetensors.numpy.save({"images": np.zeros((2, 28, 28)), "fp32.latents": np.zeros((2, 64))}),
    ],
)
def test_invalid_golden_vectors(bundle, broken):
    put(bundle, GOLDEN_NAME, broken)
    assert GOLDEN_NAME in diagnose(bundle)["problems"][0]


@pytest.mark.parametrize(
    ("tensor", "changed"),
    [
        ("images", lambda t: t[0, 0, 0]),
        ("images", lambda t: t[:0]),
        ("images", lambda t: t[:, 1:]),
        ("images", lambda t: t.astype(np.float32)),
        ("images", lambda _: None),
        ("fp32.latents", lambda t: t[0, 0]),
        ("fp32.latents", lambda t: t[1:]),
        ("int8.latents", lambda t: t.astype(np.int32)),
        ("int8.latents", lambda t: np.where(t > 0, np.nan, t)),
        ("fp32.latents", lambda t: np.full_like(t, 3e38)),
        ("int8.pixels", lambda t: t[None]),
        ("symbols", lambda t: np.full((2, t.shape[1]), 2**31 - 1, np.int32)),
        ("symbols", lambda t: np.full_like(t, -(2**31))),
        ("symbols", lambda t: t[0]),
        ("symbols", lambda _: None),
        ("file", lambda t: t.astype(np.int32)),
        ("file", lambda t: t[None]),
        ("file", lambda t: t[:-1]),
        ("file", lambda _: None),
        ("file", lambda _: np.frombuffer(Codec().compress_batch(np.zeros((2, 28, 28), np.uint8)), np.uint8)),
    ],
)
def test_golden_vectors_that_do_not_fit_are_a_problem(bundle, tensor, changed, cli):
    golden = safetensors.numpy.load((bundle / GOLDEN_NAME).read_bytes())
    value = changed(golden.pop(tensor))
    if value is not None:
        golden[tensor] = np.ascontiguousarray(value).reshape(value.shape)
    put(bundle, GOLDEN_NAME, safetensors.numpy.save(golden))
    done = cli("doctor", "--json", bundle)
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout)["problems"]
    assert f"{GOLDEN_NAME} does not fit the bundle (" in problem


@pytest.mark.parametrize("value", [[], 5, "text", None, {"int8_target": []}])
def test_an_invalid_record_of_the_quantisation_is_a_problem(bundle, value, cli):
    rewrite(bundle, lambda manifest: manifest["record"].update(quantisation=value))
    done = cli("doctor", "--json", bundle)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert "invalid record of the quantisation" in report["problems"][0]
    assert all(check["passed"] for check in report["self-test"]["checks"])


def test_graphs_for_another_kind_of_cpu_are_named_but_work(bundle, cli, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    rewrite(bundle, lambda manifest: manifest["record"]["quantisation"].update(int8_target="arm"))
    done = cli("doctor", bundle)
    assert done.returncode == 0, done.stdout
    assert "int8 graphs: encoder.onnx and decoder.onnx are for arm, and many times slower" in done.stdout
    assert "fmae-edge export --int8-target avx2 writes graphs for it" in done.stdout
    assert "\nint8      graphs for arm\n" in cli("info", bundle).stdout


def test_a_damaged_bundle_is_reported_with_all_other_facts(cli, bundle):
    (bundle / "decoder.onnx").write_bytes(b"")
    done = cli("doctor", bundle)
    assert done.returncode == 1
    assert "problem: " in done.stdout
    assert "decoder.onnx does not match" in done.stdout
    assert "  numpy: " in done.stdout


def test_a_bundle_without_golden_vectors_passes(bundle):
    rewrite(bundle, lambda manifest: manifest["files"].pop(GOLDEN_NAME))
    report = diagnose(bundle)
    assert report["healthy"]
    assert "no golden vectors" in report["self-test"]["result"]


def test_two_packages_of_onnxruntime_clash(installed, tmp_path, monkeypatch):
    other = tmp_path / "site/onnxruntime_gpu-1.20.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.20\n")
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    done = installed("doctor")
    assert done.returncode == 1
    assert "packages: onnxruntime, onnxruntime-gpu" in done.stdout
    assert "overwrite each other" in done.stdout


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "raise ImportError('libstdc++.so.6: cannot open shared object file')",
            "installed but cannot be loaded: libstdc",
        ),
        ("raise ModuleNotFoundError('No module named x', name='onnxruntime')", "onnxruntime is not installed"),
    ],
)
def test_an_onnxruntime_that_cannot_be_loaded_is_reported(installed, tmp_path, monkeypatch, code, message):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/onnxruntime.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    done = installed("doctor")
    assert done.returncode == 1
    assert message in done.stdout


def test_an_invalid_number_of_threads_is_a_problem(monkeypatch):
    monkeypatch.setenv("FMAE_EDGE_THREADS", "many")
    assert "FMAE_EDGE_THREADS is 'many'" in diagnose(DEFAULT_BUNDLE)["problems"][0]


@pytest.mark.parametrize(("share", "passes"), [(1e-3, True), (4e-3, False)])
def test_a_provider_may_differ_as_bfloat16_does(bundle, share, passes):
    golden = safetensors.numpy.load((bundle / GOLDEN_NAME).read_bytes())
    golden["fp32.latents"] += np.float32(share) * np.ptp(golden["fp32.latents"])
    put(bundle, GOLDEN_NAME, safetensors.numpy.save(golden))
    part = diagnose(bundle, as_providers(["cpu"]))["providers"]
    assert part["checks"][0]["passed"] == passes
    assert ("the self-test fails on cpu: fp32 latents" in part.get("problem", "")) != passes
