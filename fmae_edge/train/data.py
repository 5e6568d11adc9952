"""Find, check and load Fashion-MNIST: 60,000 training and 10,000 test images; the labels stay unused.

Xiao et al., "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
"""

import gzip
import hashlib
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fmae_edge.train.errors import DataError
from fmae_edge.train.torchvision_import import fashion_mnist_class

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_TORCHVISION_FOLDER = Path("FashionMNIST", "raw")
_SIDE = 28
_ADVICE = (
    "get the real one with `make data`, `apt-get install dataset-fashion-mnist`, "
    "or from https://github.com/zalandoresearch/fashion-mnist"
)


@dataclass(frozen=True)
class _IdxFile:
    """One unpacked IDX file: its name, number of items, bytes an item, and SHA-256 where it decides a figure.

    Packers differ (Debian's .gz files are not the published ones byte for byte), so it is the unpacked
    content that is checked.
    """

    name: str
    items: int
    shape: tuple[int, ...]
    sha256: str | None

    @property
    def header(self) -> bytes:
        dimensions = (self.items, *self.shape)
        return struct.pack(f">HBB{len(dimensions)}I", 0, 8, len(dimensions), *dimensions)

    @property
    def size(self) -> int:
        item = 1
        for side in self.shape:
            item *= side
        return len(self.header) + self.items * item


_FILES = (
    _IdxFile(
        "train-images-idx3-ubyte",
        60_000,
        (_SIDE, _SIDE),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    _IdxFile("train-labels-idx1-ubyte", 60_000, (), None),
    _IdxFile(
        "t10k-images-idx3-ubyte",
        10_000,
        (_SIDE, _SIDE),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    _IdxFile("t10k-labels-idx1-ubyte", 10_000, (), None),
)


@dataclass(frozen=True)
class FashionMnist:
    """The images as uint8 tensors, train (60000, 28, 28) and test (10000, 28, 28), and where they were."""

    train: Tensor
    test: Tensor
    folder: Path


def load_fashion_mnist(data: Path | None = None) -> FashionMnist:
    """Load Fashion-MNIST from folder `data`, or from where Debian puts it, or by downloading it once.

    `data` holds the four IDX files, unpacked or as .gz, itself or under FashionMNIST/raw as torchvision
    keeps them. Raises DataError, naming the file, if one is missing, short, or not Fashion-MNIST.
    """
    folder = _find(data)
    with tempfile.TemporaryDirectory(prefix="fmae-edge-") as scratch:
        raw = Path(scratch) / _TORCHVISION_FOLDER
        raw.mkdir(parents=True)
        for file in _FILES:
            (raw / file.name).write_bytes(_read_checked(folder, file))
        dataset = fashion_mnist_class()
        return FashionMnist(dataset(scratch, train=True).data, dataset(scratch, train=False).data, folder)


def _find(data: Path | None) -> Path:
    if data is not None:
        if not data.is_dir():
            raise DataError(f"{data}: no such folder; give the one that holds the four Fashion-MNIST files")
        for folder in (data / _TORCHVISION_FOLDER, data):
            if any(_path(folder, file) for file in _FILES):
                return folder
        raise DataError(f"{data}: none of the four Fashion-MNIST files is there; {_ADVICE}")
    if DEBIAN_FOLDER.is_dir():
        return DEBIAN_FOLDER
    return _download()


def _download() -> Path:
    """Let torchvision download the files, with its progress bar, into the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fmae-edge"
    try:
        fashion_mnist_class()(cache, download=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"Fashion-MNIST is not installed and cannot be downloaded ({error}); {_ADVICE}") from None
    return cache / _TORCHVISION_FOLDER


def _path(folder: Path, file: _IdxFile) -> Path | None:
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        if path.is_file():
            return path
    return None


def _read_checked(folder: Path, file: _IdxFile) -> bytes:
    path = _path(folder, file)
    if path is None:
        raise DataError(f"{folder / file.name}: missing, and so is {file.name}.gz; {_ADVICE}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(file.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}), so it is short or damaged; {_ADVICE}") from None
    if not content.startswith(file.header):
        raise DataError(f"{path}: does not start with the IDX header of {file.name}; {_ADVICE}")
    if len(content) != file.size:
        found = f"{len(content)} bytes" if len(content) < file.size else "more"
        raise DataError(f"{path}: needs {file.size} bytes when unpacked and has {found}; {_ADVICE}")
    if file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{path}: its images are not those of Fashion-MNIST (another SHA-256); {_ADVICE}")
    return content


if __name__ == "__main__":  # `make data`
    try:
        found = load_fashion_mnist()
    except DataError as error:
        raise SystemExit(str(error)) from None
    print(f"Fashion-MNIST: {len(found.train)} training and {len(found.test)} test images in {found.folder}")
