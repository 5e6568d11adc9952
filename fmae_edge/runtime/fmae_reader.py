"""Read .fmae files and bare payloads with the coder of a bundle."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

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
)
from fmae_edge.runtime.errors import ArgumentError
from fmae_edge.runtime.fmae_writer import as_quality
from fmae_edge.runtime.format.fmae_file import FmaeFile, FmaeLike, as_fmae_file, as_max_images
from fmae_edge.runtime.format.payload_index import Payloads, require_images
from fmae_edge.runtime.latent_coder import LatentCoder


class BarePayloads(NamedTuple):
    """Payloads without a file around them, or a `single` one; the caller knows their quality."""

    payloads: Payloads
    quality: int
    single: bool


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
        """Parse and check a file. Raises InputError as `Codec.parse` does."""
        file = as_fmae_file(content, self._bundle_id, max_images)
        self._coder.require_short(file.payloads)
        return file

    def open(self, content: FmaeLike | Sequence[BytesLike], options: ReadOptions) -> FmaeFile | BarePayloads:
        """Return a parsed file, or bare payloads: those in a list, or a single one."""
        if options.bare_quality is None:
            return self.parse(content, options.max_images)  # type: ignore[arg-type]  # a list is refused there
        items = as_list(content)
        single = items is None
        contents = [as_bytes(each, "a bare payload") for each in ([content] if items is None else items)]
        require_images(len(contents), options.max_images)
        lengths = np.fromiter(map(len, contents), np.int64, len(contents))
        payloads = Payloads(b"".join(contents), lengths)
        self._coder.require_short(payloads)
        return BarePayloads(payloads, options.bare_quality, single)

    def images(self, opened: FmaeFile | BarePayloads) -> NDArray[np.uint8]:
        """Return the images (N, H, W) of a file or of bare payloads."""
        return self._coder.images(opened.payloads, opened.quality)

    def image_or_stack(self, opened: FmaeFile | BarePayloads, index: object) -> NDArray[np.uint8]:
        """Return the image (H, W) with number `index`; without it, the single image or the stack (N, H, W)."""
        if index is None:
            images = self.images(opened)
            return images[0] if opened.single else images
        number = as_index(index, len(opened.payloads))
        image: NDArray[np.uint8] = self._coder.images(opened.payloads[number : number + 1], opened.quality)[0]
        return image

    def symbols(self, opened: FmaeFile | BarePayloads) -> NDArray[np.int64]:
        """Return the symbols (N, latent_size) of a file or of bare payloads."""
        return self._coder.symbols(opened.payloads, opened.quality)

    def each_image(
        self, contents: Iterable[FmaeLike], options: ReadOptions, batch_size: object
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in `contents`, and read at most `batch_size` images ahead."""
        most_ahead = as_batch_size(batch_size)
        word = "file" if options.bare_quality is None else "payload"
        files = convert_each("contents", word, contents, lambda each: self.open(each, options))
        payloads = ((file.quality, payload) for file in files for payload in file.payloads)

        def images() -> Iterator[NDArray[Any]]:
            for group in group_ahead(payloads, most_ahead, lambda pair: pair[0]):
                yield from self._coder.images([payload for _, payload in group], group[0][0])

        return images()
