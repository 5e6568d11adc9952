"""The dataset of .fmae files yields every image once per epoch, in another order each time."""

import re
import subprocess
import sys

import pytest
import torch

from examples.data_loader import main, make_loader
from fmae_edge import Codec, InputError
from tests.conftest import REPOSITORY

CODEC = Codec(threads=1)
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one CPU


@pytest.fixture
def folder(tmp_path, images):
    """Twelve files of one image and two of a stack, 32 images in all."""
    for number, image in enumerate(images[:12]):
        (tmp_path / f"{number}.fmae").write_bytes(CODEC.compress(image))
    (tmp_path / "more").mkdir()
    for number in (12, 22):
        (tmp_path / "more" / f"{number}.fmae").write_bytes(CODEC.compress_batch(images[number : number + 10]))
    return tmp_path


def epoch(loader):
    batches = list(loader)
    assert {batch.dtype for batch in batches} == {torch.uint8}
    assert max(map(len, batches)) == 5
    return [image.numpy().tobytes() for batch in batches for image in batch]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_image_comes_once_per_epoch_in_another_order_each_time(folder, images, workers):
    loader = make_loader(folder, 5, workers, "fork")
    first, second = epoch(loader), epoch(loader)
    expected = sorted(CODEC.decompress(CODEC.compress(image)).tobytes() for image in images[:32])
    assert sorted(first) == sorted(second) == expected
    assert first != second


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_names_the_bad_file(folder, workers):
    path = folder / "more" / "12.fmae"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=re.escape(f"{path}: ") + ".*truncated"):
        epoch(make_loader(folder, 5, workers, "fork"))


def test_the_program_runs_with_spawned_workers(folder):
    command = [sys.executable, REPOSITORY / "examples/data_loader.py", folder / "more" / "12.fmae"]
    command += ["--workers", "1", "--start-method", "spawn"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split(" in ")[0] for line in lines] == ["epoch 1: 10 images", "epoch 2: 10 images"]
    assert all(line.endswith(" images per second") for line in lines)


def test_a_missing_path_is_reported_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["data_loader.py", "nowhere.fmae"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.endswith("nowhere.fmae does not exist\n")
