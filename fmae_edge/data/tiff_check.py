"""Limit the tags, strips and tiles of TIFF files, and the tags of EXIF, before Pillow reads them."""

import struct
from contextlib import suppress
from functools import cache
from typing import Literal, NamedTuple

from fmae_edge.data.image_limits import Parts
from fmae_edge.runtime.errors import InputError

TIFF_STARTS = (b"II", b"MM")
_BIG = 43
_WIDTH, _HEIGHT, _STRIPS, _STRIP_HEIGHT, _TILE_WIDTH, _TILE_HEIGHT, _TILES = 256, 257, 273, 278, 322, 323, 324
_SAMPLES, _MOST_SAMPLES = 277, 6  # per pixel; Pillow accepts no more
_BITS, _COMPRESSION, _COLOURS, _PLANES, _EXTRA_SAMPLES = 258, 259, 262, 284, 338
_LAYOUT = {_WIDTH, _HEIGHT, _STRIPS, _STRIP_HEIGHT, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _SAMPLES}
_LAYOUT |= {_BITS, _COMPRESSION, _COLOURS, _PLANES, _EXTRA_SAMPLES}
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965  # each points to a directory, which Pillow reads too
_EXIF_START, _MOST_EXIF_STARTS = b"Exif\0\0", 3  # Pillow removes any number, and copies the data each time
_KIND_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_NUMBERS = _KIND_BYTES.keys() - {1, 2, 7}
_FRACTIONS, _FRACTION_NUMBERS = (5, 10), 16  # Pillow takes as long for a fraction as for 16 numbers
_MOST_NUMBERS = 1 << 20
_TAG_PARTS = 4  # libtiff sorts all tags again for each tag that it does not know
# A tile may be larger than its image: many programs write 256x256 and 512x512
_MOST_TILE_SIDE, _MOST_TILE_PIXELS = 1 << 11, 1 << 22
_JPEG, _MOST_JPEG_TILE_PIXELS = (6, 7), 1 << 20  # libtiff decodes up to 100 scans of each


class _Tag(NamedTuple):
    number: int
    kind: int
    values: int
    at: int  # the offset of the data, which is in the entry itself if they fit there

    @property
    def data_bytes(self) -> int:
        return self.values * _KIND_BYTES.get(self.kind, 0)

    @property
    def numbers(self) -> int:
        """Number of Python objects that Pillow makes of the tag; a fraction counts as 16."""
        return self.values * (_FRACTION_NUMBERS if self.kind in _FRACTIONS else int(self.kind in _NUMBERS))


def check_tiff(content: bytes, where: str) -> None:
    """Raise InputError if a TIFF file has more tags, strips or tiles, or larger tiles, than real files have.

    A truncated or damaged file passes: Pillow reports it. `where` names the file.
    """
    tiff = _Tiff(content, where)
    try:
        tags = tiff.first_directory()
    except struct.error:
        return
    layout = {tag.number: tag for tag in tags if tag.number in _LAYOUT}
    # If a tag appears twice, Pillow may read one and libtiff the other
    if len(layout) < sum(tag.number in _LAYOUT for tag in tags):
        raise InputError(f"{where}: a tag for the pixel layout appears twice; save the image again")
    width, height, strip_height, tile_width, tile_height, samples, compression = (
        tiff.number(layout[tag]) if tag in layout else 0
        for tag in (_WIDTH, _HEIGHT, _STRIP_HEIGHT, _TILE_WIDTH, _TILE_HEIGHT, _SAMPLES, _COMPRESSION)
    )
    strips, tiles = (layout[tag].values if tag in layout else 0 for tag in (_STRIPS, _TILES))
    Parts(where, width, height).take(max(strips, tiles))
    # Pillow decodes all strips and tiles in the list, even those that the image does not need
    most_strips = 2 * _parts(height, strip_height) * max(samples, 1)
    most_tiles = 2 * _parts(width, tile_width) * _parts(height, tile_height) * max(samples, 1)
    if strips > most_strips or tiles > most_tiles:
        raise InputError(f"{where}: the file has more strips or tiles than its image needs; save the image again")
    if samples > _MOST_SAMPLES:
        raise InputError(f"{where}: the image has {samples} samples per pixel; the limit is {_MOST_SAMPLES}")
    most_pixels = _MOST_JPEG_TILE_PIXELS if compression in _JPEG else _MOST_TILE_PIXELS
    if (
        tile_width * tile_height > max(most_pixels, (width + 15) * (height + 15))
        or tile_width > max(_MOST_TILE_SIDE, width + 15)
        or tile_height > max(_MOST_TILE_SIDE, height + 15)
    ):
        raise InputError(
            f"{where}: the file has tiles of {tile_width}x{tile_height}, too large for its image of "
            f"{width}x{height}; save the image again"
        )
    for tag in tags:
        if tag.number in (_EXIF, _GPS):
            with suppress(struct.error):  # truncated metadata: Pillow decodes the image without it
                for inner in tiff.directory(tiff.number(tag)):
                    if inner.number == _INTEROPERABILITY:
                        tiff.directory(tiff.number(inner))


def _parts(length: int, part: int) -> int:
    """Return the number of parts that cover a length; a part is 1 long if the file does not give its length."""
    return -(-length // max(part, 1))


def check_exif(content: bytes, where: str) -> None:
    """Raise InputError if EXIF has more tags, or more data in them, than real files; `where` names the file.

    Only the first directory is checked, so callers must not let Pillow read the others.
    """
    for _ in range(_MOST_EXIF_STARTS):
        content = content.removeprefix(_EXIF_START)
    if content.startswith(_EXIF_START):
        raise InputError(f"{where}: its EXIF starts more than {_MOST_EXIF_STARTS} times; save the image again")
    with suppress(struct.error):
        _Tiff(content, where).first_directory()


class _Tiff:
    """Read directories of tags, and count the bytes and objects that Pillow would make of all of them together."""

    def __init__(self, content: bytes, where: str) -> None:
        self._content, self._where = content, where
        self._big = content[2:3] == bytes([_BIG])
        self._order: Literal["big", "little"] = "big" if content.startswith(b"MM") else "little"
        self._parts = Parts(where)
        self._copied = self._numbers = 0

    def first_directory(self) -> list[_Tag]:
        """Return the tags of the directory that the header points to. Raises struct.error if it is truncated."""
        (at,) = self._struct("Q" if self._big else "I").unpack_from(self._content, 8 if self._big else 4)
        return self.directory(at)

    def directory(self, at: int) -> list[_Tag]:
        """Return the tags of the directory at `at`. Raises struct.error if it is truncated."""
        head, entry, offset = map(self._struct, ("Q", "HHQ", "Q") if self._big else ("H", "HHI", "I"))
        (count,) = head.unpack_from(self._content, at)
        self._parts.take(_TAG_PARTS * count)
        tags = []
        for index in range(count):
            data_at = at + head.size + index * (entry.size + offset.size) + entry.size
            number, kind, values = entry.unpack_from(self._content, data_at - entry.size)
            (elsewhere,) = offset.unpack_from(self._content, data_at)
            tag = _Tag(number, kind, values, data_at)
            tags.append(tag if tag.data_bytes <= offset.size else tag._replace(at=elsewhere))
        # Tags may share their data. Pillow copies the data for each tag, unless the file ends within it
        complete = [tag for tag in tags if tag.at + tag.data_bytes <= len(self._content)]
        self._copied += sum(tag.data_bytes for tag in complete)
        self._numbers += sum(tag.numbers for tag in complete)
        if self._copied > 2 * len(self._content) or self._numbers > _MOST_NUMBERS:
            raise InputError(
                f"{self._where}: its tags contain more data than those of real files; save the image again"
            )
        return tags

    def number(self, tag: _Tag) -> int:
        """Return the first number of a tag of any type and count, because Pillow and libtiff accept many types."""
        return int.from_bytes(self._content[tag.at : tag.at + _KIND_BYTES.get(tag.kind, 0)], self._order)

    def _struct(self, layout: str) -> struct.Struct:
        return struct.Struct((">" if self._order == "big" else "<") + layout)


@cache
def silence_libtiff() -> None:
    """Stop libtiff from printing errors to standard error, because Pillow raises them too.

    Pillow has no setting for this. On systems where libtiff cannot be reached, such as Windows, it keeps printing.
    """
    import ctypes

    from PIL import _imaging

    try:
        libtiff = ctypes.CDLL(_imaging.__file__)  # the library that uses libtiff gives access to its symbols
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(libtiff, name)(None)
    except (AttributeError, OSError):
        return
