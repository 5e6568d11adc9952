"""Folders of small images for the tests, and the cache in a folder of the test."""

import numpy as np
from PIL import Image

from fmae_edge.data.image_data import ImageSettings, load_image_data


def pictures(count, shape=(16, 12), seed=0):
    """Return random smooth images that differ from each other as photos do."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, *shape[2:]), np.uint8)
    rows, columns = (np.linspace(0, 3.999, side).astype(int) for side in shape[:2])
    return coarse[:, rows][:, :, columns]


def write_folder(folder, images, suffix=".png"):
    """Write images as files of a folder with subfolders, and return the folder."""
    for index, image in enumerate(images):
        inside = folder / f"part{index % 3}"
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(inside / f"{index:04d}{suffix}")
    return folder


def load(*inputs, holdout_paths=(), named_folder=None, allow_unreadable=False, on_progress=None, **settings):
    """Return the images of `inputs`, read with `settings`."""
    progress = {} if on_progress is None else {"on_progress": on_progress}
    return load_image_data(
        inputs,
        ImageSettings(**settings),
        holdout_paths=holdout_paths,
        named_folder=named_folder,
        allow_unreadable=allow_unreadable,
        **progress,
    )


def all_images(found):
    """Return the set of all images of an ImageData, as bytes."""
    return {image.tobytes() for part in (found.train, found.validation, found.held_out) for image in part}


def recipe_of(found):
    """Return what a run with these images records in recipe.json."""
    fields = {"train": "train_images", "validation": "validation_images", "held_out": "test_images"}
    shapes = {part: list(getattr(found, part).shape) for part in fields}
    sets = {field: {"shape": shapes[part], "sha256": found.sha256[part]} for part, field in fields.items()}
    return {"data": found.record, **sets}
