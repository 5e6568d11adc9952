"""Parse, change and write TIFF files as frames of fields and strips, so that all offsets stay right.

The format: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf; BigTIFF is the same with wider numbers.
"""

import struct
import zlib
from dataclasses import dataclass, replace
from random import Random

from fuzz.containers import MAX_BYTES, Change, repacked, write_number

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_ROWS, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323
_TAGS = (
    *(
        254,
        255,
        256,
        257,
        258,
        259,
        262,
        266,
        269,
        270,
        273,
        274,
        277,
        278,
        279,
        280,
        282,
        284,
        290,
        291,
        292,
        301,
    ),
    *(305, 317, 318, 320, 321, 322, 323, 324, 325, 330, 332, 338, 339, 347, 512, 513, 514, 529, 530, 532, 700),
    *(33432, 34377, 34665, 34675, 34853, 37724, 40965, 50838, 50839, 65535),
)
_VALUES = (
    *(0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 27, 28, 29, 32, 64, 255, 256, 4096, 40_000, 65_535, 1 << 16, 1 << 24),
    *((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 32773, 32946, 34712, 50000, 50001),
)


@dataclass(frozen=True)
class Entry:
    """One field. `count` is the number in the file, which need not fit the bytes."""

    kind: int
    count: int
    content: bytes


@dataclass(frozen=True)
class Frame:
    """The fields of one image by tag, and its strips or tiles."""

    entries: dict[int, Entry]
    strips: list[bytes]


@dataclass(frozen=True)
class Tiff:
    """A file. `order` is < or >, and `loops` makes the last frame point to the first one."""

    order: str
    big: bool
    frames: list[Frame]
    loops: bool = False


def mutate_tiff(content: bytes, change: Change, random: Random) -> bytes:
    """Change fields, strips and the number of frames, or only bytes in one of eight calls."""
    if random.randrange(8) == 0:
        return change(content)
    try:
        tiff = parse_tiff(content)
    except (struct.error, KeyError, IndexError, OverflowError):
        return change(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        tiff = _changed(tiff, change, random)
    return tiff_bytes(tiff)


def _changed(tiff: Tiff, change: Change, random: Random) -> Tiff:
    frames = tiff.frames.copy()
    at = random.randrange(len(frames))
    frame = frames[at]
    match random.randrange(16):
        case 0:
            return replace(tiff, order=random.choice("<>"), big=bool(random.randrange(2)))
        case 1:
            return replace(tiff, loops=not tiff.loops)
        case 2 if random.randrange(4) == 0:
            few = Frame({} if random.randrange(2) else dict([*frame.entries.items()][:1]), [])
            times = 1 << random.randrange(17)
            return replace(tiff, frames=frames + [few] * min(times, MAX_BYTES // 32))
        case 2 | 3:
            frames.insert(at, frame)
        case 4:
            frames[at] = _tiled(frame, random)
        case 5 | 6:
            strips = frame.strips or [b""]
            part = random.randrange(len(strips))
            altered = change(strips[part]) if random.randrange(2) else repacked(strips[part], change, random)
            frames[at] = Frame(frame.entries, [*strips[:part], altered, *strips[part + 1 :]])
        case 7:
            times = min(random.choice((0, 2, 3, 28, 1000)), MAX_BYTES // (sum(map(len, frame.strips)) + 1))
            frames[at] = Frame(frame.entries, frame.strips * times)
        case _:
            frames[at] = Frame(_changed_entries(frame.entries, tiff.order, change, random), frame.strips)
    return replace(tiff, frames=frames)


def _changed_entries(entries: dict[int, Entry], order: str, change: Change, random: Random) -> dict[int, Entry]:
    entries = entries.copy()
    tag = random.choice([*entries]) if entries and random.randrange(4) else random.choice(_TAGS)
    entry = entries.get(tag, Entry(3, 1, bytes(2)))
    match random.randrange(10):
        case 0:
            entries.pop(tag, None)
        case 1:
            entries[tag] = replace(entry, kind=random.randrange(20))
        case 2:
            entries[tag] = replace(entry, count=random.choice(_VALUES))
        case 3:
            entries[tag] = replace(entry, content=write_number(entry.content, random))
        case 4:
            altered = change(entry.content)
            entries[tag] = Entry(entry.kind, len(altered) // _SIZES.get(entry.kind, 1), altered)
        case 5:
            times = min(1 << random.randrange(16), MAX_BYTES // (len(entry.content) + 1))
            entries[tag] = Entry(entry.kind, entry.count * times, entry.content * times)
        case 6:
            packed = zlib.compress(bytes(1 << random.randrange(24)))
            entries[tag] = Entry(7, len(packed), packed)
        case _:
            entries[tag] = number_entry(order, random.choice(_VALUES), random.choice((3, 4)))
    return entries


def number_entry(order: str, number: int, kind: int = 4) -> Entry:
    """Return a field with one number of 16 bits (kind 3) or 32 bits (kind 4)."""
    code = _CODES[kind]
    return Entry(kind, 1, struct.pack(order + code, number & ((1 << 8 * _SIZES[kind]) - 1)))


def _tiled(frame: Frame, random: Random) -> Frame:
    entries = {tag: entry for tag, entry in frame.entries.items() if tag not in (_STRIPS, _STRIP_BYTES, _ROWS)}
    for tag in (_TILE_WIDTH, _TILE_HEIGHT):
        entries[tag] = number_entry("<", random.choice((16, 32, 64, 4096, 40_000, 1 << 20)))
    empty = Entry(4, 0, b"")
    return Frame(entries | {_TILES: empty, _TILE_BYTES: empty}, frame.strips)


def parse_tiff(content: bytes) -> Tiff:
    """Return the parts of a file. Raises struct.error, KeyError, IndexError or OverflowError for other files."""
    order = {b"II": "<", b"MM": ">"}[content[:2]]
    (version,) = struct.unpack_from(order + "H", content, 2)
    big = version == 43
    offset, counter, entry_bytes, inline = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    (at,) = struct.unpack_from(order + offset, content, 8 if big else 4)
    frames: list[Frame] = []
    seen: set[int] = set()
    while at and at not in seen and len(seen) < 64:
        seen.add(at)
        (count,) = struct.unpack_from(order + counter, content, at)
        at += struct.calcsize(counter)
        entries = {}
        for _ in range(min(count, 256)):
            tag, kind, values = struct.unpack_from(order + "HH" + offset, content, at)
            place = at + entry_bytes - inline
            size = values * _SIZES.get(kind, 1)
            if size > inline:
                (place,) = struct.unpack_from(order + offset, content, place)
            entries[tag] = Entry(kind, values, content[place : place + size])
            at += entry_bytes
        frames.append(Frame(entries, _strips(content, entries, order)))
        (at,) = struct.unpack_from(order + offset, content, at)
    return Tiff(order, big, frames or [Frame({}, [])], loops=at in seen)


def _strips(content: bytes, entries: dict[int, Entry], order: str) -> list[bytes]:
    for tag, bytes_tag in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
        if tag in entries and bytes_tag in entries:
            places, sizes = (_numbers(entries[each], order) for each in (tag, bytes_tag))
            return [content[at : at + size] for at, size in zip(places, sizes, strict=False)]
    return []


def _numbers(entry: Entry, order: str) -> list[int]:
    code = _CODES.get(entry.kind, "B")
    size = struct.calcsize(code)
    return [
        number
        for (number,) in struct.iter_unpack(order + code, entry.content[: len(entry.content) // size * size])
    ]


def tiff_bytes(tiff: Tiff) -> bytes:
    """Return the bytes of the file: strips and long fields first, then the fields of each frame."""
    order, big = tiff.order, tiff.big
    offset, counter, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    kind = 16 if big else 4
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    out += struct.pack(order + "HH", 8, 0) if big else b""
    pointer_at = len(out)
    out += bytes(struct.calcsize(offset))
    first = len(out)
    for frame in tiff.frames:
        entries = frame.entries.copy()
        places = []
        for strip in frame.strips:
            places.append(len(out))
            out += strip
        for tag, bytes_tag in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
            if tag in entries and bytes_tag in entries and places:
                sizes = [len(strip) for strip in frame.strips]
                for each, numbers in ((tag, places), (bytes_tag, sizes)):
                    packed = struct.pack(f"{order}{len(numbers)}{offset}", *numbers)
                    entries[each] = Entry(kind, len(numbers), packed)
                break
        fields = bytearray()
        for tag, entry in sorted(entries.items()):
            content = entry.content
            if len(content) > inline:
                fields_at = len(out)
                out += content
                content = struct.pack(order + offset, fields_at)
            limit = (1 << 64 if big else 1 << 32) - 1
            fields += struct.pack(order + "HH" + offset, tag, entry.kind, entry.count & limit)
            fields += content.ljust(inline, b"\0")
        struct.pack_into(order + offset, out, pointer_at, len(out))
        first = len(out) if frame is tiff.frames[0] else first
        out += struct.pack(order + counter, len(entries)) + fields
        pointer_at = len(out)
        out += bytes(struct.calcsize(offset))
    if tiff.loops:
        struct.pack_into(order + offset, out, pointer_at, first)
    return bytes(out)
