"""Read the images in .fmae files: those of any quality, and those that are stored exactly."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.entropy.prior import Integers
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_contents import FmaeFile
from fmae_edge.runtime.format.fmae_file import as_fmae_file
from fmae_edge.runtime.latent_coder import LatentCoder

_IMAGES_AT_ONCE = 256  # of a stack whose images have their own qualities; bounds memory


class FmaeReader:
    """Reads .fmae files with the coder of a bundle, whose id is `bundle_id`."""

    def __init__(self, coder: LatentCoder, bundle_id: str) -> None:
        self._coder, self._bundle_id = coder, bundle_id

    def parse(self, content: object, max_images: int) -> FmaeFile:
        """Return a parsed file as it is, or parse the bytes of one.

        Raises InputError as `as_fmae_file` does, or if a payload is longer than any that an encoder writes.
        """
        file = as_fmae_file(content, self._bundle_id, max_images)
        most = self._coder.longest_payload
        if file.quality:
            longest = file.payloads.longest
        else:
            extra = 0 if file.single else 1  # the byte of the image's quality
            lossless = math.prod(self._coder.image_shape) + 1
            beyond = file.payloads.lengths - extra - np.where(file.qualities, most, lossless)
            longest = 0 if beyond.max(initial=0) <= 0 else int(file.payloads.lengths[beyond.argmax()])
            most = 0
        if longest > most:
            raise InputError(f"corrupted: a payload has {longest} bytes, more than one image can take")
        return file

    def images(self, file: FmaeFile, number: int | None = None) -> NDArray[np.uint8]:
        """Return the images in a file as a stack, or only image `number`, as a stack of one."""
        payloads = file.payloads if number is None else file.payloads[number : number + 1]
        if file.quality:
            return self._coder.images(payloads, file.quality)
        images = np.empty((len(payloads), *self._coder.image_shape), np.uint8)
        for part in slices(len(payloads), _IMAGES_AT_ONCE):
            images[part] = self._of_own_qualities(list(file.coded(payloads[part])))
        return images

    def images_of(self, coded: Sequence[tuple[int, bytes]]) -> Iterator[NDArray[np.uint8]]:
        """Yield the images of pairs of a quality and a payload, which `FmaeFile.coded` yields.

        If one of them is invalid, the images before it are yielded, and then InputError is raised.
        """
        try:
            images = self._of_own_qualities(coded)
        except InputError:
            if len(coded) == 1:
                raise
            for pair in coded:
                yield from self.images_of([pair])
        else:
            yield from images

    def symbols(self, file: FmaeFile) -> Integers:
        """Return the quantised latents (N, latent_size) in a file. Raises InputError if it has quality 0."""
        if not file.quality:
            raise InputError(
                "has no symbols of one quality: it contains images that are stored exactly or have their own "
                "quality, which inspect lists; decompress reads them"
            )
        return self._coder.symbols(file.payloads, file.quality)

    def _of_own_qualities(self, coded: Sequence[tuple[int, bytes]]) -> NDArray[np.uint8]:
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
