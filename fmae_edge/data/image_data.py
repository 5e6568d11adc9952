"""The images of a training run: a person's folders, files and arrays, or a named data set.

`load_image_data` reads them for a new run, `find_image_data` finds those of an earlier one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fmae_edge.data import fashion_mnist
from fmae_edge.data.errors import DataError
from fmae_edge.data.image_cache import Pixels, StoredImages, hash_of, key_of, open_entry
from fmae_edge.data.image_chunks import ImageChunk, chunks_of, store_array
from fmae_edge.data.image_reader import ImageData, OnProgress, read_images
from fmae_edge.data.image_settings import ImageSettings
from fmae_edge.data.image_sources import file_state, find_files, title_of
from fmae_edge.data.named_data_sets import DATA_SETS, FASHION_MNIST, find_named, read_named

__all__ = ["ImageData", "ImageSettings", "find_image_data", "load_image_data", "name_of_data"]

_FASHION_SIZE = (28, 28)
_SEE_DATA = "name the images of the run with --data"


def load_image_data(
    inputs: Sequence[str | Path],
    settings: ImageSettings,
    *,
    holdout_paths: Sequence[Path] = (),
    named_folder: Path | None = None,
    allow_unreadable: bool = False,
    on_progress: OnProgress = lambda done, total, description: None,
) -> ImageData:
    """Read the images of `inputs`: folders, image files, .npy, .npz, .txt lists of paths, or one data set by name.

    A name is a str of DATA_SETS; without inputs, it is fashion-mnist. `named_folder` has the files of the data
    set, whose own test images are held out. Of other inputs, the share `settings.holdout` is held out, or the
    images that `holdout_paths` name. See `holdout.split` for the method. Images are read once into a cache, and
    memory-mapped. `on_progress` gets (images done, total, description).

    Raises DataError for images that do not exist, cannot be read, have several sizes without `settings.fit`, or
    are too few; ArgumentError for invalid settings.
    """
    name = _name_of(inputs)
    if name is not None and holdout_paths:
        raise DataError(f"{name} has test images of its own, which are held out; leave out --holdout")
    if name == FASHION_MNIST and _keeps_fashion_mnist(settings):
        return _fashion_mnist(named_folder)
    if name is not None:
        return _read_named(name, replace(settings, holdout=None), named_folder, on_progress)
    return _read_own([Path(each) for each in inputs], holdout_paths, settings, allow_unreadable, on_progress)


def find_image_data(
    recipe: Mapping[str, Any],
    data: Sequence[Path] = (),
    *,
    on_progress: OnProgress = lambda done, total, description: None,
) -> ImageData:
    """Return the images of an earlier run, whose `recipe` is the JSON of recipe.json.

    They come from the cache if it has them, else `data` is read again with the settings of the run. If the
    run had `holdout_paths`, `data` names its inputs first, then these paths. For a named data set, `data` is the
    folder of its files. A run without a record of its data is one on Fashion-MNIST.

    Raises DataError if the images are not found, or not those of the run.
    """
    record = recipe.get("data")
    if record is None:
        return _fashion_mnist(_only_folder(data, FASHION_MNIST))
    try:
        name, kept, is_named = record["name"], record["settings"], bool(record.get("is_data_set"))
        settings = ImageSettings(tuple(kept["size"]), kept["channels"], kept["fit"], kept["holdout"])
        last = kept.get("holdout_paths", 0)
        stored = _stored(recipe)
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"the run has no valid record of its data ({error!r})") from None
    if is_named and name == FASHION_MNIST and _keeps_fashion_mnist(settings):
        again = _fashion_mnist(_only_folder(data, name))
        _require_same(again, recipe)
        return again
    if stored is not None:
        return ImageData.of(stored, dict(record), [])
    if is_named:
        again = load_image_data([name], settings, named_folder=_only_folder(data, name), on_progress=on_progress)
    elif not data:
        raise DataError(f"the images of the run ({name}) are no longer in the cache; {_SEE_DATA}")
    else:
        if last >= len(data):
            raise DataError(
                f"the run had the images of {last} paths held out; name with --data those for training, then these"
            )
        inputs, held_out = data[: len(data) - last], data[len(data) - last :]
        again = load_image_data(
            inputs, settings, holdout_paths=held_out, allow_unreadable=True, on_progress=on_progress
        )
    _require_same(again, recipe)
    return replace(again, record=dict(record))


def name_of_data(inputs: Sequence[str | Path]) -> str:
    """Return the name that the record has for `inputs` of `load_image_data`: of a data set, or of the paths."""
    return _name_of(inputs) or title_of([Path(each) for each in inputs])


def _name_of(inputs: Sequence[str | Path]) -> str | None:
    """Return the name of a data set if the inputs are one. A Path is never a name, and neither is ./mnist."""
    if not inputs:
        return FASHION_MNIST
    names = [each for each in inputs if isinstance(each, str) and each in DATA_SETS]
    if names and len(inputs) > 1:
        raise DataError(f"{names[0]} is a data set and must be the only input; write ./{names[0]} for a folder")
    return names[0] if names else None


def _keeps_fashion_mnist(settings: ImageSettings) -> bool:
    return settings.size in (None, _FASHION_SIZE) and settings.channels in (None, 1)


def _fashion_mnist(folder: Path | None) -> ImageData:
    """Return Fashion-MNIST in its original order, without a part for validation: the default of this project."""
    images = fashion_mnist.load_fashion_mnist(folder)
    parts = {"train": images.train, "validation": images.train[:0], "held_out": images.test}
    record = {
        "name": FASHION_MNIST,
        "is_data_set": True,
        "settings": {"size": list(images.train.shape[1:]), "channels": 1, "fit": None, "holdout": None},
        "found": {"files": len(images.train) + len(images.test)},
    }
    sha256 = {part: hash_of(pixels) for part, pixels in parts.items()}
    return ImageData(**parts, record=record, sha256=sha256, notes=[])


def _read_named(name: str, settings: ImageSettings, folder: Path | None, on_progress: OnProgress) -> ImageData:
    """Read a data set whose own test images are held out."""
    if name == FASHION_MNIST:
        images = fashion_mnist.load_fashion_mnist(folder)
        arrays: list[Callable[[], Pixels]] = [lambda: images.train, lambda: images.test]
        state: list[object] = [name]  # its content is always the same
    else:
        files = find_named(name, folder)
        arrays = [partial(read_named, name, part) for part in files]
        state = [name, *([file_state(path) for path in part] for part in files)]

    def make_chunks(reading: Path) -> list[ImageChunk]:
        return [
            chunk for held_out, load in enumerate(arrays) for chunk in store_array(load(), reading, held_out == 1)
        ]

    read = read_images(state, make_chunks, settings, False, on_progress)
    read.record.update(name=name, is_data_set=True)
    if name == "emnist":
        read.notes.insert(0, 'the split "balanced" of EMNIST, turned upright')
    return read


def _read_own(
    inputs: Sequence[Path],
    holdout_paths: Sequence[Path],
    settings: ImageSettings,
    allow_unreadable: bool,
    on_progress: OnProgress,
) -> ImageData:
    found = [find_files(inputs)]
    if holdout_paths:
        found.append(find_files(holdout_paths))
        settings = replace(settings, holdout=None)

    def make_chunks(reading: Path) -> list[ImageChunk]:
        return [chunk for held_out, each in enumerate(found) for chunk in chunks_of(each, held_out == 1, reading)]

    state = [(number, file) for number, each in enumerate(found) for file in (*each.images, *each.arrays)]
    passed_over = sum(each.passed_over for each in found)
    read = read_images(state, make_chunks, settings, allow_unreadable, on_progress, passed_over)
    read.record["name"] = title_of(inputs)
    if holdout_paths:
        read.record["settings"]["holdout_paths"] = len(holdout_paths)
    return read


_FIELDS = {"train": "train_images", "validation": "validation_images", "held_out": "test_images"}


def _stored(recipe: Mapping[str, Any]) -> StoredImages | None:
    """Return the images of a run from the cache, or None."""
    recorded: dict[str, Any] = {part: recipe.get(name) for part, name in _FIELDS.items()}
    if None in recorded.values():
        return None
    sha256 = {part: images["sha256"] for part, images in recorded.items()}
    return open_entry(key_of(tuple(recorded["train"]["shape"][1:]), sha256))


def _require_same(found: ImageData, recipe: Mapping[str, Any]) -> None:
    """Raise DataError if the images are not those of a run."""
    for part, field in _FIELDS.items():
        recorded = recipe.get(field)
        pixels: Pixels = getattr(found, part)
        if recorded is None or (recorded["sha256"] == found.sha256[part] and recorded["shape"][0] == len(pixels)):
            continue
        before, now = (f"{count:,} images" for count in (recorded["shape"][0], len(pixels)))
        raise DataError(
            f"the data set has changed since training: {part.replace('_', '-')} had {before} with SHA-256 "
            f"{recorded['sha256'][:16]}..., now {now} with {found.sha256[part][:16]}...; {_SEE_DATA} as they were"
        )


def _only_folder(data: Sequence[Path], name: str) -> Path | None:
    if len(data) > 1:
        raise DataError(
            f"the run is for {name}: --data must name one folder with its files, got {len(data)} paths"
        )
    return data[0] if data else None
