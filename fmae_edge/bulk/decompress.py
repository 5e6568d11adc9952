"""Run `fmae-edge decompress`, without Typer, which takes longer to import than decompressing takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.compressed import read_compressed
from fmae_edge.bulk.joined import Part, join_files
from fmae_edge.bulk.many import FILES_AT_ONCE, Conversion, Product, convert_files
from fmae_edge.bulk.options import FileOptions
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.sources import STREAM, Source, expand, named
from fmae_edge.data.image_file import SUFFIXES, npy_bytes, png_bytes, webp_bytes
from fmae_edge.runtime.arguments import as_index
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX
from fmae_edge.runtime.format.fmae_file import FmaeFile, is_fmae, unpack
from fmae_edge.runtime.format.npy_file import SUFFIX as LATENT_SUFFIX
from fmae_edge.runtime.format.npy_file import load_latents

_ARRAY = ".npy"
_ENCODERS: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    ".png": png_bytes,
    ".webp": webp_bytes,
    _ARRAY: npy_bytes,
}
_MOST_FILES = 100_000  # of one input: each one needs a kilobyte of memory until it is written
DEFAULTS = FileOptions()

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Decoded:
    """The image (height, width) of a file, or its stack (N, height, width), and their names if there are any.

    `notes` say why the names in the file are not used.
    """

    images: Pixels
    names: Sequence[str] | None = None
    notes: Sequence[str] = ()


def decompress_files(files: Sequence[Path], options: FileOptions = DEFAULTS, index: int | None = None) -> None:
    """Decompress latent and .fmae files to image files; the options are those of `fmae-edge decompress`."""
    inputs = expand(files, options.recursive, (LATENT_SUFFIX, FMAE_SUFFIX))
    sources = inputs.sources
    suffix = options.suffix if options.suffix in _ENCODERS else ".png"
    joined = len(sources) > 1 and options.output is not None and options.output.names_one(_ARRAY)
    codec = options.open_codec(beside_files=len(sources) > 1)
    outputs = options.place(suffix, list(_ENCODERS), sources, joined)
    if joined and options.output is not None:
        load = partial(_decode_stack, codec, index)
        join_files(inputs, load, _join, options.output.path, outputs, options)
        return

    def convert(loaded: Sequence[tuple[Source, bytes]]) -> list[list[Product]]:
        decoded = _decode_each(codec, loaded, index, most=None if suffix == _ARRAY else _MOST_FILES)
        return [
            _products(outputs, options, source, one, index)
            for (source, _), one in zip(loaded, decoded, strict=True)
        ]

    convert_files(inputs, Conversion(_read, convert), outputs, options)


def _read(source: Source) -> bytes:
    suffix = source.path.suffix.lower()
    if suffix == FMAE_SUFFIX:
        return read_compressed(source, f"not a {FMAE_SUFFIX} file", latents=False)
    way_out = "; use fmae-edge compress for images" if suffix in SUFFIXES else ""
    return read_compressed(source, f"neither a {FMAE_SUFFIX} nor a {LATENT_SUFFIX} file{way_out}")


def _decode_stack(codec: Codec, index: int | None, source: Source) -> Part[Pixels]:
    (decoded,) = _decode_each(codec, [(source, _read(source))], index)
    stack = decoded.images if decoded.images.ndim == 3 else decoded.images[None]
    return Part(stack, rows=len(stack))


def _join(loaded: Sequence[tuple[Source, Pixels]]) -> bytes:
    return npy_bytes(np.concatenate([stack for _, stack in loaded]))


def _decode_each(
    codec: Codec, loaded: Sequence[tuple[Source, bytes]], index: int | None, most: int | None = None
) -> list[_Decoded]:
    """Return the images of each file. Files of one image are decoded together, which is faster.

    Raises InputError for a bad file, and for a file of more than `most` images.
    """
    decoded: dict[int, _Decoded] = {}
    files: dict[int, bytes] = {}
    latents: dict[int, NDArray[Any]] = {}
    for number, (source, content) in enumerate(loaded):
        if is_fmae(content):
            with named(source):
                file = unpack(content, codec.manifest.bundle_id)
                _require_few(len(file.payloads), index, most)
                if file.single and index is None:
                    files[number] = content
                else:
                    decoded[number] = _Decoded(codec.decompress(content, index), *_names_in(file, index))
        else:
            rows = _choose(load_latents(content, codec.manifest.latent_size, str(source)), index, source)
            if rows.ndim == 1:
                latents[number] = rows
            else:
                with named(source):
                    _require_few(len(rows), index, most)
                    decoded[number] = _Decoded(codec.decode(rows))
    with named(loaded[0][0]):  # what fails is tried again alone, so that the name is the right one
        images = codec.decompress_iter(files.values(), batch_size=FILES_AT_ONCE)
        for number, image in zip(files, images, strict=True):
            decoded[number] = _Decoded(image)
        for dtype in {row.dtype for row in latents.values()}:
            alike = {number: row for number, row in latents.items() if row.dtype == dtype}
            for number, image in zip(alike, codec.decode(np.stack(list(alike.values()))), strict=True):
                decoded[number] = _Decoded(image)
    return [decoded[number] for number in range(len(loaded))]


def _names_in(file: FmaeFile, index: int | None) -> tuple[Sequence[str] | None, Sequence[str]]:
    """Return the names of the chosen images or None, and a note if the names in the file are refused."""
    try:
        names = file.names
    except InputError as error:
        return None, [f"numbered, because the file {error}"]
    return names if names is None or index is None else names[index : index + 1], ()


def _require_few(images: int, index: int | None, most: int | None) -> None:
    """Raise InputError if a file has more than `most` images: a few bytes can claim a million."""
    if index is None and most is not None and images > most:
        raise InputError(
            f"holds {images} images; at most {most} are written as separate files; "
            f"use -o FILE{_ARRAY} for one array, or --index"
        )


def _choose(rows: NDArray[Any], index: int | None, source: Source) -> NDArray[Any]:
    """Return the latents of image `index`, or of all images if it is None."""
    if index is None:
        return rows
    rows = np.atleast_2d(rows)
    with named(source):
        chosen: NDArray[Any] = rows[as_index(index, len(rows))]
    return chosen


def _products(
    outputs: Outputs, options: FileOptions, source: Source, decoded: _Decoded, index: int | None
) -> list[Product]:
    """Return the files to write for an input: one per image, or one array of all."""
    images, names = decoded.images, decoded.names
    if not len(images) and outputs.suffix != _ARRAY:
        raise InputError(f"{source}: holds no images")
    encode = _ENCODERS[outputs.suffix]
    stem = "stdin" if source.path == STREAM else source.path.stem
    if images.ndim == 2 and index is not None and not names:
        target = outputs.path(source, f"{stem}.{index}")
        return [Product(str(source), target, partial(encode, images), decoded.notes)]
    if images.ndim == 2 or outputs.suffix == _ARRAY:
        name = names[0] if names and images.ndim == 2 else stem
        return [_named_product(outputs, options, source, str(source), name, partial(encode, images))]
    digits = len(str(len(images) - 1))
    products = []
    for row, image in enumerate(images):
        label, content = f"{source}[{row}]", partial(encode, image)
        if names:
            products.append(_named_product(outputs, options, source, label, names[row], content))
        else:
            target = outputs.path(source, f"{stem}.{row:0{digits}d}")
            products.append(Product(label, target, content, decoded.notes))
    if len({product.target for product in products}) < len(products):
        raise InputError(
            f"{source}: holds {len(images)} images, so -o must be a folder, contain {{stem}} or end in "
            f"{_ARRAY}; --index chooses one image"
        )
    return products


def _named_product(
    outputs: Outputs, options: FileOptions, source: Source, label: str, name: str, content: Callable[[], bytes]
) -> Product:
    """Return the file of a named image: `name.decoded` if a file of that name exists and -o is not given."""
    plain = outputs.path(source, name)
    if options.output is not None or not outputs.is_taken(plain):
        return Product(label, plain, content)
    aside = outputs.path(source, f"{name}.decoded")
    return Product(label, aside, content, twin=plain if options.skip_existing else None)
