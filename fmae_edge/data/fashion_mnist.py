"""Find, check and read the images of Fashion-MNIST: 60,000 for training and 10,000 for testing.

Xiao et al., "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
"""

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge.data.cache_folder import cache_folder
from fmae_edge.data.errors import DataError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_TORCHVISION_FOLDER = Path("FashionMNIST", "raw")
_ADVICE = (
    "get Fashion-MNIST with `make data`, with `apt-get install dataset-fashion-mnist`, "
    "or from https://github.com/zalandoresearch/fashion-mnist"
)


@dataclass(frozen=True)
class _IdxFile:
    """An IDX file of images: its name, their shape (N, height, width), and the SHA-256 of its unpacked content.

    The packed content is not hashed, because Debian's .gz files differ from the published ones.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        return struct.pack(f">HBB{len(self.shape)}I", 0, 8, len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        return len(self.header) + math.prod(self.shape)


_TRAIN = _IdxFile(
    "train-images-idx3-ubyte",
    (60_000, 28, 28),
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
)
_TEST = _IdxFile(
    "t10k-images-idx3-ubyte",
    (10_000, 28, 28),
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
)
_FILES = (_TRAIN, _TEST)


@dataclass(frozen=True)
class FashionMnist:
    """The images as uint8 arrays: train (60000, 28, 28), test (10000, 28, 28), and the folder of their files."""

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    folder: Path


def load_fashion_mnist(data: Path | None = None) -> FashionMnist:
    """Load Fashion-MNIST from folder `data`, by default from the Debian package, else by downloading it once.

    The two IDX files of images, unpacked or as .gz, are in `data` or in its subfolder FashionMNIST/raw, as
    torchvision stores them. Raises DataError, naming the file, if one is missing, truncated or not the expected
    one.
    """
    folder = _find(data)
    train, test = (_read_checked(folder, file) for file in _FILES)
    return FashionMnist(train, test, folder)


def _find(data: Path | None) -> Path:
    if data is not None:
        if not data.is_dir():
            raise DataError(f"{data}: no such folder; expected a folder with the Fashion-MNIST files")
        for folder in (data / _TORCHVISION_FOLDER, data):
            if any(_path(folder, file) for file in _FILES):
                return folder
        raise DataError(f"{data}: has no Fashion-MNIST files; {_ADVICE}")
    if DEBIAN_FOLDER.is_dir():
        return DEBIAN_FOLDER
    return _download()


def _download() -> Path:
    """Download the files with torchvision, which shows a progress bar, into the cache folder of the user."""
    from fmae_edge.data.torchvision_import import data_set_class  # not at the top, because it imports PyTorch

    cache = cache_folder()
    try:
        data_set_class("FashionMNIST")(cache, download=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"Fashion-MNIST is not installed and cannot be downloaded ({error}); {_ADVICE}") from None
    return cache / _TORCHVISION_FOLDER


def _path(folder: Path, file: _IdxFile) -> Path | None:
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        if path.is_file():
            return path
    return None


def _read_checked(folder: Path, file: _IdxFile) -> NDArray[np.uint8]:
    path = _path(folder, file)
    if path is None:
        raise DataError(f"neither {folder / file.name} nor {file.name}.gz exists; {_ADVICE}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(file.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); it is truncated or damaged; {_ADVICE}") from None
    if not content.startswith(file.header):
        raise DataError(f"{path}: does not start with the IDX header of {file.name}; {_ADVICE}")
    if len(content) != file.size:
        found = str(len(content)) if len(content) < file.size else "more"
        raise DataError(f"{path}: expected {file.size} bytes when unpacked, found {found}; {_ADVICE}")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{path}: its images are not those of Fashion-MNIST (wrong SHA-256); {_ADVICE}")
    pixels = np.frombuffer(content, np.uint8, offset=len(file.header))
    return pixels.reshape(file.shape).copy()  # PyTorch warns about read-only memory


if __name__ == "__main__":  # `make data`
    try:
        images = load_fashion_mnist()
    except DataError as error:
        raise SystemExit(str(error)) from None
    print(f"Fashion-MNIST: {len(images.train)} training and {len(images.test)} test images in {images.folder}")
