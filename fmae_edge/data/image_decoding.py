"""Read a part of the images from files or an array into a file of rows, and hash each of them."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge.data.image_conversion import Channels, Fit, to_pixels
from fmae_edge.data.image_file import SizeError, image_size, load_image, max_image_bytes
from fmae_edge.runtime.errors import FmaeError, InputError

_OTHER_SIZE = re.compile(r"from (\d+)x(\d+) to ")
# What a note of `load_image` starts with or ends with, and what such images are counted as
_KINDS = (
    ("resized from", "resized"),
    ("scaled and cropped", "cropped"),
    ("scaled and padded", "padded"),
    ("transparent parts", "composited"),
    ("only the first frame", "animated"),
    ("EXIF orientation", "rotated"),
    ("16-bit", "reduced_to_8_bits"),
    ("converted to grayscale", "converted_to_gray"),
    ("converted to RGB", "converted_to_rgb"),
)


@dataclass(frozen=True)
class ImageFormat:
    """The `size` (height, width) and the channels of images to store, and what happens to those of other sizes.

    If `gray_is_assumed`, images with colours are not stored but counted.
    """

    size: tuple[int, int]
    channels: Channels
    fit: Fit | None = None
    gray_is_assumed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image: (height, width) or (height, width, 3)."""
        return self.size if self.channels == 1 else (*self.size, self.channels)


@dataclass(frozen=True)
class ImagePart:
    """Some image files, or some `rows` of a .npy file; `is_held_out` if a person chose them for measuring."""

    paths: tuple[str, ...]
    rows: range | None = None
    is_held_out: bool = False

    def __len__(self) -> int:
        return len(self.paths) if self.rows is None else len(self.rows)


@dataclass
class PartRead:
    """What was found in one part or several: hashes of the stored images, 0 for those not stored, and counts.

    `kinds` counts conversions, `other_sizes` (height, width) of images that were changed or left out.
    """

    hashes: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    other_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    with_colors: int = 0

    def add(self, other: "PartRead") -> None:
        """Append the images of the next part."""
        self.hashes += other.hashes
        self.problems += other.problems
        self.kinds += other.kinds
        self.other_sizes += other.other_sizes
        self.with_colors += other.with_colors


def read_part(target: str | None, image_format: ImageFormat, numbered: tuple[int, ImagePart]) -> PartRead:
    """Write the images of a part to the rows of file `target`, if any, from a given row on.

    Raises OSError if the file cannot be written.
    """
    start, part = numbered
    read = PartRead()
    row_bytes = int(np.prod(image_format.shape))
    channels = None if image_format.gray_is_assumed else image_format.channels
    next_row = -1  # of the part, to which the file writes without a seek
    with Path(target or os.devnull).open("r+b") as file:
        for number, load in enumerate(_loaders(part, image_format, channels)):
            read.hashes.append(0)
            try:
                image, notes = load()
            except SizeError as error:
                read.other_sizes[error.size] += 1
                read.kinds["left_out"] += 1
                continue
            except (FmaeError, MemoryError) as error:
                where = part.paths[number if part.rows is None else 0]
                read.problems.append(str(error) or f"{where}: needs more memory than is available")
                continue
            if image.ndim > len(image_format.shape):
                read.with_colors += 1
                continue
            _count(notes, read)
            pixels = image.tobytes()
            # 0 marks an image that is not stored
            read.hashes[-1] = int.from_bytes(hashlib.sha256(pixels).digest()[:8], "big") or 1
            if number != next_row:
                file.seek((start + number) * row_bytes)
            file.write(pixels)
            next_row = number + 1
    return read


def _count(notes: Sequence[str], read: PartRead) -> None:
    for note in notes:
        kinds = [kind for text, kind in _KINDS if note.startswith(text) or note.endswith(text)]
        read.kinds.update(kinds)
        if size := _OTHER_SIZE.search(note):
            read.other_sizes[int(size[2]), int(size[1])] += 1


def _loaders(
    part: ImagePart, image_format: ImageFormat, channels: Channels | None
) -> Iterator[Callable[[], tuple[NDArray[np.uint8], list[str]]]]:
    """Yield a function for each image of a part that returns it with notes on conversions."""
    if part.rows is None:
        for path in part.paths:
            yield partial(_load_file, path, image_format, channels)
        return
    array = np.load(part.paths[0], mmap_mode="r", allow_pickle=False)
    for row in part.rows:
        where = f"{part.paths[0]}: image {row}"
        yield partial(_convert, np.asarray(array[row]), where, image_format, channels)


def _load_file(
    path: str, image_format: ImageFormat, channels: Channels | None
) -> tuple[NDArray[np.uint8], list[str]]:
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
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return an image (height, width[, 3]) of an array in the format, as `load_image` does with a file."""
    if array.shape == image_format.shape and channels is not None:
        return array, []
    if array.shape[:2] != image_format.size and image_format.fit is None:
        height, width = array.shape[:2]
        problem = f"{where}: is {width}x{height} and must be {image_format.size[1]}x{image_format.size[0]}"
        raise SizeError(problem, (height, width))
    notes: list[str] = []
    image = Image.fromarray(np.ascontiguousarray(array))
    return to_pixels(image, where, image_format.size, channels, image_format.fit, notes), notes


def sizes_of(part: ImagePart) -> Counter[tuple[int, int]]:
    """Count the sizes (height, width) of images without decoding them. Those not readable are left out."""
    sizes: Counter[tuple[int, int]] = Counter()
    if part.rows is not None:
        height, width = np.load(part.paths[0], mmap_mode="r", allow_pickle=False).shape[1:3]
        sizes[height, width] += len(part)
        return sizes
    for path in part.paths:
        try:
            sizes[image_size(read_image_file(path), path)] += 1
        except (InputError, MemoryError):
            continue
    return sizes
