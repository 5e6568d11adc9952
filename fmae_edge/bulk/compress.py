"""Compress image files to latent or .fmae files."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.decoded_results import DecodedResults
from fmae_edge.bulk.image_input import files_at_once, open_codec, read_image
from fmae_edge.bulk.outputs import Outputs, output_suffix
from fmae_edge.bulk.pipeline import FILES_AT_ONCE, FileToWrite, convert_files
from fmae_edge.bulk.run import BulkRun, Outcome, as_jobs, failed, settle
from fmae_edge.bulk.sources import STREAM, Source, expand, is_stream, named
from fmae_edge.data.image_limits import SUFFIXES
from fmae_edge.runtime.arguments import require_choice
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.graphs import Precision
from fmae_edge.runtime.engine.providers import ProvidersLike
from fmae_edge.runtime.errors import ArgumentError, InputError
from fmae_edge.runtime.fmae_writer import as_options
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX
from fmae_edge.runtime.format.image_names import as_names
from fmae_edge.runtime.format.npy_file import SUFFIX as LATENT_SUFFIX
from fmae_edge.runtime.format.npy_file import dump_latents
from fmae_edge.runtime.format.packet import SUFFIX as PACKET_SUFFIX
from fmae_edge.runtime.format.packet import as_packet_bytes
from fmae_edge.runtime.latents import LatentDtype, as_latent_dtype
from fmae_edge.runtime.packets import as_fill

if TYPE_CHECKING:  # imported where they are used: most runs write one file per image
    from fmae_edge.bulk.join import Destination
    from fmae_edge.data.image_conversion import Fit

_SEARCHED_AT_ONCE = 8  # a search takes milliseconds per image, and Ctrl-C waits for the current group

Pixels = NDArray[np.uint8]


def compress_files(
    inputs: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    quality: int | None = None,
    effort: int | None = None,
    max_bytes: int | None = None,
    min_psnr: float | None = None,
    names: bool = False,
    packet: int | None = None,
    fill: bool = False,
    dtype: LatentDtype | None = None,
    fit: "Fit | None" = None,
    verify: bool = False,
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
    """Compress image files; iterate over the result to do so. The arguments are those of `fmae-edge compress`.

    Raises ArgumentError if they are invalid or contradict each other, InputError, BundleError or OutputError if no
    input could be compressed. The outcome of an input contains its error, and with `verify` its PSNR. Without
    `min_psnr`, a few images are decoded, and `unlike_training` of the result says if they turned out badly.

    Example::

        for outcome in compress_files(["photos"], "latents/{path}.fmae", recursive=True, quality=5, jobs=4):
            print(outcome.input, outcome.status, outcome.error)
    """
    output_kind = output_suffix(output)
    for_fmae = {"quality": quality, "effort": effort, "max_bytes": max_bytes, "min_psnr": min_psnr}
    for_fmae["names"] = names or None
    fmae_only = [name for name, value in for_fmae.items() if value is not None]
    if packet is not None:
        packet, fill = as_packet_bytes(packet), as_fill(fill, max_bytes)
        _require_packet_options(output, names, dtype, min_psnr, skip_existing)
    elif fill:
        raise ArgumentError("fill", "is for packets; give the size of packets too")
    suffix = PACKET_SUFFIX if packet else _result_suffix(output, output_kind, dtype, fmae_only)
    if quality is not None and max_bytes is not None:
        raise ArgumentError("max_bytes", "chooses the quality; use it or a quality, not both")
    jobs = as_jobs(jobs)
    if fit is not None:
        from fmae_edge.data.image_conversion import Fit

        require_choice("fit", fit, get_args(Fit))
    dtype = None if dtype is None else as_latent_dtype(dtype)
    settings: dict[str, Any] = {
        "quality": quality,
        "effort": effort or 0,
        "max_bytes": max_bytes,
        "min_psnr": min_psnr,
    }
    as_options(**settings)
    sources, passed_over = expand(inputs, recursive, SUFFIXES)
    joins = not packet and output_kind == suffix and (len(sources) > 1 or names)
    suffixes = (LATENT_SUFFIX, FMAE_SUFFIX)
    outputs = Outputs(output, suffix, sources, suffixes, joins, force, skip_existing, dry_run)
    if names and outputs.one_file is None:
        raise ArgumentError("names", f"needs an output FILE{FMAE_SUFFIX} that holds all images")
    searches = bool(effort or max_bytes or min_psnr)
    beside_threads = len(sources) > 1 and jobs > 1 and not searches
    codec = open_codec(bundle, precision, providers, beside_threads)
    decoded = DecodedResults(codec, verify, guarantees=min_psnr is not None)
    image_names = _names_of(sources, keep_going) if names else {}
    settled: dict[Source, Outcome | None] = {
        source: failed(source, name) for source, name in image_names.items() if isinstance(name, InputError)
    }
    if skip_existing and outputs.one_file is None:
        # Checked before anything is written: otherwise the order in which threads finish would decide
        settled = {source: settle(source, partial(_skip, outputs, source)) for source in dict.fromkeys(sources)}
    # Only for a single image, because it takes a few milliseconds
    compares = len(sources) == 1 and suffix == LATENT_SUFFIX and not output_kind and dtype is None

    def load(source: Source) -> tuple[Pixels, list[str]] | Outcome:
        if settled and (outcome := settled.get(source)) is not None:
            return outcome
        image, notes = read_image(source, codec, fit, alone=len(sources) == 1)
        return image[None], notes

    def convert(loaded: Sequence[tuple[Source, tuple[Pixels, list[str]]]]) -> list[list[FileToWrite]]:
        images = np.concatenate([image for _, (image, _) in loaded])
        with named(loaded[0][0]):  # if a group fails, its files are tried again one by one, to name the right one
            if suffix == LATENT_SUFFIX:
                contents = [dump_latents(latent) for latent in codec.encode(images, dtype or "float32")]
            else:
                contents = list(codec.compress_iter(images, **settings, batch_size=FILES_AT_ONCE))
            psnrs = decoded.psnrs_of_files([source for source, _ in loaded], images, contents)
        files = []
        for (source, (image, notes)), content, psnr in zip(loaded, contents, psnrs, strict=True):
            target = outputs.path(source)
            measure = partial(_fmae_bytes, codec, image) if compares and not is_stream(target) else None
            file = FileToWrite(str(source), target, partial(bytes, content), notes, fmae_bytes=measure, psnr=psnr)
            files.append([file])
        return files

    def join(loaded: Sequence[tuple[Source, Pixels]]) -> tuple[bytes, Sequence[float | None]]:
        images = np.concatenate([image for _, image in loaded])
        if suffix == LATENT_SUFFIX:
            content = dump_latents(codec.encode(images, dtype or "float32"))
        else:
            listed = [str(image_names[source]) for source, _ in loaded] if names else None
            content = codec.compress_batch(images, **settings, names=listed)
        return content, decoded.psnrs_of_stack([source for source, _ in loaded], images, content)

    together: Destination | None = None
    of_packets: dict[str, Any] = {}
    if packet:
        from fmae_edge.bulk.packets import PacketFolder

        coding = (packet, quality, effort or 0, max_bytes)
        together = folder = PacketFolder(
            Path(str(output)),
            outputs,
            codec,
            lambda images: codec.packets.compress(images, *coding, fill=fill),
            decoded,
        )
        of_packets = {"closing": folder.closing, "joins": True}
    elif outputs.one_file is not None:
        from fmae_edge.bulk.join import OneFile

        together = OneFile(outputs, join)

    def work(advance: Callable[[int], None]) -> Iterator[list[list[Outcome]]]:
        if together is not None:
            from fmae_edge.bulk.join import join_files

            return join_files(sources, load, together, jobs, keep_going, advance)
        at_once = files_at_once(codec, _SEARCHED_AT_ONCE if searches else FILES_AT_ONCE)
        return convert_files(sources, load, convert, outputs, jobs, at_once, advance)

    return BulkRun(work, sources, passed_over, SUFFIXES, outputs, decoded, **of_packets)


def _require_packet_options(
    output: str | Path | None,
    names: bool,
    dtype: LatentDtype | None,
    min_psnr: float | None,
    skip_existing: bool,
) -> None:
    """Raise ArgumentError for arguments that contradict `packet`."""
    if names:
        raise ArgumentError("names", f"needs a {FMAE_SUFFIX} file; packets contain no names")
    if min_psnr is not None:
        message = f"needs {FMAE_SUFFIX} files; packets contain no images that are stored exactly, so use a quality"
        raise ArgumentError("min_psnr", message)
    if dtype is not None:
        raise ArgumentError("dtype", f"is for {LATENT_SUFFIX} files; packets have a quality")
    if skip_existing:
        raise ArgumentError("skip_existing", "is not for packets: one more image changes all packets after it")
    if output is None or output_suffix(output) or str(output) == str(STREAM) or set("{}") & set(str(output)):
        given = "" if output is None else f", got {output}"
        raise ArgumentError("packet", f"needs a folder for the packets: -o FOLDER/{given}")


def _skip(outputs: Outputs, source: Source) -> Outcome | None:
    """Claim the result of `source`, and return its outcome if the result exists and is skipped."""
    target = outputs.path(source)
    if outputs.skips(target) and not outputs.claim(target, str(source)):
        return Outcome(str(source), str(target), "skipped")
    return None


def _fmae_bytes(codec: Codec, pixels: Pixels) -> int:
    return len(codec.compress(pixels))


def _result_suffix(
    output: str | Path | None, output_kind: str, dtype: LatentDtype | None, for_fmae: Sequence[str]
) -> str:
    """Return the suffix of results. An argument that only one of the formats has selects this format."""
    if not for_fmae and output_kind != FMAE_SUFFIX:
        return LATENT_SUFFIX
    if output_kind == LATENT_SUFFIX:
        raise ArgumentError(for_fmae[0], f"needs an output that ends in {FMAE_SUFFIX}, got {output}")
    if dtype is not None:
        raise ArgumentError(
            "dtype", f"needs an output that ends in {LATENT_SUFFIX}; {FMAE_SUFFIX} files have a quality"
        )
    return FMAE_SUFFIX


def _names_of(sources: Sequence[Source], keep_going: bool) -> dict[Source, str | InputError]:
    """Return the name of each input, or the reason why it cannot have one.

    In a folder that is searched with -r, the name is the path below it, without the suffix. If the names of two
    inputs conflict, the first input gets its name. Raises InputError if an input appears twice or, without
    `keep_going`, if one cannot have a name: then no image has to be read.
    """
    result: dict[Source, str | InputError] = {}
    taken: dict[str, Source] = {}
    folders: dict[str, Source] = {}  # the folders in those names
    for source in sources:
        name = (source.below / source.path.stem).as_posix()
        if name in taken and taken[name].path == source.path:
            raise InputError(f"{source} is in the list of inputs twice")
        above = [str(folder) for folder in PurePosixPath(name).parents]
        problem = _problem_of(source, name, above, taken, folders)
        if problem and not keep_going:
            raise InputError(problem)
        result[source] = InputError(problem) if problem else name
        if not problem:
            taken[name] = source
            folders |= dict.fromkeys(above, source)
    return result


def _problem_of(
    source: Source, name: str, above: Sequence[str], taken: dict[str, Source], folders: dict[str, Source]
) -> str:
    """Return why an input cannot have a name that is in the folders `above`, or an empty string."""
    try:
        as_names([name], 1)
    except InputError as error:
        return f"{source}: {error}; rename it, or leave out --names"
    if name in taken:
        return (
            f"{taken[name]} and {source}: both would have the name {name!r}; rename one, leave out --names, or "
            "use --recursive with the folder that contains both, which makes its subfolders part of the names"
        )
    if name in folders:
        problem = f"its name {name!r} is a folder in the name of {folders[name]}"
        return f"{source}: {problem}; rename it, or leave out --names"
    for folder in above:
        if folder in taken:
            problem = f"{folder!r} in its name is the name of {taken[folder]}"
            return f"{source}: {problem}; rename it, or leave out --names"
    return ""
