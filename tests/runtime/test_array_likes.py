"""A type checker refuses a path in place of an image or the bytes of a file, and accepts all that works."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

START = """
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge import Codec

codec = Codec()
array: NDArray[Any] = np.zeros((28, 28), np.uint8)
rows = [[0] * 28] * 28
pillow = Image.new("L", (28, 28))
"""
RIGHT = """
latent: NDArray[Any] = codec.encode(array)
codec.encode(rows)
codec.encode([rows, rows])
codec.encode([array, array])
codec.encode((pillow, pillow))
codec.encode([[array]])
codec.compress(pillow)
codec.compress_batch([array])
codec.compress_iter([array, pillow])
codec.compress_iter(array)
codec.decode(latent)
codec.decode([latent, latent])
codec.decode([1] * 64, 5)
codec.decode([[1] * 64], 5)
codec.decode(codec.symbols(b""), 5)
codec.decompress(bytearray())
codec.names(memoryview(b""))
codec.decompress_iter([b"", bytearray()])
"""
WRONG = """
codec.encode("img.png")
codec.encode(Path("img.png"))
codec.encode(b"PNG")
codec.compress("img.png")
codec.compress_batch(["img.png"])
codec.compress_iter([Path("img.png")])
codec.compress_iter("img.png")
codec.decode("img.npy")
codec.decode([0.5] * 64)
codec.decode([[0.5] * 64])
codec.decompress("img.fmae")
codec.decompress(Path("img.fmae"))
codec.decompress(array)
codec.symbols("img.fmae")
codec.names(Path("img.fmae"))
codec.decompress_iter(["img.fmae"])
"""


def test_mypy_refuses_paths_and_accepts_valid_arguments(tmp_path):
    pytest.importorskip("mypy")
    for name, calls in (("right.py", RIGHT), ("wrong.py", WRONG)):
        (tmp_path / name).write_text(START.strip() + calls)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            tmp_path / "right.py",
            tmp_path / "wrong.py",
        ],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,  # for its settings and its cache, with which this takes half a second
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert not [line for line in errors if "right.py" in line]
    refused = {int(line.split(":")[1]) for line in errors}
    first = len(START.strip().splitlines()) + 1
    assert refused == set(range(first, first + len(WRONG.strip().splitlines()))), done.stdout + done.stderr
