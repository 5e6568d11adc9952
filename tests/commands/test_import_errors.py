"""A package that is absent, old or lacks a system library gives one sentence; `info` runs without onnxruntime."""

import tomllib

import pytest

from fmae_edge import Codec
from fmae_edge.cli import OLDEST_TYPER
from tests.conftest import REPOSITORY

_NUMPY_WITHOUT_BLAS = """
try:
    raise ImportError("libopenblas.so.0: cannot open shared object file: No such file or directory",
                      name="_multiarray_umath", path="/usr/lib/python3/dist-packages/numpy/_core/umath.so")
except ImportError as error:
    raise ImportError("IMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!\\n" * 20) from error
"""


@pytest.fixture
def shadowed(tmp_path, monkeypatch):
    """Make new processes import a module of this name and code in place of the installed one."""

    def shadow(name, code):
        (tmp_path / "site").mkdir(exist_ok=True)
        (tmp_path / f"site/{name}.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{REPOSITORY}")

    return shadow


@pytest.mark.parametrize("command", ["info", "compress"])
def test_a_missing_system_library_of_numpy_is_named(installed, shadowed, command):
    shadowed("numpy", _NUMPY_WITHOUT_BLAS)
    done = installed(command, "a.fmae")
    assert done.returncode == 1
    assert done.stderr == (
        "fmae-edge: libopenblas.so.0 is missing, which numpy/_core/umath.so needs: "
        "install the system package that has it\n"
    )


def test_an_old_typer_is_named_with_the_oldest_that_works(cli, monkeypatch):
    for old in ("0.15.1", "0.19.2", "0.9"):
        monkeypatch.setattr("typer.__version__", old)
        done = cli("doctor")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"fmae-edge: typer {old} is too old: pip install 'typer>=0.20'\n"
    for new in ("0.20.0", "0.21.0rc1", "1.0"):
        monkeypatch.setattr("typer.__version__", new)
        assert cli("info", "--list").returncode == 0


def test_the_oldest_typer_is_that_of_the_project():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"typer>={'.'.join(map(str, OLDEST_TYPER))}" in extras["cli"]


def test_info_and_doctor_run_without_onnxruntime(installed, shadowed, tmp_path, images):
    (tmp_path / "stack.fmae").write_bytes(Codec().compress_batch(images[:3]))
    shadowed("onnxruntime", "raise ModuleNotFoundError('No module named onnxruntime', name='onnxruntime')")
    for target in ("stack.fmae", "default", "--list"):
        done = installed("info", target)
        assert (done.returncode, done.stderr) == (0, "")
    done = installed("doctor")
    assert done.returncode == 1
    assert "onnxruntime is not installed: pip install onnxruntime" in done.stdout
