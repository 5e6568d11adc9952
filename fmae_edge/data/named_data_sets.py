"""Find, download and read named data sets: MNIST, KMNIST, EMNIST (split "balanced"), CIFAR-10 and SVHN.

torchvision downloads them. They are read without it, and without running code that a pickle or a file may contain.
Fashion-MNIST has its own module, which knows the hashes of its images.
"""

import gzip
import io
import pickle
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.data.cache_folder import cache_folder
from fmae_edge.data.errors import DataError

FASHION_MNIST = "fashion-mnist"
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _DataSet:
    """Files of the training and of the test images, the subfolder and the class of torchvision, and a reader."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    folder: str
    torchvision: str
    read: Callable[[bytes], Pixels]
    upright: bool = True


def _idx(content: bytes) -> Pixels:
    """Read images from an IDX file: LeCun's format of MNIST."""
    zero, kind, dimensions = struct.unpack_from(">HBB", content)
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    if (zero, kind, dimensions) != (0, 8, 3):
        raise ValueError("not an IDX file of images")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle dictionaries, lists, text and numpy arrays only: a pickle can call any function otherwise."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy") and name in ("_reconstruct", "ndarray", "dtype"):
            if name == "_reconstruct":
                return lambda kind, shape, dtype: np.ndarray.__new__(np.ndarray, shape, dtype)
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode("latin1")
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}")


def _cifar(content: bytes) -> Pixels:
    """Read images from a batch of the Python version of CIFAR-10: rows of 1024 red, green and blue levels each."""
    batch = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    return np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


_MAT_HEADER, _COMPRESSED, _MATRIX, _BYTES = 128, 15, 14, 2  # of a MATLAB 5 file, and types of its elements


def _svhn(content: bytes) -> Pixels:
    """Read the array X (32, 32, 3, N), stored column by column, from a MATLAB 5 file."""
    at = _MAT_HEADER
    while at + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, at)
        element = content[at + 8 : at + 8 + size]
        at += 8 + size
        if kind == _COMPRESSED:
            unpacked = zlib.decompress(element)
            kind, element = struct.unpack_from("<I", unpacked)[0], unpacked[8:]
        if kind == _MATRIX:
            _, (_, shape), (_, name), (levels, pixels) = _elements(element, 4)
            if name == b"X" and levels == _BYTES:
                dimensions = struct.unpack(f"<{len(shape) // 4}i", shape)
                return np.frombuffer(pixels, np.uint8).reshape(dimensions, order="F").transpose(3, 0, 1, 2)
    raise ValueError("it has no array X")


def _elements(content: bytes, count: int) -> list[tuple[int, bytes]]:
    """Return the types and contents of the first elements of a matrix. The tag itself stores up to 4 bytes."""
    found, at = [], 0
    for _ in range(count):
        kind, size = struct.unpack_from("<II", content, at)
        if kind >> 16:
            found.append((kind & 0xFFFF, content[at + 4 : at + 4 + (kind >> 16)]))
            at += 8
        else:
            found.append((kind, content[at + 8 : at + 8 + size]))
            at += 8 + (size + 7) // 8 * 8
    return found


_MNIST_FILES = (("train-images-idx3-ubyte",), ("t10k-images-idx3-ubyte",))
_EMNIST_FILES = (("emnist-balanced-train-images-idx3-ubyte",), ("emnist-balanced-test-images-idx3-ubyte",))
_CIFAR_FILES = (tuple(f"data_batch_{number}" for number in range(1, 6)), ("test_batch",))
_DATA_SETS = {
    "mnist": _DataSet(*_MNIST_FILES, "MNIST/raw", "MNIST", _idx),
    "kmnist": _DataSet(*_MNIST_FILES, "KMNIST/raw", "KMNIST", _idx),
    "emnist": _DataSet(*_EMNIST_FILES, "EMNIST/raw", "EMNIST", _idx, upright=False),
    "cifar10": _DataSet(*_CIFAR_FILES, "cifar-10-batches-py", "CIFAR10", _cifar),
    "svhn": _DataSet(("train_32x32.mat",), ("test_32x32.mat",), "", "SVHN", _svhn),
}
DATA_SETS = (FASHION_MNIST, *_DATA_SETS)


def find_named(name: str, folder: Path | None) -> tuple[list[Path], list[Path]]:
    """Return the files of the training and of the test images of a data set, except Fashion-MNIST.

    They are in `folder` or in the subfolder that torchvision uses. Without `folder`, they are downloaded once,
    with torchvision, into the cache folder of the user. Raises DataError if a file is missing or the download
    fails.
    """
    data_set = _DATA_SETS[name]
    if folder is None:
        folder = cache_folder()
        if not _missing(data_set, folder):
            return _paths(data_set, folder)
        _download(name, folder)
    elif not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a folder with the files of {name}")
    if missing := _missing(data_set, folder):
        raise DataError(
            f"{folder}: has no file {missing[0]} of {name}, here or in {data_set.folder or folder}; expected the "
            "files that torchvision downloads"
        )
    return _paths(data_set, folder)


def read_named(name: str, files: Sequence[Path]) -> Pixels:
    """Return the images in `files` of a data set, uint8 (N, height, width[, 3]).

    The images of EMNIST are stored on their sides, and turned upright. Raises DataError for a damaged file.
    """
    data_set = _DATA_SETS[name]
    parts = []
    for path in files:
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                images = data_set.read(file.read())
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            struct.error,
            zlib.error,
            pickle.UnpicklingError,
        ) as error:
            raise DataError(f"{path}: not the file of {name} of this name, or damaged ({error})") from None
        parts.append(images if data_set.upright else images.transpose(0, 2, 1))
    return np.ascontiguousarray(np.concatenate(parts))


def _missing(data_set: _DataSet, folder: Path) -> list[str]:
    return [name for name in (*data_set.train, *data_set.test) if _path(data_set, folder, name) is None]


def _paths(data_set: _DataSet, folder: Path) -> tuple[list[Path], list[Path]]:
    train, test = (
        [path for name in names if (path := _path(data_set, folder, name)) is not None]
        for names in (data_set.train, data_set.test)
    )
    return train, test


def _path(data_set: _DataSet, folder: Path, name: str) -> Path | None:
    for inside in (folder / data_set.folder, folder):
        for path in (inside / name, inside / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def _download(name: str, folder: Path) -> None:
    """Download the files of a data set with torchvision, which shows a progress bar."""
    try:
        from fmae_edge.data.torchvision_import import data_set_class  # not at the top, because it imports PyTorch

        kind: Any = data_set_class(_DATA_SETS[name].torchvision)
        if name == "svhn":
            for part in ("train", "test"):
                kind(folder, split=part, download=True)
        else:
            kind(folder, download=True, **({"split": "balanced"} if name == "emnist" else {}))
    except (RuntimeError, OSError, ImportError) as error:
        raise DataError(
            f"{name} cannot be downloaded ({error}); with a copy of its files, name their folder with --data"
        ) from None
