"""Read images once into the cache: choose their size and colours, read them in parallel, split and store them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fmae_edge.data.errors import DataError
from fmae_edge.data.holdout import Split, split
from fmae_edge.data.image_cache import (
    Pixels,
    RowFile,
    StoredImages,
    open_entry,
    read_listing,
    reading_folder,
    require_space,
    write_entry,
    write_listing,
)
from fmae_edge.data.image_chunks import ChunkRead, ImageChunk, read_chunk, sample, sizes_of
from fmae_edge.data.image_conversion import Channels, Fit
from fmae_edge.data.image_processes import in_processes
from fmae_edge.data.image_record import NAMED, hw, notes_of, record_of, size_counts
from fmae_edge.data.image_settings import (
    LARGEST_SIDE,
    SMALLEST_SIDE,
    ImageFormat,
    ImageSettings,
    is_supported_size,
)

FEWEST_IMAGES = 200
_MOST_UNREADABLE = 0.01  # of the images
_SAMPLE, _SAMPLE_FOR_COLORS = 256, 64  # images
_VERSION = 1  # of how images are read and split: another version reads them again

OnProgress = Callable[[int, int, str], None]  # images done, total images, description


@dataclass(frozen=True)
class ImageData:
    """Images to train on, to choose the epoch with and to measure on, uint8 (N, height, width[, 3]).

    `validation` was taken from the training images, and may be empty. No image of `held_out` is in another part.
    The arrays of a person's images are memory-mapped copy-on-write. `record` is JSON for the recipe of the run and
    has no paths; `sha256` are the hashes of the pixels of "train", "validation" and "held_out"; `notes` are
    sentences for people about what was read, converted and dropped.
    """

    train: Pixels
    validation: Pixels
    held_out: Pixels
    record: dict[str, Any]
    sha256: dict[str, str]
    notes: list[str]

    @classmethod
    def of(cls, stored: StoredImages, record: dict[str, Any], notes: list[str]) -> "ImageData":
        """Return the images of an entry of the cache."""
        return cls(**stored.parts, record=record, sha256=stored.sha256, notes=notes)


def read_images(
    state: Sequence[object],
    make_chunks: Callable[[Path], list[ImageChunk]],
    settings: ImageSettings,
    allow_unreadable: bool,
    on_progress: OnProgress,
    passed_over: int = 0,
) -> ImageData:
    """Return the images of the chunks that `make_chunks` makes, given a folder for temporary files.

    They are read unless the cache has what the files of `state` (names, sizes and times) became with the same
    settings. `passed_over` other files are mentioned in the record.
    """
    known = hashlib.sha256(repr((_VERSION, settings)).encode())
    for each in state:
        known.update(repr(each).encode(errors="surrogateescape") + b"\n")
    listing_key = known.hexdigest()[:32]
    listing = read_listing(listing_key)
    if listing is not None and (stored := open_entry(str(listing.get("images")))) is not None:
        found = listing["record"]["found"]
        _require_readable(found["unreadable"], found["files"], listing["problems"], allow_unreadable)
        return ImageData.of(stored, listing["record"], listing["notes"])
    with reading_folder() as reading:
        chunks = make_chunks(reading)
        if not chunks:
            raise DataError("found no images")
        rows = reading / "rows"
        image_format, read = _read(chunks, settings, rows, allow_unreadable, on_progress)
        images = RowFile(rows, (len(read.hashes), *image_format.shape))
        try:
            chosen = _split(images, read, chunks, settings, on_progress)
            key = write_entry(
                reading,
                images,
                {"held_out": chosen.held_out, "validation": chosen.validation, "train": chosen.train},
            )
        finally:
            images.close()
    record = record_of(settings, image_format, read, chosen, passed_over)
    notes = notes_of(record, read.problems, read.other_sizes, *map(len, (chosen.train, chosen.held_out)))
    write_listing(
        listing_key, {"images": key, "record": record, "notes": notes, "problems": read.problems[:NAMED]}
    )
    stored = open_entry(key)
    if stored is None:
        raise DataError("the images in the cache were damaged while they were written; try again")
    return ImageData.of(stored, record, notes)


def _read(
    chunks: Sequence[ImageChunk],
    settings: ImageSettings,
    rows: Path,
    allow_unreadable: bool,
    on_progress: OnProgress,
) -> tuple[ImageFormat, ChunkRead]:
    """Read all images into file `rows`, and return their format.

    Size and colours are first taken from a sample. If the other images prove it wrong, they are read again.
    """
    total, fit = sum(map(len, chunks)), None if settings.fit == "exact" else settings.fit
    size, is_certain = settings.size, True
    if size is None:
        size, is_certain = _size_of_sample(chunks, settings, on_progress)
    image_format = _format(chunks, size, settings.channels, fit)
    while True:
        read = _read_in(image_format, chunks, rows, allow_unreadable, on_progress)
        if read.with_colors:
            image_format = ImageFormat(image_format.size, 3, fit)
        elif read.other_sizes and settings.fit is None:
            sizes = read.other_sizes + Counter({image_format.size: sum(map(bool, read.hashes))})
            raise _mixed(sizes, settings.size)
        elif not is_certain and 2 * read.other_sizes.total() > total:
            size, is_certain = _commonest(_survey(chunks, on_progress)), True
            image_format = _format(chunks, size, settings.channels, fit)
        else:
            return image_format, read


def _size_of_sample(
    chunks: Sequence[ImageChunk], settings: ImageSettings, on_progress: OnProgress
) -> tuple[tuple[int, int], bool]:
    """Return the size of most images, and whether all have been looked at, which depends on a sample."""
    sizes: Counter[tuple[int, int]] = Counter()
    for chunk in sample(chunks, _SAMPLE):
        sizes += sizes_of(chunk)
    if len(sizes) == 1 and is_supported_size(next(iter(sizes))):
        return next(iter(sizes)), False
    sizes = _survey(chunks, on_progress)
    if not sizes:
        raise DataError(
            f"none of the {sum(map(len, chunks))} files is an image that can be read, such as {chunks[0].paths[0]}"
        )
    if len(sizes) > 1 and settings.fit is None:
        raise _mixed(sizes, None)
    return _commonest(sizes), True


def _survey(chunks: Sequence[ImageChunk], on_progress: OnProgress) -> Counter[tuple[int, int]]:
    sizes: Counter[tuple[int, int]] = Counter()
    done, total = 0, sum(map(len, chunks))
    for chunk, found in zip(chunks, in_processes(sizes_of, chunks), strict=True):
        sizes += found
        done += len(chunk)
        on_progress(done, total, "looking at sizes")
    return sizes


def _commonest(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    """Return the commonest size, the largest of equally common ones. Raises DataError if no model can have it."""
    size = max(sizes, key=lambda each: (sizes[each], each[0] * each[1], each))
    if not is_supported_size(size):
        raise DataError(
            f"most images are {hw(size)} (height x width), and a model is for images of {SMALLEST_SIDE} to "
            f"{LARGEST_SIDE} pixels per side; choose a size and how to change the images, such as --size 64x64 "
            "--fit crop"
        )
    return size


def _mixed(sizes: Counter[tuple[int, int]], wanted: tuple[int, int] | None) -> DataError:
    size = "the commonest size" if wanted is None else hw(wanted)
    return DataError(
        f"the images have {len(sizes)} sizes (height x width): {size_counts(sizes)}; --fit resize, crop or pad "
        f"changes them to {size}, --fit exact leaves out the others, and --size HxW chooses another size"
    )


def _format(
    chunks: Sequence[ImageChunk], size: tuple[int, int], channels: Channels | None, fit: Fit | None
) -> ImageFormat:
    if channels is not None:
        return ImageFormat(size, channels, fit)
    gray = ImageFormat(size, 1, fit, gray_is_assumed=True)
    for chunk in sample(chunks, _SAMPLE_FOR_COLORS):
        if read_chunk(None, gray, (0, chunk)).with_colors:
            return ImageFormat(size, 3, fit)
    return gray


def _read_in(
    image_format: ImageFormat,
    chunks: Sequence[ImageChunk],
    rows: Path,
    allow_unreadable: bool,
    on_progress: OnProgress,
) -> ChunkRead:
    """Read all images, or those before the first with colours if gray is assumed."""
    total = sum(map(len, chunks))
    row_bytes = int(np.prod(image_format.shape))
    require_space(2 * total * row_bytes)
    with rows.open("wb") as file:
        file.truncate(total * row_bytes)
    read = ChunkRead()
    starts = np.cumsum([0, *map(len, chunks)]).tolist()
    numbered = list(zip(starts, chunks, strict=False))
    with closing(in_processes(partial(read_chunk, str(rows), image_format), numbered)) as results:
        for found in results:
            read.add(found)
            on_progress(len(read.hashes), total, "reading images")
            _require_readable(len(read.problems), total, read.problems, allow_unreadable)
            if read.with_colors:
                break
    return read


def _require_readable(unreadable: int, total: int, problems: Sequence[str], allow_unreadable: bool) -> None:
    """Raise DataError if more than one per cent of the images cannot be read, unless the person allows it."""
    if unreadable <= _MOST_UNREADABLE * total or allow_unreadable:
        return
    raise DataError(
        f"{unreadable} or more of {total} images cannot be read: {'; '.join(problems[:NAMED])}; "
        "--allow-unreadable leaves them out"
    )


def _split(
    images: RowFile,
    read: ChunkRead,
    chunks: Sequence[ImageChunk],
    settings: ImageSettings,
    on_progress: OnProgress,
) -> Split:
    hashes = np.array(read.hashes, np.uint64)
    readable = np.flatnonzero(hashes)
    different = len(np.unique(hashes[readable]))
    if different < FEWEST_IMAGES:
        raise DataError(
            f"found {different} different images that can be used among {len(hashes)}; training needs at least "
            f"{FEWEST_IMAGES}, and 5,000 or more of one kind for good results; add images"
        )
    holdout = settings.holdout
    chosen = split(
        images,
        hashes,
        readable,
        np.repeat([chunk.is_held_out for chunk in chunks], [len(chunk) for chunk in chunks])
        if holdout is None
        else holdout,
        lambda done, total: on_progress(done, total, "looking for near duplicates"),
    )
    for count, kind, advice in (
        (len(chosen.held_out), "held out for measuring", "choose a larger --holdout"),
        (len(chosen.train), "left to train on", "choose a smaller --holdout, or add images that differ more"),
    ):
        if not count:
            raise DataError(f"no images are {kind} of {different} different ones; {advice}")
    return chosen
