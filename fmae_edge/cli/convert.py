"""What `compress` and `decompress` do, without Typer, which takes longer to import than they take."""

import json as json_format
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fmae_edge.cli.files import STREAM, Outputs, expand, for_each, read
from fmae_edge.cli.image_file import SUFFIXES, Fit, load_gray, png_bytes
from fmae_edge.runtime.codec import Codec, Precision
from fmae_edge.runtime.errors import InputError, OutputError
from fmae_edge.runtime.latent_file import dump_latents, load_latents
from fmae_edge.runtime.latents import LatentDtype
from fmae_edge.runtime.manifest import Manifest

LATENT_SUFFIX = ".npy"


def compress_files(
    images: Sequence[Path],
    output: Path | None = None,
    dtype: LatentDtype = "float32",
    precision: Precision = "int8",
    fit: Fit | None = None,
    bundle: Path | None = None,
    recursive: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Compress image files to latent files; the options are those of `fmae-edge compress`."""
    sources = expand(images, recursive, SUFFIXES)
    codec = Codec(bundle, precision=precision)
    size = gray_image_size(codec.manifest)

    if len(sources) > 1 and output is not None and output.suffix == LATENT_SUFFIX and not output.is_dir():
        # One bad image fails all: the rows of the others would move.
        loaded = [load_gray(read(source), str(source), size, fit) for source in sources]
        content = dump_latents(codec.encode([pixels for pixels, _ in loaded], dtype))
        Outputs(output, LATENT_SUFFIX, force, sources, joined=True).write(output, content)
        for row, (source, (_, notes)) in enumerate(zip(sources, loaded, strict=True)):
            _say(str(source), f"{output}[{row}]", notes, json)
        return

    outputs = Outputs(output, LATENT_SUFFIX, force, sources)

    def compress_one(source: Path) -> None:
        pixels, notes = load_gray(read(source), str(source), size, fit)
        target = outputs.path(source, lambda stem: stem.with_name(stem.name + LATENT_SUFFIX))
        outputs.write(target, dump_latents(codec.encode(pixels, dtype)))
        _say(str(source), str(target), notes, json)

    for_each(sources, compress_one)


def decompress_files(
    latents: Sequence[Path],
    output: Path | None = None,
    precision: Precision = "int8",
    bundle: Path | None = None,
    recursive: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Decompress latent files to PNG files; the options are those of `fmae-edge decompress`."""
    sources = expand(latents, recursive, (LATENT_SUFFIX,))
    codec = Codec(bundle, precision=precision)
    gray_image_size(codec.manifest)
    outputs = Outputs(output, ".png", force, sources)

    def decompress_one(source: Path) -> None:
        rows = codec.decode(load_latents(read(source), codec.manifest.latent_size, str(source)))
        if rows.ndim == 2:
            target = outputs.path(source, _name_decoded)
            outputs.write(target, png_bytes(rows))
            _say(str(source), str(target), [], json)
            return
        digits = len(str(len(rows) - 1))
        targets = [outputs.path(source, partial(_name_row, row=f"{row:0{digits}d}")) for row in range(len(rows))]
        if len(set(targets)) < len(targets):
            raise OutputError(f"{source}: holds {len(rows)} images, so its output must be an existing folder")
        for target in targets:  # all before the first is written
            outputs.refuse(target)
        for row, (target, pixels) in enumerate(zip(targets, rows, strict=True)):
            outputs.write(target, png_bytes(pixels))
            _say(f"{source}[{row}]", str(target), [], json)

    for_each(sources, decompress_one)


def gray_image_size(manifest: Manifest) -> tuple[int, int]:
    """Return (height, width) of a bundle's images. Raises InputError if they are not grayscale."""
    if manifest.image_channels != 1:
        raise InputError(
            f"bundle {manifest.name} is for images of {manifest.image_channels} channels; "
            "the command line handles grayscale, use fmae_edge.Codec"
        )
    return manifest.image_height, manifest.image_width


def _name_decoded(stem: Path) -> Path:
    """Name a decoded image so that the original it may have come from stays."""
    plain = stem.with_name(f"{stem.name}.png")
    return stem.with_name(f"{stem.name}.decoded.png") if plain.exists() else plain


def _name_row(stem: Path, row: str) -> Path:
    return stem.with_name(f"{stem.name}.{row}.png")


def _say(source: str, target: str, notes: list[str], json: bool) -> None:
    if json:
        line = json_format.dumps({"input": source, "output": target, "notes": notes})
    else:
        line = f"{source} -> {target}" + (f"  ({'; '.join(notes)})" if notes else "")
    print(line, file=sys.stderr if target == str(STREAM) else sys.stdout)
