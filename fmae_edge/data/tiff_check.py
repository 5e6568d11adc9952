"""Limits on the tags, strips and tiles of a TIFF file, and on the tags of EXIF, checked before Pillow opens it."""

import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from fmae_edge.data.image_limits import Parts
from fmae_edge.runtime.errors import InputError

STARTS = (b"II", b"MM")
_BIG = 43
_WIDTH, _HEIGHT, _STRIPS, _TILE_WIDTH, _TILE_HEIGHT, _TILES = 256, 257, 273, 322, 323, 324
_DIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS and interoperability: Pillow reads these too
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
_NUMBERS = _KIND_BYTES.keys() - {1, 2, 6, 7}
_FRACTIONS, _FRACTION_NUMBERS = (5, 10), 16  # Pillow takes so much longer for them
_MOST_NUMBERS = 1 << 20
_MOST_TILE_PIXELS = 1 << 22  # a tile may be larger than its image: many programs write 256x256 and 512x512


@dataclass(frozen=True)
class _Tag:
    number: int
    count: int
    numbers: int  # Pillow makes a Python object of each
    data_bytes: int
    value: int  # or the offset of the data, if they do not fit here


def check_tiff(content: bytes, where: str) -> None:
    """Raise InputError if a TIFF file has more tags, strips or tiles, or larger tiles, than real files have.

    A truncated or damaged file passes: Pillow reports it. `where` names the file.
    """
    try:
        tags = _directory(content, None, Parts(where), where)
        sides = {tag.number: tag.value for tag in reversed(tags)}  # if a tag comes twice, the first one counts
        width, height = sides.get(_WIDTH, 0), sides.get(_HEIGHT, 0)
        parts = Parts(where, width, height)
        parts.take(max((tag.count for tag in tags if tag.number in (_STRIPS, _TILES)), default=0))
    except struct.error:
        return
    for tag in tags:
        if tag.number in _DIRECTORIES:
            with suppress(struct.error):  # truncated metadata: Pillow decodes the image without it
                _directory(content, tag.value, parts, where)
    tile_width = max((tag.value for tag in tags if tag.number == _TILE_WIDTH), default=0)
    tile_height = max((tag.value for tag in tags if tag.number == _TILE_HEIGHT), default=0)
    if tile_width * tile_height > max(_MOST_TILE_PIXELS, (width + 15) * (height + 15)):
        raise InputError(
            f"{where}: the file has tiles of {tile_width}x{tile_height}, too large for its image of "
            f"{width}x{height}; save the image again"
        )


def check_exif(content: bytes, where: str) -> None:
    """Raise InputError if EXIF has more tags, or more data in them, than real files; `where` names the file."""
    try:
        _directory(content, None, Parts(where), where)
    except struct.error:
        return


def _directory(content: bytes, at: int | None, parts: Parts, where: str) -> list[_Tag]:
    """Return the tags of the first directory, or of the one at `at`. Raises struct.error if it is truncated."""
    big = content[2:3] == bytes([_BIG])
    order = ">" if content.startswith(b"MM") else "<"
    if at is None:
        (at,) = struct.unpack_from(order + "Q", content, 8) if big else struct.unpack_from(order + "I", content, 4)
    head = struct.Struct(order + ("Q" if big else "H"))
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    (count,) = head.unpack_from(content, at)
    parts.take(count)
    tags = [_tag(order, *entry.unpack_from(content, at + head.size + n * entry.size)) for n in range(count)]
    # Tags may share their data, and Pillow copies the data for each tag, unless they end behind the file
    held = [tag for tag in tags if tag.value + tag.data_bytes <= len(content)]
    copied, numbers = sum(tag.data_bytes for tag in held), sum(tag.numbers for tag in held)
    if copied > 2 * len(content) or numbers > _MOST_NUMBERS:
        raise InputError(f"{where}: its tags hold more data than those of real files; save the image again")
    return tags


def _tag(order: str, number: int, kind: int, count: int, value: bytes) -> _Tag:
    data_bytes = count * _KIND_BYTES.get(kind, 0)
    used = value[:data_bytes] if 0 < data_bytes <= len(value) else value
    values = _FRACTION_NUMBERS * count if kind in _FRACTIONS else count if kind in _NUMBERS else 0
    return _Tag(number, count, values, data_bytes, int.from_bytes(used, "big" if order == ">" else "little"))


@cache
def silence_libtiff() -> None:
    """Stop libtiff from writing errors to standard error; Pillow raises them too.

    Pillow has no setting for this. Where libtiff cannot be reached, as on Windows, it keeps writing.
    """
    import ctypes

    from PIL import _imaging

    try:
        libtiff = ctypes.CDLL(_imaging.__file__)  # whose symbols are found through the library that uses it
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(libtiff, name)(None)
    except (AttributeError, OSError):
        return
