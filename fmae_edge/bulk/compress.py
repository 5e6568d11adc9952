"""Run `fmae-edge compress`, without Typer, which takes longer to import than compressing an image takes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge.bulk.image_names import names_of
from fmae_edge.bulk.images import read_image
from fmae_edge.bulk.joined import Part, join_files
from fmae_edge.bulk.many import FILES_AT_ONCE, Conversion, Product, convert_files
from fmae_edge.bulk.options import FileOptions, gray_image_size
from fmae_edge.bulk.outcome import Outcome
from fmae_edge.bulk.pipeline import settle
from fmae_edge.bulk.sources import STREAM, Source, as_argument, expand, named
from fmae_edge.bulk.usage import UsageError, options_named
from fmae_edge.commands.console import is_quiet
from fmae_edge.data.image_file import SUFFIXES, Fit
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.errors import FmaeError, InputError
from fmae_edge.runtime.fmae_writer import DEFAULT_QUALITY
from fmae_edge.runtime.format.fmae_file import SUFFIX as FMAE_SUFFIX
from fmae_edge.runtime.format.npy_file import SUFFIX as LATENT_SUFFIX
from fmae_edge.runtime.format.npy_file import dump_latents
from fmae_edge.runtime.latents import LatentDtype

_SEARCHED_AT_ONCE = 8  # a search takes milliseconds per image, and a Ctrl-C waits for the current group

Gray = tuple[NDArray[np.uint8], list[str]]  # an image and what had to be converted


@dataclass(frozen=True)
class FmaeOptions:
    """The options of `fmae-edge compress` for .fmae files; None or False if they are not given."""

    quality: int | None = None
    effort: int | None = None
    max_bytes: int | None = None
    names: bool = False


NOTHING_SAID = FmaeOptions()
DEFAULTS = FileOptions()


def compress_files(
    images: Sequence[Path],
    options: FileOptions = DEFAULTS,
    dtype: LatentDtype | None = None,
    fit: Fit | None = None,
    fmae: FmaeOptions = NOTHING_SAID,
) -> None:
    """Compress image files to latent or .fmae files; the options are those of `fmae-edge compress`."""
    suffix = _result_suffix(options, dtype, fmae)
    inputs = expand(images, options.recursive, SUFFIXES)
    sources = inputs.sources
    one_file = options.output is not None and options.output.names_one(suffix)
    joined = (len(sources) > 1 or fmae.names) and one_file
    if fmae.names and not joined:
        raise UsageError(f"--names needs -o FILE{FMAE_SUFFIX}")
    searches = bool(fmae.effort or fmae.max_bytes)
    codec = options.open_codec(beside_files=len(sources) > 1 and not searches)
    size = gray_image_size(codec.manifest)
    outputs = options.place(suffix, (LATENT_SUFFIX, FMAE_SUFFIX), sources, joined)

    def load(source: Source) -> Gray:
        return read_image(source, size, fit)

    encoder = _Encoder(codec, suffix, dtype or "float32", fmae)
    if joined and options.output is not None:
        names = names_of(sources, options.keep_going) if fmae.names else None

        def load_part(source: Source) -> Part[NDArray[np.uint8]]:
            if names is not None and isinstance(refused := names[source], InputError):
                raise refused
            return Part(*load(source))

        join_files(inputs, load_part, partial(encoder.stack, names), options.output.path, outputs, options)
        return

    # Only for a single input, because it takes a few milliseconds
    says_fmae_size = (
        suffix == LATENT_SUFFIX
        and not options.suffix
        and dtype is None
        and len(sources) == 1
        and not (options.json or is_quiet())
    )

    def hint(target: Path, pixels: NDArray[np.uint8]) -> str:
        if not says_fmae_size or target == STREAM:
            return ""
        with suppress(FmaeError):  # a bundle without a prior cannot make .fmae files
            return f"-o {as_argument(target.with_suffix(FMAE_SUFFIX))} would take {len(codec.compress(pixels))}"
        return ""

    # Checked before anything is written: otherwise the outcome would depend on the order in which threads finish
    def skip_existing(source: Source) -> Outcome | None:
        target = outputs.path(source)
        if not outputs.is_taken(target) or outputs.claim(target, str(source)):
            return None
        return Outcome(str(source), str(target), "skipped")

    asked = dict.fromkeys(sources if options.skip_existing else ())  # once for inputs given twice
    skipped = {source: settle(source, partial(skip_existing, source)) for source in asked}

    def load_if_needed(source: Source) -> Gray | Outcome:
        return skipped.get(source) or load(source)

    def convert(loaded: Sequence[tuple[Source, Gray]]) -> list[list[Product]]:
        with named(loaded[0][0]):  # a group that fails is tried again one by one, so that the right file is named
            contents = encoder.each([pixels for _, (pixels, _) in loaded])
        products = []
        for (source, (pixels, notes)), content in zip(loaded, contents, strict=True):
            target = outputs.path(source)
            write = partial(bytes, content)
            products.append([Product(str(source), target, write, notes, hint=partial(hint, target, pixels))])
        return products

    at_once = _SEARCHED_AT_ONCE if searches else FILES_AT_ONCE
    convert_files(inputs, Conversion(load_if_needed, convert), outputs, options, at_once)


@dataclass(frozen=True)
class _Encoder:
    """Encode images as files of one format."""

    codec: Codec
    suffix: str
    dtype: LatentDtype
    fmae: FmaeOptions

    @options_named()
    def each(self, pixels: list[NDArray[np.uint8]]) -> list[bytes]:
        """Return the content of one file per image (height, width)."""
        if self.suffix == LATENT_SUFFIX:
            return [dump_latents(latent) for latent in self.codec.encode(np.stack(pixels), self.dtype)]
        return list(self.codec.compress_iter(pixels, *self._settings(), batch_size=FILES_AT_ONCE))

    @options_named()
    def stack(
        self, names: Mapping[Source, object] | None, loaded: Sequence[tuple[Source, NDArray[np.uint8]]]
    ) -> bytes:
        """Return the content of one file with all images, and their `names` if given."""
        pixels = np.stack([image for _, image in loaded])
        if self.suffix == LATENT_SUFFIX:
            return dump_latents(self.codec.encode(pixels, self.dtype))
        listed = None if names is None else [str(names[source]) for source, _ in loaded]
        return self.codec.compress_batch(pixels, *self._settings(), listed)

    def _settings(self) -> tuple[int, int, int | None]:
        quality = DEFAULT_QUALITY if self.fmae.quality is None else self.fmae.quality
        return quality, self.fmae.effort or 0, self.fmae.max_bytes


def _result_suffix(options: FileOptions, dtype: LatentDtype | None, fmae: FmaeOptions) -> str:
    """Return the suffix of results. An option that only one of the formats has selects this format."""
    if fmae == NOTHING_SAID and options.suffix != FMAE_SUFFIX:
        return LATENT_SUFFIX
    if options.suffix == LATENT_SUFFIX:
        told = "--quality, --effort, --max-bytes and --names"
        raise UsageError(f"{options.output}: {told} need an output that ends in {FMAE_SUFFIX}")
    if dtype is not None:
        raise UsageError(
            f"--dtype needs an output that ends in {LATENT_SUFFIX}; {FMAE_SUFFIX} files have --quality"
        )
    return FMAE_SUFFIX
