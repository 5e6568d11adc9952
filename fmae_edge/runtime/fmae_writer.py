"""Write .fmae files: with the requested quality, the best one that fits into `max_bytes`, or the lowest one
that reaches `min_psnr`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import (
    ImageLike,
    Stack,
    as_batch_size,
    as_flag,
    as_integer,
    convert_each,
    group_ahead,
    slices,
)
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.errors import ArgumentError, InputError
from fmae_edge.runtime.format.fmae_file import pack_many, pack_one
from fmae_edge.runtime.format.payload_index import MAX_IMAGES
from fmae_edge.runtime.images import as_batch, as_one
from fmae_edge.runtime.latent_coder import LatentCoder
from fmae_edge.runtime.min_psnr import MAX_EFFORT, as_min_psnr, reach_min_psnr

DEFAULT_QUALITY = 5
_NUMBERS_KEPT = 1 << 20  # of latents, which bounds memory: images after them are encoded again for each quality

Pack = Callable[[Iterable[bytes], int], bytes]  # payloads and their quality -> the bytes of a file


class CodingOptions(NamedTuple):
    """Options of `compress`: `quality` 1 to 9, `effort` 0 to 9, and at most one of the other three.

    With `max_bytes` or `min_psnr`, `quality` is not used. With `bare`, the result is the payload without a file.
    """

    quality: int
    effort: int
    max_bytes: int | None
    min_psnr: float | None
    bare: bool


def as_options(
    quality: object, effort: object, max_bytes: object, min_psnr: object = None, bare: object = False
) -> CodingOptions:
    """Return the options of `Codec.compress`; `quality` None is the default one.

    Raises ArgumentError if one has an invalid type or is out of range, or if they contradict each other.
    """
    options = CodingOptions(
        DEFAULT_QUALITY if quality is None else as_quality(quality),
        _in_range("effort", effort, 0, MAX_EFFORT),
        None if max_bytes is None else as_integer("max_bytes", max_bytes),
        None if min_psnr is None else as_min_psnr(min_psnr),
        as_flag("bare", bare),
    )
    if min_psnr is not None:
        for other, value in (("a quality", quality), ("a limit of bytes", max_bytes)):
            if value is not None:
                raise ArgumentError("min_psnr", f"chooses the quality; use it or {other}, not both")
    for name, value in (("max_bytes", max_bytes), ("min_psnr", min_psnr)):
        if options.bare and value is not None:
            raise ArgumentError(name, "chooses the quality, which a bare payload does not contain; use a quality")
    return options


def as_quality(quality: object) -> int:
    """Return a quality as an integer. Raises ArgumentError if it is not from 1 to 9."""
    return _in_range("quality", quality, 1, QUALITIES)


def _in_range(name: str, value: object, least: int, most: int) -> int:
    number = as_integer(name, value)
    if not least <= number <= most:
        raise ArgumentError(name, f"is {number}; expected an integer from {least} to {most}")
    return number


class _TooManyBytesError(Exception):
    """The payloads alone are longer than the file may be."""


class FmaeWriter:
    """Writes .fmae files with the coder of a bundle, whose id is `bundle_id`."""

    def __init__(self, coder: LatentCoder, bundle_id: str) -> None:
        self._coder, self._bundle_id = coder, bundle_id

    def one(self, image: ImageLike, options: CodingOptions) -> bytes:
        """Return the file or the payload of an image that is not checked. Raises as `one_each`."""
        return next(self.one_each(as_one(image, self._coder.image_shape), options))

    def one_each(self, images: Stack, options: CodingOptions) -> Iterator[bytes]:
        """Yield one file or payload per image. Raises InputError if `options.max_bytes` is too few for one."""

        def pack(payloads: Iterable[bytes], quality: int) -> bytes:
            (payload,) = payloads
            return pack_one(payload, quality, self._bundle_id)

        if options.min_psnr is not None:
            coded = reach_min_psnr(self._coder, images, options.min_psnr, options.effort)
            return (pack([payload], quality) for quality, payload in coded)
        if options.max_bytes is None:
            payloads = self._coder.payloads(images, options.quality, options.effort)
            return payloads if options.bare else (pack([payload], options.quality) for payload in payloads)
        parts = slices(len(images), 1)
        return (self._best_that_fits(images[one], options.effort, options.max_bytes, pack) for one in parts)

    def one_of_each(
        self, images: Iterable[ImageLike], options: CodingOptions, batch_size: object
    ) -> Iterator[bytes]:
        """Yield as `one_each` for images that are not checked; read at most `batch_size` of them ahead."""
        most_ahead, shape = as_batch_size(batch_size), self._coder.image_shape
        batches = convert_each("images", "image", images, lambda image: as_one(image, shape))

        def files() -> Iterator[bytes]:
            for group in group_ahead(batches, most_ahead, lambda batch: batch.dtype):
                yield from self.one_each(np.concatenate(group), options)

        return files()

    def stack(self, images: ImageLike, options: CodingOptions, names: Sequence[str] | None) -> bytes | list[bytes]:
        """Return one file of all images, or with `options.bare` a list of their payloads.

        Raises InputError if they are not a stack, or if `options.max_bytes` is too few for it.
        """
        batch, single = as_batch(images, self._coder.image_shape)
        if single:
            raise InputError("compress_batch takes a stack of images; use compress for one")
        if options.bare:
            if names is not None:
                raise ArgumentError("names", "need a .fmae file; bare payloads have none")
            return list(self._coder.payloads(batch, options.quality, options.effort))
        if len(batch) > MAX_IMAGES:
            raise InputError(f"a file holds at most {MAX_IMAGES} images, got {len(batch)}")
        if names is not None:
            from fmae_edge.runtime.format.image_names import as_names  # most files have no names

            names = as_names(names, len(batch))
        return self._file(batch, options, names)

    def _file(self, images: Stack, options: CodingOptions, names: Sequence[str] | None) -> bytes:
        def pack(payloads: Iterable[bytes], quality: int) -> bytes:
            return pack_many(payloads, quality, self._bundle_id, names)

        if options.min_psnr is not None:
            coded = list(reach_min_psnr(self._coder, images, options.min_psnr, options.effort))
            qualities = {quality for quality, _ in coded} or {options.quality}
            if len(qualities) == 1 and 0 not in qualities:
                return pack((payload for _, payload in coded), qualities.pop())
            return pack((bytes([quality]) + payload for quality, payload in coded), 0)
        if options.max_bytes is None:
            return pack(self._coder.payloads(images, options.quality, options.effort), options.quality)
        return self._best_that_fits(images, options.effort, options.max_bytes, pack)

    def _best_that_fits(self, images: Stack, effort: int, max_bytes: int, pack: Pack) -> bytes:
        """Return the file with the lowest error of the decoded images, of those of at most `max_bytes` bytes.

        All nine qualities are tried, because the error may grow from one quality to the next.
        """
        kept: dict[int, NDArray[np.float32]] = {}

        def latents_of(part: slice, batch: NDArray[Any]) -> NDArray[np.float32]:
            if part.start in kept:
                return kept[part.start]
            latents = self._coder.latents(batch)
            if part.stop * latents.shape[1] <= _NUMBERS_KEPT:
                kept[part.start] = latents
            return latents

        def candidate(quality: int) -> tuple[int, bytes] | None:
            """Return the squared error and the file of a quality, None if the file is too long."""
            errors: list[int] = []

            def payloads() -> Iterator[bytes]:
                for part in slices(len(images), self._coder.images_at_once):
                    batch = images[part]
                    symbols = self._coder.quantise(latents_of(part, batch), batch, quality, effort)
                    yield from self._coder.payloads_of(symbols, quality)
                    # Only if the payloads fit
                    errors.append(int(self._coder.squared_errors(symbols, batch, quality).sum()))

            try:
                content = pack(_at_most(max_bytes, payloads()), quality)
            except _TooManyBytesError:
                return None
            return (sum(errors), content) if len(content) <= max_bytes else None

        candidates = filter(None, map(candidate, range(1, QUALITIES + 1)))  # one at a time, which bounds memory
        best = min(candidates, key=lambda pair: pair[0], default=None)
        if best is None:
            fewest = len(pack(self._coder.payloads(images, 1, effort), 1))
            raise ArgumentError("max_bytes", f"is {max_bytes}, but the lowest quality takes {fewest} bytes")
        return best[1]


def _at_most(most: int, payloads: Iterable[bytes]) -> Iterator[bytes]:
    """Yield payloads of at most `most` bytes in total. Raises _TooManyBytesError at the first beyond that."""
    for payload in payloads:
        most -= len(payload)
        if most < 0:
            raise _TooManyBytesError
        yield payload
