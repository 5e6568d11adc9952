"""What a .fmae file contains: its parsed form, and its description for people and programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.payload_index import Payloads

# In version 2, names may be relative paths. In version 3, the quality may be 0: images may be lossless
PATHS_VERSION, LOSSLESS_VERSION = 2, 3


class FmaeInfo(NamedTuple):
    """The header of a .fmae file: `images` is their number, `single` is True for one image, False for a stack.

    `quality` is 0 for a lossless image and for a stack whose images have their own; `qualities` has that of each
    image. `payload_bytes` is the size of each image's payload, `file_bytes` that of the file. `names` is None if
    the file has no names, or names that spec/format.md does not allow; `names_error` then gives the reason.
    """

    format_version: int
    bundle_id: str
    quality: int
    images: int
    single: bool
    file_bytes: int
    payload_bytes: tuple[int, ...]
    names: tuple[str, ...] | None
    names_error: str | None
    qualities: tuple[int, ...]


@dataclass(frozen=True)
class FmaeFile:
    """A .fmae file that was parsed and checked for one bundle: one image if `single`, else a stack.

    `bundle_id` is that bundle's full id, `file_bytes` the size of the file. `quality` is 1 to 9, or 0 if the image
    is lossless or if each image of a stack has its own, in the first byte of its payload. `listed` contains the
    names as stored in the file, not checked yet.
    """

    version: int
    bundle_id: str
    quality: int
    payloads: Payloads
    single: bool
    file_bytes: int
    listed: bytes | memoryview | None = None

    def __reduce__(self) -> tuple[type["FmaeFile"], tuple[object, ...]]:
        listed = None if self.listed is None else bytes(self.listed)  # a memoryview cannot be pickled
        return FmaeFile, (*(getattr(self, each.name) for each in fields(self)[:-1]), listed)

    @property
    def qualities(self) -> NDArray[np.uint8]:
        """The quality (N,) of each image: 1 to 9, or 0 if it is lossless."""
        if self.quality or self.single:
            return np.full(len(self.payloads), self.quality, np.uint8)
        return self.payloads.first_bytes

    def coded(self, payloads: Sequence[bytes] | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield the quality of each image, and its payload without the byte for it; `payloads` may be a part."""
        for payload in self.payloads if payloads is None else payloads:
            yield (self.quality, payload) if self.quality or self.single else (payload[0], payload[1:])

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the images, None if the file has no names.

        Raises InputError if spec/format.md does not allow them. The images can still be decoded.
        """
        if self.listed is None:
            return None
        from fmae_edge.runtime.format.image_names import read_names  # most files have no names

        try:
            return read_names(bytes(self.listed), len(self.payloads), paths=self.version >= PATHS_VERSION)
        except InputError as error:
            raise InputError(f"contains invalid image names: {error}") from None

    def describe(self) -> FmaeInfo:
        """Return the header; if the names are invalid, `names_error` is the reason."""
        names, names_error = None, None
        try:
            names = self.names
        except InputError as error:
            names_error = str(error)
        return FmaeInfo(
            format_version=self.version,
            bundle_id=self.bundle_id,
            quality=self.quality,
            images=len(self.payloads),
            single=self.single,
            file_bytes=self.file_bytes,
            payload_bytes=tuple(self.payloads.lengths.tolist()),
            names=names,
            names_error=names_error,
            qualities=tuple(self.qualities.tolist()),
        )
