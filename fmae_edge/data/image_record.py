"""Record what was read, converted and dropped: as JSON for the run, and in sentences for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fmae_edge.data.holdout import Split
from fmae_edge.data.image_chunks import ChunkRead
from fmae_edge.data.image_settings import ImageFormat, ImageSettings

NAMED = 5  # problems and sizes that a sentence names
_FEW_IMAGES = 5000
_SENTENCES = {
    "left_out": "of other sizes were left out",
    "resized": "of other sizes were stretched",
    "cropped": "of other sizes were scaled and cropped",
    "padded": "of other sizes were scaled and padded with black",
    "composited": "have transparent parts, which were made black",
    "animated": "have several frames, of which the first is used",
    "rotated": "were turned upright as their EXIF says",
    "reduced_to_8_bits": "have 16 bits per channel, which were reduced to 8",
    "converted_to_gray": "were converted to grayscale",
    "converted_to_rgb": "were converted to RGB",
}


def hw(size: tuple[int, ...]) -> str:
    """Return a size (height, width) as --size takes it."""
    return f"{size[0]}x{size[1]}"


def size_counts(sizes: Counter[tuple[int, int]]) -> str:
    """Return the commonest sizes with their counts."""
    commonest = [f"{count:,} of {hw(size)}" for size, count in sizes.most_common(NAMED)]
    others = sizes.total() - sum(count for _, count in sizes.most_common(NAMED))
    return ", ".join([*commonest, *([f"{others:,} of other sizes"] if others else [])])


def record_of(
    settings: ImageSettings, image_format: ImageFormat, read: ChunkRead, chosen: Split, passed_over: int
) -> dict[str, Any]:
    """Return the record of images that became `image_format` and were `chosen`; its name is still empty."""
    return {
        "name": "",
        "settings": {
            "size": list(image_format.size),
            "channels": image_format.channels,
            "fit": settings.fit,
            "holdout": settings.holdout,
        },
        "found": {
            "files": len(read.hashes),
            "unreadable": len(read.problems),
            "duplicates": chosen.duplicates,
            "near_duplicates": chosen.near_duplicates,
            **dict(sorted(read.kinds.items())),
            "passed_over": passed_over,
        },
    }


def notes_of(
    record: Mapping[str, Any],
    problems: Sequence[str],
    other_sizes: Counter[tuple[int, int]],
    train: int,
    held_out: int,
) -> list[str]:
    """Return the sentences about images with this `record`, of which `train` and `held_out` are used."""
    found, settings = record["found"], record["settings"]
    colors = "RGB" if settings["channels"] == 3 else "grayscale"
    notes = [
        f"{found['files']:,} images found; the model is for {hw(settings['size'])} (height x width), {colors}"
    ]
    if problems:
        named = "; ".join(problems[:NAMED])
        more = f"; and {len(problems) - NAMED:,} more" if len(problems) > NAMED else ""
        notes.append(f"{len(problems):,} images cannot be read and were left out: {named}{more}")
    for kind, sentence in _SENTENCES.items():
        if count := found.get(kind):
            sizes = f": {size_counts(other_sizes)}" if "other sizes" in sentence else ""
            notes.append(f"{count:,} images {sentence}{sizes}")
    if found["passed_over"]:
        notes.append(f"{found['passed_over']:,} other files in the folders do not have names of images")
    if found["duplicates"]:
        notes.append(f"{found['duplicates']:,} exact duplicates were dropped")
    if found["near_duplicates"]:
        notes.append(
            f"{found['near_duplicates']:,} training images were dropped because they nearly equal a held-out one "
            "(mean squared error at most 1 % of its variance, or PSNR of at least 40 dB)"
        )
    why = (
        "from paths of their own" if settings["holdout"] is None else f"{settings['holdout']:.0%} by content hash"
    )
    notes.append(f"{held_out:,} images are held out for measuring ({why})")
    if train < _FEW_IMAGES:
        notes.append(
            f"warning: only {train:,} images to train on; expect clearly worse quality on new images than on "
            f"these, and compare with other codecs before use; {_FEW_IMAGES:,} or more of one kind are better"
        )
    return notes
