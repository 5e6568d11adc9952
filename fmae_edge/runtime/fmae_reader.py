"""Read .fmae files and bare payloads: images of any quality, and those that are stored exactly."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import (
    BytesLike,
    as_batch_size,
    as_bytes,
    as_flag,
    as_index,
    as_list,
    convert_each,
    group_ahead,
    slices,
)
from fmae_edge.runtime.errors import ArgumentError, InputError
from fmae_edge.runtime.fmae_writer import as_quality
from fmae_edge.runtime.format.fmae_contents import FmaeFile
from fmae_edge.runtime.format.fmae_file import FmaeLike, as_fmae_file, as_max_images
from fmae_edge.runtime.format.payload_index import Payloads, require_images
from fmae_edge.runtime.latent_coder import LatentCoder

_IMAGES_AT_ONCE = 256  # of a stack whose images have their own qualities; bounds memory

Coded = tuple[int, bytes]  # the quality of an image, 0 if it is stored exactly, and its payload


class BarePayloads(NamedTuple):
    """Payloads without a file around them, or a `single` one; the caller knows their quality, 1 to 9."""

    payloads: Payloads
    quality: int
    single: bool

    def coded(self, payloads: Sequence[bytes] | None = None) -> Iterator[Coded]:
        """Yield the quality and the payload of each image, as `FmaeFile.coded` does."""
        return ((self.quality, payload) for payload in (self.payloads if payloads is None else payloads))


class ReadOptions(NamedTuple):
    """Options of `decompress`: the most images of a file, and the quality of bare payloads, None for files."""

    max_images: int
    bare_quality: int | None


def as_read_options(max_images: object, bare: object, quality: object) -> ReadOptions:
    """Return the options of `Codec.decompress`. Raises InputError if one is invalid or missing."""
    if not as_flag("bare", bare):
        if quality is not None:
            raise ArgumentError("quality", "is for bare payloads (bare=True); a .fmae file contains its quality")
        return ReadOptions(as_max_images(max_images), None)
    if quality is None:
        raise ArgumentError("quality", "is missing; bare payloads need the quality that they were compressed with")
    return ReadOptions(as_max_images(max_images), as_quality(quality))


class FmaeReader:
    """Reads .fmae files with the coder of a bundle, whose id is `bundle_id`."""

    def __init__(self, coder: LatentCoder, bundle_id: str) -> None:
        self._coder, self._bundle_id = coder, bundle_id

    def parse(self, content: FmaeLike, max_images: int) -> FmaeFile:
        """Return a parsed file as it is, or parse and check the bytes of one.

        Raises InputError as `Codec.parse` does, or if a payload is longer than any that an encoder writes.
        """
        file = as_fmae_file(content, self._bundle_id, max_images)
        if file.quality:
            self._require_short(file.payloads)
            return file
        extra = 0 if file.single else 1  # the byte of the image's quality
        exact = math.prod(self._coder.image_shape) + 1
        lengths = file.payloads.lengths
        beyond = lengths - extra - np.where(file.qualities, self._coder.longest_payload, exact)
        if beyond.max(initial=0) > 0:
            raise _too_long(int(lengths[beyond.argmax()]))
        return file

    def image_or_stack(
        self, content: FmaeLike | Sequence[BytesLike], options: ReadOptions, index: object
    ) -> NDArray[np.uint8]:
        """Return the image (H, W) with number `index`; without it, the single image or the stack (N, H, W)."""
        opened = self._open(content, options)
        if index is None:
            images = self._images(opened, opened.payloads)
            return images[0] if opened.single else images
        number = as_index(index, len(opened.payloads))
        image: NDArray[np.uint8] = self._images(opened, opened.payloads[number : number + 1])[0]
        return image

    def stack(self, content: FmaeLike | Sequence[BytesLike], options: ReadOptions) -> NDArray[np.uint8]:
        """Return the images (N, H, W) in a file, or in bare payloads."""
        opened = self._open(content, options)
        return self._images(opened, opened.payloads)

    def each_image(
        self, contents: Iterable[FmaeLike], options: ReadOptions, batch_size: object
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in `contents`, and read at most `batch_size` images ahead."""
        most_ahead = as_batch_size(batch_size)
        word = "file" if options.bare_quality is None else "payload"
        opened = convert_each("contents", word, contents, lambda each: self._open(each, options))
        coded = (pair for each in opened for pair in each.coded())
        return (image for group in group_ahead(coded, most_ahead) for image in self._each_of(group))

    def symbols(self, file: FmaeFile) -> NDArray[np.int64]:
        """Return the symbols (N, latent_size) in a file. Raises InputError if its quality is 0."""
        if not file.quality:
            raise InputError(
                "has no symbols of one quality: it contains images that are stored exactly or have their own "
                "quality, which inspect lists; decompress reads them"
            )
        return self._coder.symbols(file.payloads, file.quality)

    def _open(self, content: FmaeLike | Sequence[BytesLike], options: ReadOptions) -> FmaeFile | BarePayloads:
        """Return a parsed file, or bare payloads: those in a list, or a single one."""
        if options.bare_quality is None:
            return self.parse(content, options.max_images)  # type: ignore[arg-type]  # a list is refused there
        items = as_list(content)
        single = items is None
        contents = [as_bytes(each, "a bare payload") for each in ([content] if items is None else items)]
        require_images(len(contents), options.max_images)
        lengths = np.fromiter(map(len, contents), np.int64, len(contents))
        payloads = Payloads(b"".join(contents), lengths)
        self._require_short(payloads)
        return BarePayloads(payloads, options.bare_quality, single)

    def _require_short(self, payloads: Payloads) -> None:
        if payloads.longest > self._coder.longest_payload:
            raise _too_long(payloads.longest)

    def _images(self, opened: FmaeFile | BarePayloads, payloads: Sequence[bytes]) -> NDArray[np.uint8]:
        """Return the images of some payloads of a file."""
        if opened.quality:
            return self._coder.images(payloads, opened.quality)
        images = np.empty((len(payloads), *self._coder.image_shape), np.uint8)
        for part in slices(len(payloads), _IMAGES_AT_ONCE):
            images[part] = self._of_own_qualities(list(opened.coded(payloads[part])))
        return images

    def _each_of(self, coded: Sequence[Coded]) -> Iterator[NDArray[np.uint8]]:
        """Yield images. If one of them is invalid, InputError is raised after the images before it."""
        try:
            images = self._of_own_qualities(coded)
        except InputError:
            if len(coded) == 1:
                raise
            for pair in coded:
                yield from self._each_of([pair])
        else:
            yield from images

    def _of_own_qualities(self, coded: Sequence[Coded]) -> NDArray[np.uint8]:
        qualities = {quality for quality, _ in coded}
        if len(qualities) == 1 and (quality := coded[0][0]):
            return self._coder.images([payload for _, payload in coded], quality)
        images = np.empty((len(coded), *self._coder.image_shape), np.uint8)
        for quality in sorted(qualities):
            numbers = [number for number, (own, _) in enumerate(coded) if own == quality]
            payloads = [coded[number][1] for number in numbers]
            images[numbers] = self._coder.images(payloads, quality) if quality else self._exact(payloads)
        return images

    def _exact(self, payloads: Sequence[bytes]) -> NDArray[np.uint8]:
        from fmae_edge.runtime.format.lossless import decode_lossless  # few files have such images

        return np.stack([decode_lossless(payload, self._coder.image_shape) for payload in payloads])


def _too_long(length: int) -> InputError:
    return InputError(f"corrupted: a payload has {length} bytes, more than one image can take")
