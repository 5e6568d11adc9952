"""Fixtures that many tests share: real test images, the shipped bundle, the command line as a user types it."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fmae_edge.runtime.bundle import DEFAULT_BUNDLE

REPOSITORY = Path(__file__).parent.parent
CHECKPOINT = REPOSITORY / "checkpoints" / "fashion-mnist"
_IDX_HEADER_BYTES = 16


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """The first 256 test images of Fashion-MNIST, (256, 28, 28)."""
    content = gzip.decompress((REPOSITORY / "tests/data/test-images-256.idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=_IDX_HEADER_BYTES).reshape(-1, 28, 28)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped bundle that a test may break."""
    copy = tmp_path / "bundle"
    copy.mkdir()
    for file in DEFAULT_BUNDLE.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run `fmae-edge ARGUMENTS...` in `tmp_path`; standard input is empty unless given as bytes."""
    command = Path(sys.executable).with_name("fmae-edge")

    def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run([command, *arguments], cwd=tmp_path, input=stdin, capture_output=True, check=False)
        out, err = (stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run
