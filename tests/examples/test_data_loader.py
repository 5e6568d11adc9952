"""The dataset of .fmae files: each epoch has every image once, whoever decodes it, and files in another order."""

import re
import subprocess
import sys

import pytest
import torch

from examples.data_loader import main, make_loader
from fmae_edge import Codec, InputError
from tests.conftest import REPOSITORY

CODEC = Codec(threads=1)
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # where there is one CPU


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
def test_every_image_once_an_epoch_and_never_in_the_same_order(folder, images, workers):
    loader = make_loader(folder, 5, workers, "fork")
    first, second = epoch(loader), epoch(loader)
    expected = sorted(CODEC.decompress(CODEC.compress(image)).tobytes() for image in images[:32])
    assert sorted(first) == sorted(second) == expected
    assert first != second


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_is_named(folder, workers):
    path = folder / "more" / "12.fmae"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=re.escape(f"{path}: ") + ".*truncated"):
        epoch(make_loader(folder, 5, workers, "fork"))


def test_as_a_user_runs_it_with_workers_that_are_spawned(folder):
    command = [sys.executable, REPOSITORY / "examples/data_loader.py", folder / "more" / "12.fmae"]
    command += ["--workers", "1", "--start-method", "spawn"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split(" in ")[0] for line in lines] == ["epoch 1: 10 images", "epoch 2: 10 images"]
    assert all(line.endswith(" images per second") for line in lines)


def test_a_path_that_does_not_exist_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["data_loader.py", "nowhere.fmae"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.endswith("nowhere.fmae does not exist\n")
