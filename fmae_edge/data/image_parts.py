"""Divide files and arrays of images into parts of a size that one process reads at a time."""

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge.data.errors import DataError
from fmae_edge.data.image_cache import images_per, require_space
from fmae_edge.data.image_decoding import ImagePart
from fmae_edge.data.image_sources import FoundFile, FoundFiles, StoredArray, stored_arrays

_IMAGES, _BYTES = 256, 1 << 22  # of a part; Ctrl-C waits for the current ones


def parts_of(found: FoundFiles, is_held_out: bool, reading: Path) -> list[ImagePart]:
    """Return the parts of all images in `found`. Arrays of .npz files are unpacked into folder `reading`."""
    parts = list(_file_parts(found.images, is_held_out))
    for file in found.arrays:
        for array in stored_arrays(file.path):
            path = _unpacked(array, reading) if array.member else array.path
            parts += array_parts(path, array.shape, is_held_out)
    return parts


def _file_parts(files: Sequence[FoundFile], is_held_out: bool) -> Iterator[ImagePart]:
    paths: list[str] = []
    size = 0
    for file in files:
        paths.append(file.path)
        size += file.size
        if len(paths) == _IMAGES or size >= _BYTES:
            yield ImagePart(tuple(paths), None, is_held_out)
            paths, size = [], 0
    if paths:
        yield ImagePart(tuple(paths), None, is_held_out)


def array_parts(path: str, shape: tuple[int, ...], is_held_out: bool) -> list[ImagePart]:
    """Return the parts of the images (N, height, width[, 3]) in a .npy file."""
    at_once = min(_IMAGES, images_per(_BYTES, shape[1:]))
    starts = range(0, shape[0], at_once)
    return [ImagePart((path,), range(at, min(at + at_once, shape[0])), is_held_out) for at in starts]


def store_array(images: NDArray[np.uint8], reading: Path, is_held_out: bool) -> list[ImagePart]:
    """Write images (N, height, width[, 3]) to a .npy file in folder `reading`, and return its parts."""
    path = reading / f"array-{len(list(reading.iterdir()))}.npy"
    require_space(images.nbytes)
    np.save(path, images)
    return array_parts(str(path), images.shape, is_held_out)


def _unpacked(array: StoredArray, reading: Path) -> str:
    """Copy an array from a .npz file to a .npy file, because only that can be read in parts."""
    path = reading / f"array-{len(list(reading.iterdir()))}.npy"
    require_space(int(np.prod(array.shape)))
    try:
        with zipfile.ZipFile(array.path) as archive, archive.open(array.member) as member, path.open("wb") as file:
            shutil.copyfileobj(member, file, 1 << 20)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{array.path}: {array.member} cannot be unpacked ({error})") from None
    return str(path)


def sample(parts: Sequence[ImagePart], count: int) -> list[ImagePart]:
    """Return about `count` images, spread evenly, as parts of one image each; all if there are fewer."""
    ends = np.cumsum([len(part) for part in parts])
    chosen = np.unique(np.linspace(0, ends[-1] - 1, min(count, int(ends[-1]))).astype(np.int64))
    found = []
    for number in chosen.tolist():
        at = int(np.searchsorted(ends, number, side="right"))
        part, inside = parts[at], number - int(ends[at]) + len(parts[at])
        if part.rows is None:
            found.append(ImagePart((part.paths[inside],)))
        else:
            found.append(ImagePart(part.paths, part.rows[inside : inside + 1]))
    return found
