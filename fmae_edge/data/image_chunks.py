"""Divide files and arrays of images into chunks, and read a chunk: decode its images, store and hash them."""

import hashlib
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge.data.errors import DataError
from fmae_edge.data.image_cache import images_per, require_space
from fmae_edge.data.image_conversion import Channels, Note, to_pixels
from fmae_edge.data.image_file import SizeError, image_size, load_image
from fmae_edge.data.image_limits import max_image_bytes
from fmae_edge.data.image_settings import ImageFormat
from fmae_edge.data.image_sources import FoundFile, FoundFiles, StoredArray, stored_arrays
from fmae_edge.runtime.errors import FmaeError, InputError

_IMAGES, _BYTES = 256, 1 << 22  # of a chunk; Ctrl-C waits for the current ones


@dataclass(frozen=True)
class ImageChunk:
    """Some image files, or some `rows` of a .npy file; `is_held_out` if a person chose them for measuring."""

    paths: tuple[str, ...]
    rows: range | None = None
    is_held_out: bool = False

    def __len__(self) -> int:
        return len(self.paths) if self.rows is None else len(self.rows)


@dataclass
class ChunkRead:
    """What was found in one chunk or several: hashes of the stored images, 0 for those not stored, and counts.

    `kinds` counts conversions, `other_sizes` (height, width) of images that were changed or left out.
    """

    hashes: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    other_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    with_colors: int = 0

    def add(self, other: "ChunkRead") -> None:
        """Append the images of the next chunk."""
        self.hashes += other.hashes
        self.problems += other.problems
        self.kinds += other.kinds
        self.other_sizes += other.other_sizes
        self.with_colors += other.with_colors


def chunks_of(found: FoundFiles, is_held_out: bool, reading: Path) -> list[ImageChunk]:
    """Return the chunks of all images in `found`. Arrays of .npz files are unpacked into folder `reading`."""
    chunks = list(_file_chunks(found.images, is_held_out))
    for file in found.arrays:
        for array in stored_arrays(file.path):
            path = _unpacked(array, reading) if array.member else array.path
            chunks += array_chunks(path, array.shape, is_held_out)
    return chunks


def _file_chunks(files: Sequence[FoundFile], is_held_out: bool) -> Iterator[ImageChunk]:
    paths: list[str] = []
    size = 0
    for file in files:
        paths.append(file.path)
        size += file.size
        if len(paths) == _IMAGES or size >= _BYTES:
            yield ImageChunk(tuple(paths), None, is_held_out)
            paths, size = [], 0
    if paths:
        yield ImageChunk(tuple(paths), None, is_held_out)


def array_chunks(path: str, shape: tuple[int, ...], is_held_out: bool) -> list[ImageChunk]:
    """Return the chunks of the images (N, height, width[, 3]) in a .npy file."""
    at_once = min(_IMAGES, images_per(_BYTES, shape[1:]))
    starts = range(0, shape[0], at_once)
    return [ImageChunk((path,), range(at, min(at + at_once, shape[0])), is_held_out) for at in starts]


def store_array(images: NDArray[np.uint8], reading: Path, is_held_out: bool) -> list[ImageChunk]:
    """Write images (N, height, width[, 3]) to a .npy file in folder `reading`, and return its chunks."""
    path = _free_path(reading)
    require_space(images.nbytes)
    np.save(path, images)
    return array_chunks(str(path), images.shape, is_held_out)


def _unpacked(array: StoredArray, reading: Path) -> str:
    """Copy an array from a .npz file to a .npy file, because only that can be read in chunks."""
    path = _free_path(reading)
    require_space(int(np.prod(array.shape)))
    try:
        with zipfile.ZipFile(array.path) as archive, archive.open(array.member) as member, path.open("wb") as file:
            shutil.copyfileobj(member, file, 1 << 20)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{array.path}: {array.member} cannot be unpacked ({error})") from None
    return str(path)


def _free_path(reading: Path) -> Path:
    return reading / f"array-{len(list(reading.iterdir()))}.npy"


def sample(chunks: Sequence[ImageChunk], count: int) -> list[ImageChunk]:
    """Return about `count` images, spread evenly, as chunks of one image each; all if there are fewer."""
    ends = np.cumsum([len(chunk) for chunk in chunks])
    chosen = np.unique(np.linspace(0, ends[-1] - 1, min(count, int(ends[-1]))).astype(np.int64))
    found = []
    for number in chosen.tolist():
        at = int(np.searchsorted(ends, number, side="right"))
        chunk, inside = chunks[at], number - int(ends[at]) + len(chunks[at])
        if chunk.rows is None:
            found.append(ImageChunk((chunk.paths[inside],)))
        else:
            found.append(ImageChunk(chunk.paths, chunk.rows[inside : inside + 1]))
    return found


def read_chunk(target: str | None, image_format: ImageFormat, numbered: tuple[int, ImageChunk]) -> ChunkRead:
    """Read and hash the images of a chunk, and write them to file `target`, if any.

    `numbered` is the row of the file for the first image, and the chunk. Raises OSError if writing fails.
    """
    start, chunk = numbered
    read = ChunkRead()
    row_bytes = int(np.prod(image_format.shape))
    channels = None if image_format.gray_is_assumed else image_format.channels
    next_row = -1  # of the chunk, to which the file writes without a seek
    with Path(target or os.devnull).open("r+b") as file:
        for number, load in enumerate(_loaders(chunk, image_format, channels)):
            read.hashes.append(0)
            try:
                image, notes = load()
            except SizeError as error:
                read.other_sizes[error.size] += 1
                read.kinds["left_out"] += 1
                continue
            except (FmaeError, MemoryError) as error:
                where = chunk.paths[number if chunk.rows is None else 0]
                read.problems.append(str(error) or f"{where}: needs more memory than is available")
                continue
            if image.ndim > len(image_format.shape):
                read.with_colors += 1
                continue
            read.kinds.update(note.kind for note in notes)
            read.other_sizes.update(note.size_before for note in notes if note.size_before)
            pixels = image.tobytes()
            # 0 marks an image that is not stored
            read.hashes[-1] = int.from_bytes(hashlib.sha256(pixels).digest()[:8], "big") or 1
            if number != next_row:
                file.seek((start + number) * row_bytes)
            file.write(pixels)
            next_row = number + 1
    return read


def _loaders(
    chunk: ImageChunk, image_format: ImageFormat, channels: Channels | None
) -> Iterator[Callable[[], tuple[NDArray[np.uint8], list[Note]]]]:
    """Yield a function for each image of a chunk that returns it with notes on conversions."""
    if chunk.rows is None:
        for path in chunk.paths:
            yield partial(_load_file, path, image_format, channels)
        return
    array = np.load(chunk.paths[0], mmap_mode="r", allow_pickle=False)
    for row in chunk.rows:
        where = f"{chunk.paths[0]}: image {row}"
        yield partial(_convert, np.asarray(array[row]), where, image_format, channels)


def _load_file(
    path: str, image_format: ImageFormat, channels: Channels | None
) -> tuple[NDArray[np.uint8], list[Note]]:
    content = read_image_file(path)
    return load_image(content, path, image_format.size, channels, image_format.fit)


def read_image_file(path: str) -> bytes:
    """Return the content of an image file. Raises InputError if it cannot be read or is too large for an image."""
    most = max_image_bytes((1, 1), "resize")
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path and a buffer for each file are slow
            if (size := os.fstat(file.fileno()).st_size) > most:
                raise InputError(f"{path}: has {size} bytes, more than the limit of {most} bytes")
            return file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _convert(
    array: NDArray[np.uint8], where: str, image_format: ImageFormat, channels: Channels | None
) -> tuple[NDArray[np.uint8], list[Note]]:
    """Return an image (height, width[, 3]) of an array in the format, as `load_image` does with a file."""
    if array.shape == image_format.shape and channels is not None:
        return array, []
    if array.shape[:2] != image_format.size and image_format.fit is None:
        height, width = array.shape[:2]
        problem = f"{where}: is {width}x{height} and must be {image_format.size[1]}x{image_format.size[0]}"
        raise SizeError(problem, (height, width))
    notes: list[Note] = []
    image = Image.fromarray(np.ascontiguousarray(array))
    return to_pixels(image, where, image_format.size, channels, image_format.fit, notes), notes


def sizes_of(chunk: ImageChunk) -> Counter[tuple[int, int]]:
    """Count the sizes (height, width) of images without decoding them. Those not readable are left out."""
    sizes: Counter[tuple[int, int]] = Counter()
    if chunk.rows is not None:
        height, width = np.load(chunk.paths[0], mmap_mode="r", allow_pickle=False).shape[1:3]
        sizes[height, width] += len(chunk)
        return sizes
    for path in chunk.paths:
        try:
            sizes[image_size(read_image_file(path), path)] += 1
        except (InputError, MemoryError):
            continue
    return sizes
