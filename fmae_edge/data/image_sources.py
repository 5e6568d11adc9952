"""Find the images that a person names: folders, image files, lists of paths, and arrays in .npy or .npz files."""

import math
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from fmae_edge.data.errors import DataError
from fmae_edge.data.image_limits import SUFFIXES

ARRAY_SUFFIXES, LIST_SUFFIX = (".npy", ".npz"), ".txt"
_SAY_NOTHING = ("train", "training", "images")  # names that do not say which images
_MOST_NAMES = 3


class FoundFile(NamedTuple):
    """A file, its size in bytes, and its time in nanoseconds. Its content counts as unchanged while they are."""

    path: str
    size: int
    modified: int


@dataclass
class FoundFiles:
    """Image files and array files, and how many other files in folders were passed over."""

    images: list[FoundFile] = field(default_factory=list)
    arrays: list[FoundFile] = field(default_factory=list)
    passed_over: int = 0


class StoredArray(NamedTuple):
    """An array of images (N, height, width[, 3]) in a .npy file, or in a member of a .npz file."""

    path: str
    member: str  # empty for a .npy file
    shape: tuple[int, ...]


def find_files(inputs: Sequence[Path]) -> FoundFiles:
    """Return the files that `inputs` name, each once, sorted within a folder by path.

    Folders are searched with everything below them, for image files only: `fmae-edge compress` writes .npy files
    next to images. Links are followed, but no folder is read twice. Names that start with a dot are passed over.

    Raises DataError if an input or a listed file does not exist, or if a folder contains no images.
    """
    found = FoundFiles()
    seen: set[str] = set()
    for given in inputs:
        if given.is_dir():
            files = list(_below(given, found))
            if not files:
                raise DataError(
                    f"{given}: contains no images; their names must end in {', '.join(SUFFIXES)} (name files that "
                    f"end in {' or '.join(ARRAY_SUFFIXES)} themselves)"
                )
        elif given.suffix.lower() == LIST_SUFFIX and given.is_file():
            files = [file_state(path) for path in _listed(given)]
        elif given.is_file():
            files = [file_state(given)]
        else:
            raise DataError(f"{given}: no such file or folder")
        for file in files:
            path = os.path.abspath(file.path)  # noqa: PTH100 - a Path for each of a million files is slow
            if path in seen:
                continue
            seen.add(path)
            is_array = path.lower().endswith(ARRAY_SUFFIXES)
            (found.arrays if is_array else found.images).append(file._replace(path=path))
    return found


def title_of(inputs: Sequence[Path]) -> str:
    """Return a short name for images: photos for photos/, icons for icons.npz, letters-train for letters/train.

    Names of several inputs are joined with +, from the fourth on only counted: a+b+c+7-more.
    """
    titles = list(dict.fromkeys(map(_title, inputs)))
    more = len(titles) - _MOST_NAMES
    return "+".join([*titles[:_MOST_NAMES], *([f"{more}-more"] if more > 0 else [])])


def _title(given: Path) -> str:
    path = Path(os.path.abspath(given))  # noqa: PTH100 - a link keeps its own name, .. does not
    names = [path.name if path.is_dir() else path.stem]
    for folder in path.parents:
        if names[0].lower() not in _SAY_NOTHING or not folder.name:
            break
        names.insert(0, folder.name)
    return "-".join(names)


def _below(folder: Path, found: FoundFiles) -> Iterator[FoundFile]:
    """Yield the image files below a folder. Counts other files in `found`."""
    folders, visited = [str(folder)], set()
    while folders:
        inside = folders.pop()
        try:
            status = os.stat(inside)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(inside) as entries:
                names = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"{inside}: cannot be read ({error.strerror})") from None
        below = []
        for entry in names:
            is_image = entry.name.lower().endswith(SUFFIXES)
            try:
                status = entry.stat()
                mode, size, modified = status.st_mode, status.st_size, status.st_mtime_ns
            except OSError:  # a link that leads nowhere: reading it will say so
                mode, size, modified = stat.S_IFREG, 0, 0
            if stat.S_ISDIR(mode):
                below.append(entry.path)
            elif is_image and stat.S_ISREG(mode):
                yield FoundFile(entry.path, size, modified)
            else:
                found.passed_over += 1
        folders += reversed(below)


def file_state(path: Path) -> FoundFile:
    """Return the path, size and time of a file."""
    status = path.stat()
    return FoundFile(str(path), status.st_size, status.st_mtime_ns)


def _listed(path: Path) -> list[Path]:
    """Return the paths in a text file, one per line. Relative ones start at the folder of the file."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    found = [path.parent / line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise DataError(f"{path}: is empty; expected a list of paths, one per line")
    missing = [str(each) for each in found if not _is_file(each)]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of the {len(found)} files that it lists do not exist, such as {missing[0]}"
        )
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a line that is too long or has a null byte: not a list of paths
        return False


def stored_arrays(path: str) -> list[StoredArray]:
    """Return the arrays of images in a .npy file, or those in a .npz file, of which other arrays are passed over.

    Only their headers are read. Raises DataError if there are none.
    """
    try:
        if path.lower().endswith(".npy"):
            with Path(path).open("rb") as file:
                found = {"": _header(file, os.fstat(file.fileno()).st_size)}
        else:
            with zipfile.ZipFile(path) as archive:
                found = {}
                for each in archive.infolist():
                    with archive.open(each) as member:
                        found[each.filename] = _header(member, each.file_size)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: not an array that numpy has saved, or damaged ({error})") from None
    arrays = [
        StoredArray(path, name, shape) for name, (shape, dtype) in found.items() if _holds_images(shape, dtype)
    ]
    if not arrays:
        kinds = [f"{dtype} {shape}" for shape, dtype in found.values()] or ["nothing"]
        raise DataError(
            f"{path}: contains {', '.join(kinds)}; expected images as uint8 (N, height, width) or "
            "(N, height, width, 3)"
        )
    return arrays


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Return shape and dtype of an array in a file of `size` bytes. Raises ValueError if it is truncated."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if size < file.tell() + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"it has {size} bytes, too few for {dtype} {shape}")
    return shape, dtype


def _holds_images(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bool:
    return dtype == np.uint8 and (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)) and 0 not in shape
