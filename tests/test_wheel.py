"""The wheel is small and complete, and numpy and onnxruntime are all it needs."""

import subprocess
import sys
import zipfile

import pytest

from fmae_edge.page.site import build_site
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.manifest import GRAPH_NAMES, MANIFEST_NAME, PRIOR_NAME
from fmae_edge.runtime.self_test import GOLDEN_NAME
from tests.conftest import REPOSITORY

_ENVIRONMENT = """
import importlib.util
for absent in ("PIL", "typer", "torch", "onnx"):
    assert importlib.util.find_spec(absent) is None, absent
"""
_RESULTS = """
assert latents.shape == (100, 64) and latents.dtype == np.float32
assert decoded.shape == images.shape and decoded.dtype == np.uint8
assert image.shape == (28, 28)
print(codec.manifest.name, type(content).__name__)
image = Codec("detail").decompress(Codec("detail").compress(images[0]))
assert image.shape == (28, 28)
"""


def embedding_example():
    """Return the program under "Embed it" in the README."""
    section = (REPOSITORY / "README.md").read_text().split("## Embed it")[1]
    return section.split("```python\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        folder,
        REPOSITORY,
    ]
    subprocess.run(command, check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_contains_the_bundles_and_no_tests_or_checkpoints(wheel):
    assert wheel.stat().st_size < 16_000_000
    names = zipfile.ZipFile(wheel).namelist()
    for bundle in ("default", "detail"):
        for name in (*GRAPH_NAMES, PRIOR_NAME, GOLDEN_NAME, MANIFEST_NAME):
            assert f"fmae_edge/bundles/{bundle}/{name}" in names
    assert "fmae_edge/py.typed" in names
    site = build_site(DEFAULT_BUNDLE)  # of a clone, where the scripts lie next to the package
    scripts = {name for name in names if name.startswith("fmae_edge/js/")}
    assert scripts == {f"fmae_edge/{name}" for name in site.files if name.startswith("js/")} | {
        "fmae_edge/js/page/index.html"
    }
    assert {f"fmae_edge/evaluate/report/page.{kind}" for kind in ("html.jinja", "css", "js")} <= set(names)
    assert len([name for name in names if name.endswith(".safetensors")]) == 2 * 2  # none from checkpoints/
    assert not [name for name in names if name.startswith(("tests", "samples", "checkpoints"))]


def test_the_wheel_runs_with_only_numpy_and_onnxruntime(wheel, tmp_path):
    environment = tmp_path / "with a space"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
    program = _ENVIRONMENT + embedding_example() + _RESULTS
    done = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fashion-mnist bytes\n", "")
    done = subprocess.run([environment / "bin" / "fmae-edge"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "fmae-edge: this needs typer: install fmae-edge with [cli], as in pip install '.[cli]' in a clone\n"
    )
