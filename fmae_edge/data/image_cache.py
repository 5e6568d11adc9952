"""Keep images that were read once, to be memory-mapped, in the cache folder of the user.

    <key>/images.npy    uint8 (N, height, width[, 3]): held-out images, those for validation, those for training
    <key>/parts.json    how many there are of each, and the SHA-256 of their pixels, from which the key is made
    listing-<key>.json  the key and the record of what was read from files with these names, sizes and times
    .reading-*          files of a run that is reading, with a lock file next to it

An entry is complete or does not exist: it is written in a .reading folder, and renamed. All of it may be deleted
at any time: the images are then read again.
"""

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fmae_edge.data.cache_folder import cache_folder
from fmae_edge.data.errors import DataError
from fmae_edge.data.holdout import Images
from fmae_edge.runtime.atomic_write import write_file
from fmae_edge.runtime.errors import OutputError

if sys.platform != "win32":
    import fcntl

PARTS = ("held_out", "validation", "train")
_IMAGES, _PARTS_FILE = "images.npy", "parts.json"
_LISTED = {"images", "record", "notes", "problems"}
_READING, _LOCK = ".reading-", ".lock"
_BYTES_AT_ONCE, _HASHED_AT_ONCE = 1 << 24, 1 << 20
_ADVICE = "the environment variable XDG_CACHE_HOME names another folder for the cache"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class StoredImages:
    """The parts of an entry, uint8 (N, height, width[, 3]) and mapped copy-on-write, and the SHA-256 of each."""

    parts: dict[str, Pixels]
    sha256: dict[str, str]


class RowFile:
    """Images (N, height, width[, 3]) in a file of uint8, read row by row: a map would count as memory."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._file = path.open("rb", buffering=0)

    def __getitem__(self, rows: NDArray[np.int64]) -> Pixels:
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        flat = images.reshape(len(rows), -1)
        for at in np.argsort(rows):
            self._file.seek(int(rows[at]) * flat.shape[1])
            self._file.readinto(flat[at])
        return images

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def images_folder() -> Path:
    """Return the folder of the cache. It may not exist yet."""
    return cache_folder() / "images"


def key_of(image_shape: tuple[int, ...], sha256: Mapping[str, str]) -> str:
    """Return the key of an entry from the shape of an image and the SHA-256 of each part."""
    content = json.dumps([list(image_shape), [sha256[part] for part in PARTS]])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def open_entry(key: str) -> StoredImages | None:
    """Return the images of an entry, or None if there is none or it is damaged: all hashes are checked."""
    path = images_folder() / key / _IMAGES
    try:
        recorded = json.loads(path.with_name(_PARTS_FILE).read_bytes())
        images = np.load(path, mmap_mode="c", allow_pickle=False)
        counts = [recorded[part]["images"] for part in PARTS]
        sha256 = {part: recorded[part]["sha256"] for part in PARTS}
        if images.dtype != np.uint8 or len(images) != sum(counts):
            return None
        if path.stat().st_size != images.offset + images.nbytes or key_of(images.shape[1:], sha256) != key:
            return None
        ends = np.cumsum([0, *counts]).tolist()
        row_bytes = math.prod(images.shape[1:])
        with path.open("rb", buffering=0) as file:  # not from the map, whose pages would count as memory
            file.seek(images.offset)
            for part, count in zip(PARTS, counts, strict=True):
                if _hash_of_next(file, count * row_bytes) != sha256[part]:
                    return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None
    parts = {part: images[start:end] for part, start, end in zip(PARTS, ends[:-1], ends[1:], strict=True)}
    return StoredImages(parts, sha256)


def _hash_of_next(file: FileIO, size: int) -> str:
    found, block = hashlib.sha256(), memoryview(bytearray(_HASHED_AT_ONCE))
    while size > 0 and (count := file.readinto(block[: min(size, len(block))])):
        found.update(block[:count])
        size -= count
    return found.hexdigest()


def hash_of(images: Pixels) -> str:
    """Return the SHA-256 of the pixels of images, in their order."""
    found = hashlib.sha256()
    for start in range(0, len(images), at_once := images_per(_BYTES_AT_ONCE, images.shape[1:])):
        found.update(np.ascontiguousarray(images[start : start + at_once]).data)
    return found.hexdigest()


def images_per(size: int, image_shape: tuple[int, ...]) -> int:
    """Return how many uint8 images of a shape have about `size` bytes, at least 1."""
    return max(1, size // int(np.prod(image_shape)))


def write_entry(reading: Path, images: Images, indices: Mapping[str, NDArray[np.int64]]) -> str:
    """Store those of `images` that `indices` name for each part, in this order, and return the key of the entry.

    `reading` is the folder that `reading_folder` yields.
    """
    staged = reading / "entry"
    staged.mkdir()
    count = sum(len(indices[part]) for part in PARTS)
    at_once = images_per(_BYTES_AT_ONCE, images.shape[1:])
    recorded: dict[str, dict[str, Any]] = {}
    with (staged / _IMAGES).open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *images.shape[1:])}
        npy.write_array_header_1_0(file, header)
        for part in PARTS:
            found = hashlib.sha256()
            for start in range(0, len(indices[part]), at_once):
                pixels = images[indices[part][start : start + at_once]]
                found.update(pixels.data)
                file.write(pixels.data)
            recorded[part] = {"images": len(indices[part]), "sha256": found.hexdigest()}
    (staged / _PARTS_FILE).write_text(json.dumps(recorded, indent=1) + "\n")
    key = key_of(images.shape[1:], {part: recorded[part]["sha256"] for part in PARTS})
    target = images_folder() / key
    while True:
        try:
            staged.rename(target)
            return key
        except OSError:
            if not target.exists() or open_entry(key) is not None:  # another run has stored the same images
                if target.exists():
                    return key
                raise
        with suppress(FileNotFoundError):  # a damaged one; runs that still use it keep their map
            target.rename(reading / f"damaged-{os.urandom(8).hex()}")


def read_listing(key: str) -> dict[str, Any] | None:
    """Return what `write_listing` stored, or None."""
    try:
        found = json.loads((images_folder() / f"listing-{key}.json").read_bytes())
        return found if isinstance(found, dict) and found.keys() >= _LISTED else None
    except (OSError, ValueError):
        return None


def write_listing(key: str, listing: Mapping[str, Any]) -> None:
    """Store as JSON what was read from the files, with the settings, behind `key`."""
    with suppress(OutputError):  # without it, the files are read again
        write_file(images_folder() / f"listing-{key}.json", json.dumps(listing).encode(), force=True)


@contextmanager
def reading_folder() -> Iterator[Path]:
    """Yield a folder inside the cache that is removed at the end, or by the next run if this process is killed.

    Raises DataError if the cache cannot be written, or an OSError about it occurs in the block.
    """
    cache = images_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_left_over(cache)
        lock_path, lock = _lock(cache)
        reading = lock_path.with_suffix("")
        try:
            reading.mkdir()
            yield reading
        finally:
            shutil.rmtree(reading, ignore_errors=True)
            lock.close()
            with suppress(OSError):
                lock_path.unlink()
    except OSError as error:
        raise DataError(f"{cache}: cannot be written ({error.strerror or error}); {_ADVICE}") from None


def require_space(size: int) -> None:
    """Raise DataError if the disk of the cache has fewer free bytes than `size`."""
    free = shutil.disk_usage(images_folder()).free
    if free < size:
        raise DataError(
            f"{images_folder()}: reading these images needs {size / 1e6:,.1f} MB there, and {free / 1e6:,.1f} MB "
            f"are free; {_ADVICE}"
        )


def _lock(cache: Path) -> tuple[Path, BinaryIO]:
    """Create and lock a file; the lock ends with this process, even if it is killed."""
    while True:
        path = cache / f"{_READING}{os.urandom(8).hex()}{_LOCK}"
        file = path.open("xb")
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks, where nothing left over is removed either
                fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists():
            return path, file
        file.close()  # another process removed it as left over before it was locked


def _remove_left_over(cache: Path) -> None:
    """Remove what runs that were killed have left: no process holds a lock on it."""
    if sys.platform == "win32":  # Windows does not have such locks
        return
    for path in cache.glob(f"{_READING}*{_LOCK}"):
        with suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            path.unlink()
