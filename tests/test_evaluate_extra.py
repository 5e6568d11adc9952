"""The commands `evaluate` and `report` run with the packages of the extra [evaluate] alone, so without PyTorch."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY
from tests.installed_data import needs_data
from tests.invented_bench import bench_of

# Hides the modules in its first argument. The data set and the list of codecs are small, which saves minutes
_PROGRAM = """
import sys
from pathlib import Path
absent = set(sys.argv[1].split(","))

class Without:
    def __init__(self, finder):
        self._finder = finder
    def __getattr__(self, name):
        return getattr(self._finder, name)
    def find_spec(self, name, *others):
        return None if name.partition(".")[0] in absent else self._finder.find_spec(name, *others)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]

import numpy as np
from fmae_edge.cli import main
from fmae_edge.data import fashion_mnist, image_data
from fmae_edge.evaluate import codec_settings, evaluation
images = np.load("images.npy")
few = fashion_mnist.FashionMnist(images[100:], images[:100], Path())
fashion_mnist.load_fashion_mnist = lambda data: few
find_image_data = image_data.find_image_data
image_data.find_image_data = lambda recipe, *data, **rest: find_image_data({}, *data, **rest)  # has other hashes
ladders = [codec_settings.Ladder(each.rungs[:1]) for each in codec_settings.general_ladders((28, 28))]
evaluation.general_ladders = lambda shape: [each for each in ladders if not each.lossless]
for command in (
    "evaluate -o evaluation --images 100",
    "report -o report.html --evaluation evaluation/evaluation.json --bench bench.json",
):
    sys.argv = ["fmae-edge", *command.split()]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
assert "matplotlib" in sys.modules and "torch" not in sys.modules
"""


def installed_with(extra):
    """Return the names of the distributions that `pip install fmae-edge[extra]` installs here."""
    found, left = set(), [("fmae-edge", extra)]
    while left:
        name, extra = left.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # for another Python or system
            continue
        for requirement in needed:
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return {name for name, _ in found}


def absent_without(distributions):
    """Return the top-level modules that are installed here but not by one of the distributions."""
    return {
        module
        for module, owners in packages_distributions().items()
        if not distributions & {canonicalize_name(owner) for owner in owners}
    }


@pytest.mark.slow
def test_evaluate_and_report_import_only_packages_of_the_extra(tmp_path, images):
    absent = absent_without(installed_with("evaluate"))
    assert {"torch", "torchvision", "onnx", "onnxscript", "safetensors"} <= absent
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "bench.json").write_text(json.dumps(bench_of().to_record()))
    command = [sys.executable, "-c", _PROGRAM, ",".join(absent)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    points = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["points"]
    assert {point["codec"] for point in points} == {"fmae-edge", "PCA", "JPEG", "WebP", "AVIF", "JPEG XL"}
    assert "Comparison with other codecs" in (tmp_path / "report.html").read_text()


@pytest.mark.installs
@needs_data
def test_evaluate_and_report_run_where_only_the_extra_is_installed(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / "bin"
    python = (programs / "python", "-I")  # so that PYTHONPATH adds nothing
    subprocess.run([*python, "-m", "pip", "install", "--quiet", f"{REPOSITORY}[evaluate]"], check=True)
    subprocess.run([*python, "-c", "import importlib.util as i; assert not i.find_spec('torch')"], check=True)
    for command in (
        "evaluate -o evaluation --images 100",
        "report -o report.html --evaluation evaluation/evaluation.json",
    ):
        subprocess.run([*python, programs / "fmae-edge", *command.split()], cwd=tmp_path, check=True)
    assert "Comparison with other codecs" in (tmp_path / "report.html").read_text()
