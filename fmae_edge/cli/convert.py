"""What `compress` and `decompress` do, without Typer, which takes longer to import than they take."""

import json as json_format
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge.cli.files import STREAM, Outputs, expand, for_each, read
from fmae_edge.cli.image_file import SUFFIXES, Fit, load_gray, png_bytes
from fmae_edge.runtime.codec import DEFAULT_QUALITY, Codec
from fmae_edge.runtime.errors import InputError, OutputError
from fmae_edge.runtime.fmae_file import SUFFIX as FMAE_SUFFIX
from fmae_edge.runtime.fmae_file import is_fmae
from fmae_edge.runtime.graphs import Precision
from fmae_edge.runtime.latent_file import dump_latents, load_latents
from fmae_edge.runtime.latents import LatentDtype
from fmae_edge.runtime.manifest import Manifest

LATENT_SUFFIX = ".npy"


@dataclass(frozen=True)
class FmaeOptions:
    """What `fmae-edge compress` was told about .fmae files; None and False where it was not."""

    quality: int | None = None
    effort: int | None = None
    max_bytes: int | None = None
    names: bool = False


NOTHING_SAID = FmaeOptions()


def compress_files(
    images: Sequence[Path],
    output: Path | None = None,
    dtype: LatentDtype | None = None,
    precision: Precision = "int8",
    fit: Fit | None = None,
    bundle: Path | None = None,
    recursive: bool = False,
    force: bool = False,
    json: bool = False,
    fmae: FmaeOptions = NOTHING_SAID,
) -> None:
    """Compress image files to latent or .fmae files; the options are those of `fmae-edge compress`."""
    suffix = _result_suffix(output, dtype, fmae)
    sources = expand(images, recursive, SUFFIXES)
    several = len(sources) > 1 or fmae.names
    joined = several and output is not None and output.suffix.lower() == suffix and not output.is_dir()
    if fmae.names and not joined:
        raise InputError(
            f"names are kept in one {FMAE_SUFFIX} file of all images: name it with -o FILE{FMAE_SUFFIX}"
        )
    codec = Codec(bundle, precision=precision)
    size = gray_image_size(codec.manifest)
    quality = DEFAULT_QUALITY if fmae.quality is None else fmae.quality
    effort = fmae.effort or 0

    if joined and output is not None:
        # One bad image fails all: the rows of the others would move.
        loaded = [load_gray(read(source), str(source), size, fit) for source in sources]
        pixels = [pixels for pixels, _ in loaded]
        if suffix == FMAE_SUFFIX:
            names = [source.stem for source in sources] if fmae.names else None
            content = codec.compress_batch(pixels, quality, effort, fmae.max_bytes, names)
        else:
            content = dump_latents(codec.encode(pixels, dtype or "float32"))
        Outputs(output, suffix, force, sources, joined=True).write(output, content)
        for row, (source, (_, notes)) in enumerate(zip(sources, loaded, strict=True)):
            _say(str(source), f"{output}[{row}]", notes, json)
        return

    outputs = Outputs(output, suffix, force, sources)

    def compress_one(source: Path) -> None:
        pixels, notes = load_gray(read(source), str(source), size, fit)
        target = outputs.path(source, lambda stem: stem.with_name(stem.name + suffix))
        if suffix == FMAE_SUFFIX:
            with _named(source):
                content = codec.compress(pixels, quality, effort, fmae.max_bytes)
            notes = [*notes, f"{len(content)} bytes"]
        else:
            content = dump_latents(codec.encode(pixels, dtype or "float32"))
        outputs.write(target, content)
        _say(str(source), str(target), notes, json)

    for_each(sources, compress_one)


def _result_suffix(output: Path | None, dtype: LatentDtype | None, fmae: FmaeOptions) -> str:
    """Return what results end in: an option that only one of the formats has asks for that one."""
    asked = output.suffix.lower() if output is not None and not output.is_dir() else ""
    if fmae == NOTHING_SAID and asked != FMAE_SUFFIX:
        return LATENT_SUFFIX
    if asked == LATENT_SUFFIX:
        raise InputError(f"{output}: quality, effort, max-bytes and names are of {FMAE_SUFFIX} files")
    if dtype is not None:
        raise InputError(f"a dtype is of {LATENT_SUFFIX} files; a {FMAE_SUFFIX} file has a quality")
    return FMAE_SUFFIX


def decompress_files(
    latents: Sequence[Path],
    output: Path | None = None,
    precision: Precision = "int8",
    bundle: Path | None = None,
    recursive: bool = False,
    force: bool = False,
    json: bool = False,
    index: int | None = None,
) -> None:
    """Decompress latent and .fmae files to PNG files; the options are those of `fmae-edge decompress`."""
    sources = expand(latents, recursive, (LATENT_SUFFIX, FMAE_SUFFIX))
    codec = Codec(bundle, precision=precision)
    gray_image_size(codec.manifest)
    outputs = Outputs(output, ".png", force, sources)

    def decompress_one(source: Path) -> None:
        images, names = _read_images(codec, source, index)
        if images.ndim == 2:
            chosen = None if index is None else str(index)
            target = outputs.path(source, partial(_name_row, row=chosen, name=names[0] if names else None))
            outputs.write(target, png_bytes(images))
            _say(str(source), str(target), [], json)
            return
        digits = len(str(len(images) - 1))
        targets = [
            outputs.path(source, partial(_name_row, row=f"{row:0{digits}d}", name=names[row] if names else None))
            for row in range(len(images))
        ]
        if len(set(targets)) < len(targets):
            raise OutputError(f"{source}: holds {len(images)} images, so its output must be an existing folder")
        for target in targets:  # all before the first is written
            outputs.refuse(target)
        for row, (target, pixels) in enumerate(zip(targets, images, strict=True)):
            outputs.write(target, png_bytes(pixels))
            _say(f"{source}[{row}]", str(target), [], json)

    for_each(sources, decompress_one)


def _read_images(codec: Codec, source: Path, index: int | None) -> tuple[NDArray[np.uint8], Sequence[str] | None]:
    """Return the image of `index`, or all that a file holds, and their names if it has them."""
    content = read(source)
    if is_fmae(content) or source.suffix.lower() == FMAE_SUFFIX:
        with _named(source):
            names = codec.names(content)
            images = codec.decompress(content, index)
        return images, names if names is None or index is None else [names[index]]
    rows = load_latents(content, codec.manifest.latent_size, str(source))
    if index is not None:
        rows = np.atleast_2d(rows)
        if not 0 <= index < len(rows):
            raise InputError(f"{source}: holds {len(rows)} images, and no image {index}; they count from 0")
        rows = rows[index]
    return codec.decode(rows), None


@contextmanager
def _named(source: Path) -> Iterator[None]:
    """Put the name of a file in front of what is wrong with its content."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def gray_image_size(manifest: Manifest) -> tuple[int, int]:
    """Return (height, width) of a bundle's images. Raises InputError if they are not grayscale."""
    if manifest.image_channels != 1:
        raise InputError(
            f"bundle {manifest.name} is for images of {manifest.image_channels} channels; "
            "the command line handles grayscale, use fmae_edge.Codec"
        )
    return manifest.image_height, manifest.image_width


def _name_decoded(stem: Path, name: str | None) -> Path:
    """Name a decoded image so that the original it may have come from stays."""
    plain = stem.with_name(f"{name or stem.name}.png")
    return plain.with_suffix(".decoded.png") if plain.exists() else plain


def _name_row(stem: Path, row: str | None, name: str | None) -> Path:
    """Name the image of a stack's `row`, or of no stack at all."""
    return (
        stem.with_name(f"{stem.name}.{row}.png") if row is not None and name is None else _name_decoded(stem, name)
    )


def _say(source: str, target: str, notes: list[str], json: bool) -> None:
    if json:
        line = json_format.dumps({"input": source, "output": target, "notes": notes})
    else:
        line = f"{source} -> {target}" + (f"  ({'; '.join(notes)})" if notes else "")
    print(line, file=sys.stderr if target == str(STREAM) else sys.stdout)
