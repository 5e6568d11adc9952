"""Only the published data set is loaded; otherwise an error names the file and says how to get the data set."""

import gzip
import shutil

import numpy as np
import pytest

from fmae_edge.data import fashion_mnist as module
from fmae_edge.data.errors import DataError
from fmae_edge.data.fashion_mnist import DEBIAN_FOLDER, load_fashion_mnist
from tests.installed_data import needs_data

NAMES = ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"]


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        shutil.copy(DEBIAN_FOLDER / f"{name}.gz", tmp_path)
    return tmp_path


@needs_data
def test_the_real_set(fashion_mnist, images):
    found = fashion_mnist
    assert found.train.shape == (60_000, 28, 28)
    assert found.test.shape == (10_000, 28, 28)
    assert found.train.dtype == np.uint8
    assert (found.test[:256] == images).all()
    assert found.folder == DEBIAN_FOLDER


@needs_data
@pytest.mark.parametrize("layout", ["gz", "unpacked", "torchvision"])
def test_every_layout(folder, layout, fashion_mnist):
    if layout != "gz":
        target = folder / "FashionMNIST" / "raw" if layout == "torchvision" else folder
        target.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            packed = folder / f"{name}.gz"
            (target / name).write_bytes(gzip.decompress(packed.read_bytes()))
            packed.unlink()
    found = load_fashion_mnist(folder)
    assert np.array_equal(found.train, fashion_mnist.train)
    assert np.array_equal(found.test, fashion_mnist.test)


@needs_data
@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file(folder, name):
    (folder / f"{name}.gz").unlink()
    with pytest.raises(DataError, match=rf"neither .*{name} nor {name}.gz exists.*make data"):
        load_fashion_mnist(folder)


def repack(change):
    return lambda packed: gzip.compress(change(gzip.decompress(packed)), compresslevel=1)


@needs_data
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda packed: packed[: len(packed) // 2], "cannot be unpacked"),
        (lambda packed: b"no gzip", "cannot be unpacked"),
        (lambda packed: packed[:100] + bytes(50) + packed[150:], "cannot be unpacked|not those of"),
        (lambda packed: b"", "does not start with the IDX header"),
        (repack(lambda content: content[:-1]), "expected 7840016 bytes when unpacked, found 7840015"),
        (repack(lambda content: content + b"\0"), "expected 7840016 bytes when unpacked, found more"),
        (repack(lambda content: content[:3] + b"\1" + content[4:]), "IDX header"),
        (repack(lambda content: content[:-1] + bytes([content[-1] ^ 1])), "not those of Fashion-MNIST"),
    ],
)
def test_a_wrong_file(folder, change, message):
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=rf"t10k-images-idx3-ubyte\.gz: .*({message}).*make data"):
        load_fashion_mnist(folder)


def test_folders_without_it(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_fashion_mnist(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no Fashion-MNIST files"):
        load_fashion_mnist(tmp_path)


@needs_data
def test_a_download_is_the_last_resort_and_goes_to_the_cache(tmp_path, monkeypatch):
    downloads = []

    class Downloads:
        def __init__(self, root, train=True, download=False):
            downloads.append((root, download))
            raw = root / "FashionMNIST" / "raw"
            raw.mkdir(parents=True)
            for name in NAMES:
                shutil.copy(DEBIAN_FOLDER / f"{name}.gz", raw)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "DEBIAN_FOLDER", tmp_path / "not-installed")
    monkeypatch.setattr("fmae_edge.data.torchvision_import.data_set_class", lambda name: Downloads)
    found = load_fashion_mnist()
    assert downloads == [(tmp_path / "fmae-edge", True)]
    assert found.folder == tmp_path / "fmae-edge" / "FashionMNIST" / "raw"
    assert len(found.train) == 60_000


def test_a_download_that_fails(tmp_path, monkeypatch):
    def no_network(root, download):
        raise RuntimeError("Error downloading train-images")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "DEBIAN_FOLDER", tmp_path / "not-installed")
    monkeypatch.setattr("fmae_edge.data.torchvision_import.data_set_class", lambda name: no_network)
    with pytest.raises(DataError, match=r"cannot be downloaded.*make data"):
        load_fashion_mnist()
