"""OpenVINO as the execution provider: the same results as on the CPU provider, from threads and processes too.

It needs the package onnxruntime-openvino in place of onnxruntime: `make openvino`.
"""

import json
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from fmae_edge import Codec, FmaeError
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.engine.providers import as_providers
from fmae_edge.runtime.self_test import self_test

pytestmark = pytest.mark.openvino

NAME = "OpenVINOExecutionProvider"
BFLOAT16 = [(NAME, {"load_config": json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}})})]


@pytest.fixture(scope="module")
def codec():
    return Codec(providers=["openvino"])


@pytest.fixture(scope="module")
def content(codec, images):
    return codec.compress_batch(images)


def test_it_codes_as_the_cpu_provider_does(codec, images, content):
    on_cpu = Codec(precision="fp32")
    latents = on_cpu.encode(images)
    assert np.abs(codec.encode(images) - latents).max() < 1e-5 * np.ptp(latents)
    pixels = codec.decode(latents).astype(int)
    assert np.abs(pixels - on_cpu.decode(latents)).max() <= 1
    symbols = codec.symbols(content)
    np.testing.assert_array_equal(symbols, on_cpu.symbols(content))
    assert np.mean(symbols != on_cpu.symbols(on_cpu.compress_batch(images))) < 1e-3


@pytest.mark.parametrize("count", [1, 7, 8, 64, 65])
def test_any_number_of_images(codec, images, count):
    np.testing.assert_allclose(codec.encode(images[:count]), codec.encode(images)[:count], atol=1e-4)


def test_a_search_follows_the_gradient(codec, images):
    found, expected = (each.compress_batch(images[:32], effort=5) for each in (codec, Codec(precision="fp32")))
    assert len(found) == pytest.approx(len(expected), rel=0.01)
    errors = [np.square(codec.decompress(each).astype(int) - images[:32]).mean() for each in (found, expected)]
    assert errors[0] == pytest.approx(errors[1], rel=0.01)


def test_many_threads_get_the_same_results(codec, images, content):
    with ThreadPoolExecutor(4) as pool:
        assert all(found == content for found in pool.map(codec.compress_batch, [images] * 20))


def test_a_pickle_codes_in_another_process(codec, images, content):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(codec.compress_batch, images).result() == content
    assert repr(pickle.loads(pickle.dumps(codec))) == repr(codec)


_FORKING = """
import os, signal, sys
import numpy as np
from fmae_edge import Codec

images = np.random.default_rng(0).integers(0, 256, (16, 28, 28), np.uint8)
codec = Codec(providers=["openvino"], threads=2)
content = codec.compress_batch(images)
child = os.fork()
if not child:
    signal.alarm(30)
    assert codec.compress_batch(images) == content
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert codec.compress_batch(images) == content
"""


def test_a_forked_process_loads_the_graphs_again():
    subprocess.run([sys.executable, "-c", _FORKING], check=True, timeout=60)


def test_doctor_compares_the_golden_vectors(cli):
    done = cli("doctor", "--provider", "openvino", "--json")
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert all(check["passed"] for check in report["providers"]["checks"])


def test_bfloat16_stays_within_the_tolerance():
    checks = self_test(DEFAULT_BUNDLE, as_providers(BFLOAT16))
    assert all(check.passed for check in checks), checks
    assert "differ by 0," not in checks[0].found


def test_a_device_that_is_missing_is_an_error_not_the_cpu(images):
    codec = Codec(providers=[(NAME, {"device_type": "GPU.7"})])
    with pytest.raises(FmaeError, match=f"could not start {NAME} on this machine and fell back to CPUExecution"):
        codec.encode(images[:1])


@pytest.mark.parametrize("providers", [[(NAME, {"device_type": "gpu"})], ["cpu", "openvino"]])
def test_a_provider_that_runs_nothing_is_an_error(images, providers):
    with pytest.raises(FmaeError, match=f"encoder.fp32.onnx: onnxruntime runs all of it on CPU.*{NAME}.*CPU last"):
        Codec(providers=providers).encode(images[:1])


def test_an_unknown_option_is_named(images):
    codec = Codec(providers=[(NAME, {"nonsense": 1})])
    with pytest.raises(FmaeError, match="cannot be loaded by onnxruntime .* with providers=.*option: nonsense"):
        codec.encode(images[:1])


def test_the_command_line_takes_both_names(cli, tmp_path, images):
    (tmp_path / "img.png").write_bytes(png_bytes(images[0]))
    for name in ("openvino", NAME):
        assert cli("compress", "img.png", "-o", f"{name}.fmae", "--provider", name).returncode == 0
        assert cli("decompress", f"{name}.fmae", "--provider", name).returncode == 0
    assert (tmp_path / "openvino.fmae").read_bytes() == (tmp_path / f"{NAME}.fmae").read_bytes()
    assert (tmp_path / "openvino.png").exists()
