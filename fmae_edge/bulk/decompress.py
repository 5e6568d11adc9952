"""Decompress latent and .fmae files to image files."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.image_input import files_at_once, open_codec
from fmae_edge.bulk.join import OneFile, join_files
from fmae_edge.bulk.outputs import Outputs, output_suffix
from fmae_edge.bulk.packets import ReceivedPackets, image_stem, is_packet
from fmae_edge.bulk.pipeline import FILES_AT_ONCE, FileToWrite, convert_files
from fmae_edge.bulk.run import BulkRun, Outcome, as_jobs
from fmae_edge.bulk.sources import STREAM, Source, expand, named, read_compressed
from fmae_edge.data.image_file import npy_bytes, png_bytes, webp_bytes
from fmae_edge.data.image_limits import SUFFIXES as IMAGE_SUFFIXES
from fmae_edge.runtime.arguments import as_index, as_integer
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.graphs import Precision
from fmae_edge.runtime.engine.providers import ProvidersLike
from fmae_edge.runtime.errors import ArgumentError, InputError
from fmae_edge.runtime.format.fmae_contents import FmaeFile
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX
from fmae_edge.runtime.format.fmae_file import is_fmae
from fmae_edge.runtime.format.npy_file import SUFFIX as LATENT_SUFFIX
from fmae_edge.runtime.format.npy_file import load_latents
from fmae_edge.runtime.format.packet import SUFFIX as PACKET_SUFFIX

SUFFIXES = (LATENT_SUFFIX, FMAE_SUFFIX, PACKET_SUFFIX)
_ARRAY = ".npy"
_ENCODERS: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    ".png": png_bytes,
    ".webp": webp_bytes,
    _ARRAY: npy_bytes,
}
MAX_FILES = 100_000  # of one input: each one needs a kilobyte of memory until it is written

Pixels = NDArray[np.uint8]


def decompress_files(
    inputs: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    index: int | None = None,
    precision: Precision | None = None,
    providers: ProvidersLike = None,
    bundle: str | Path | None = None,
    recursive: bool = False,
    force: bool = False,
    skip_existing: bool = False,
    dry_run: bool = False,
    jobs: int = 1,
    keep_going: bool = False,
) -> BulkRun:
    """Decompress latent and .fmae files, and packets of one set; iterate over the result to do so.

    The arguments are those of `fmae-edge decompress`. Raises as `compress_files` does.
    """
    jobs = as_jobs(jobs)
    if index is not None and (index := as_integer("index", index)) < 0:
        raise ArgumentError("index", f"is {index}; expected 0 or more")
    sources, passed_over = expand(inputs, recursive, SUFFIXES)
    output_kind = output_suffix(output)
    suffix, joins = output_kind if output_kind in _ENCODERS else ".png", output_kind == _ARRAY and len(sources) > 1
    outputs = Outputs(output, suffix, sources, tuple(_ENCODERS), joins, force, skip_existing, dry_run)
    if any(map(is_packet, sources)):
        _require_packet_options(outputs, index)
    codec = open_codec(bundle, precision, providers, beside_threads=len(sources) > 1 and jobs > 1)
    received = ReceivedPackets(codec)
    most = None if outputs.suffix == _ARRAY or index is not None else MAX_FILES

    def load(source: Source) -> Any:
        return received.load(source) if is_packet(source) else _load(codec, index, most, source)

    def convert(loaded: Sequence[tuple[Source, Any]]) -> list[Sequence[FileToWrite] | Outcome]:
        files = [(source, file) for source, file in loaded if not is_packet(source)]
        with named(loaded[0][0]):  # if a group fails, its files are tried again one by one, to name the right one
            decoded = iter(_decode(codec, [file for _, file in files], index))
        return [
            _images_of(outputs, source, received.images(source, file))
            if is_packet(source)
            else _files_of(outputs, source, file, next(decoded), index)
            for source, file in loaded
        ]

    def load_stack(source: Source) -> tuple[Pixels, tuple[()]]:
        file = load(source)
        with named(source):
            return _decode(codec, [file], index)[0], ()

    def join(loaded: Sequence[tuple[Source, Pixels]]) -> tuple[bytes, tuple[()]]:
        return npy_bytes(np.concatenate([images for _, images in loaded])), ()

    def work(advance: Callable[[int], None]) -> Iterator[list[list[Outcome]]]:
        if outputs.one_file is not None:
            return join_files(sources, load_stack, OneFile(outputs, join), jobs, keep_going, advance)
        at_once = files_at_once(codec, FILES_AT_ONCE)
        return convert_files(sources, load, convert, outputs, jobs, at_once, advance)

    return BulkRun(work, sources, passed_over, SUFFIXES, outputs, closing=received.closing)


def _require_packet_options(outputs: Outputs, index: int | None) -> None:
    """Raise ArgumentError for arguments that contradict inputs that are packets."""
    if index is not None:
        raise ArgumentError("index", f"is for files of several images, not for packets ({PACKET_SUFFIX})")
    if outputs.one_file is not None or outputs.to_stdout:
        path = outputs.one_file or STREAM
        raise ArgumentError("output", f"is {path}; the images of packets need a folder or a pattern with {{stem}}")


def _images_of(
    outputs: Outputs, source: Source, images: Iterable[tuple[int, int, Pixels]] | Outcome
) -> Sequence[FileToWrite] | Outcome:
    """Return the files to write for a packet: one per image, named by its number in the set."""
    if isinstance(images, Outcome):
        return images
    encode = _ENCODERS[outputs.suffix]
    files = [
        FileToWrite(f"{source}[{row}]", outputs.path(source, image_stem(number)), partial(encode, image))
        for row, number, image in images
    ]
    if len({file.target for file in files}) < len(files):
        raise InputError(
            f"{source}: contains {len(files)} images, so the output (-o) must be a folder or contain {{stem}}"
        )
    return files


def _load(codec: Codec, index: int | None, most: int | None, source: Source) -> FmaeFile | NDArray[Any]:
    """Return a .fmae file, parsed and checked, or the latents of a .npy file; with `index`, only that latent.

    Raises InputError for an invalid file, and for a file of more than `most` images.
    """
    content = _read(source)
    if is_fmae(content):
        with named(source):
            file = codec.parse(content)
            _require_few(len(file.payloads), most)
        return file
    latents = load_latents(content, codec.manifest.latent_size, str(source))
    with named(source):
        if index is not None:
            latents = np.atleast_2d(latents)
            chosen: NDArray[Any] = latents[as_index(index, len(latents))]
            return chosen
        if latents.ndim > 1:
            _require_few(len(latents), most)
    return latents


def _read(source: Source) -> bytes:
    suffix = source.path.suffix.lower()
    if suffix == FMAE_SUFFIX:
        return read_compressed(source, f"not a {FMAE_SUFFIX} file", latents=False)
    advice = "; use fmae-edge compress for images" if suffix in IMAGE_SUFFIXES else ""
    return read_compressed(source, f"neither a {FMAE_SUFFIX} nor a {LATENT_SUFFIX} file{advice}")


def _require_few(images: int, most: int | None) -> None:
    """Raise InputError if a file has more than `most` images: a few bytes can claim a million."""
    if most is not None and images > most:
        raise InputError(
            f"contains {images} images; at most {most} are written as separate files; "
            f"use an output (-o) that ends in {_ARRAY} for one array, or --index"
        )


def _decode(codec: Codec, files: Sequence[FmaeFile | NDArray[Any]], index: int | None) -> list[Pixels]:
    """Return the images (N, height, width[, 3]) of each file; with `index`, N is 1.

    Files of one image are decoded together, which is faster.
    """
    decoded: dict[int, Pixels] = {}
    singles: dict[int, FmaeFile] = {}
    latents: dict[int, NDArray[Any]] = {}
    for number, file in enumerate(files):
        if isinstance(file, FmaeFile):
            if index is not None:
                decoded[number] = codec.decompress(file, index)[None]
            elif file.single:
                singles[number] = file
            else:
                decoded[number] = codec.decompress_batch(file)
        elif file.ndim == 1:
            latents[number] = file
        else:
            decoded[number] = codec.decode(file)
    images = codec.decompress_iter(singles.values(), batch_size=FILES_AT_ONCE)
    decoded |= {number: image[None] for number, image in zip(singles, images, strict=True)}
    for dtype in {latent.dtype for latent in latents.values()}:
        same_dtype = {number: latent for number, latent in latents.items() if latent.dtype == dtype}
        stack = codec.decode(np.stack(list(same_dtype.values())))
        decoded |= {number: image[None] for number, image in zip(same_dtype, stack, strict=True)}
    return [decoded[number] for number in range(len(files))]


def _files_of(
    outputs: Outputs, source: Source, file: FmaeFile | NDArray[Any], images: Pixels, index: int | None
) -> list[FileToWrite]:
    """Return the files to write for an input: one per image, or one array of all."""
    if not len(images) and outputs.suffix != _ARRAY:
        raise InputError(f"{source}: contains no images")
    encode = _ENCODERS[outputs.suffix]
    stem = "stdin" if source.path == STREAM else source.path.stem
    is_one = index is not None or (file.single if isinstance(file, FmaeFile) else file.ndim == 1)
    names, notes = _names_of(file, index)
    if is_one or outputs.suffix == _ARRAY:
        content = partial(encode, images[0] if is_one else images)
        if index is not None and not names:
            return [FileToWrite(str(source), outputs.path(source, f"{stem}.{index}"), content, notes)]
        target, twin = outputs.path_aside(source, names[0] if names and is_one else stem)
        return [FileToWrite(str(source), target, content, twin=twin)]
    digits = len(str(len(images) - 1))
    files = []
    for row, image in enumerate(images):
        target, twin = outputs.path(source, f"{stem}.{row:0{digits}d}"), None
        if names:
            target, twin = outputs.path_aside(source, names[row])
        files.append(FileToWrite(f"{source}[{row}]", target, partial(encode, image), notes, twin))
    if len({file.target for file in files}) < len(files):
        raise InputError(
            f"{source}: contains {len(images)} images, so the output (-o) must be a folder, contain {{stem}} or "
            f"end in {_ARRAY}; --index chooses one image"
        )
    return files


def _names_of(file: FmaeFile | NDArray[Any], index: int | None) -> tuple[Sequence[str] | None, Sequence[str]]:
    """Return the names of the chosen images or None, and a note if the names in the file are invalid."""
    if not isinstance(file, FmaeFile):
        return None, ()
    try:
        names = file.names
    except InputError as error:
        return None, [f"numbered, because the file {error}"]
    return names if names is None or index is None else names[index : index + 1], ()
