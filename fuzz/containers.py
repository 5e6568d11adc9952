"""Change PNG, JPEG, GIF and WebP files as lists of parts, so that lengths and checksums stay right.

A change of single bytes breaks a length or a checksum, and the reader stops there. Here parts are dropped,
repeated, moved and changed, and the file is put together again. A file of another format has two parts:
its start, which contains the numbers, and all that follows.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from fuzz.image_parts import png_chunk

Change = Callable[[bytes], bytes]
MAX_BYTES = 1 << 20  # of a file with a repeated part
_PNG, _GIF = b"\x89PNG\r\n\x1a\n", b"GIF8"
_HEADER_BYTES = 64
_NUMBERS = (
    *(0, 1, 2, 3, 4, 7, 8, 15, 16, 27, 28, 29, 255, 256, 40_000, 65_535, 1 << 16, 1 << 24),
    *((1 << 31) - 1, 1 << 31, (1 << 32) - 1),
)
_JPEG_CODES = (*range(0xC0, 0xD0), *range(0xD8, 0xF0), 0xFE)
_KINDS = {
    "png": tuple(b"IHDR PLTE IDAT IEND tRNS gAMA iCCP sRGB tEXt zTXt iTXt eXIf pHYs acTL fcTL fdAT bKGD".split()),
    "jpeg": tuple(bytes([0xFF, code]) for code in _JPEG_CODES),
    "webp": (*b"VP8L VP8X ANIM ANMF ALPH ICCP EXIF".split(), b"VP8 ", b"XMP "),
    "gif": (b"!\xf9", b"!\xfe", b"!\xff", b"!\x01", b",", b";"),
    "": (b"",),
}


class Part(NamedTuple):
    """One chunk, segment or block. `framed` means that its length is written in front of it."""

    kind: bytes
    content: bytes
    framed: bool = True


def mutate_image(content: bytes, change: Change, random: Random) -> bytes:
    """Change the parts of an image file, or only its bytes in one of eight calls."""
    if random.randrange(8) == 0:
        return change(content)
    form = _form(content)
    parts = list(_SPLIT[form](content))
    for _ in range(random.choice((1, 1, 2, 4))):
        parts = _changed(parts, form, change, random)
    return _JOIN[form](parts)


def write_number(content: bytes, random: Random) -> bytes:
    """Return `content` with one of its numbers replaced by a number near a limit."""
    size = random.choice((1, 2, 4))
    if len(content) < size:
        return content
    at = random.randrange(len(content) - size + 1)
    number = random.choice(_NUMBERS) & ((1 << 8 * size) - 1)
    return content[:at] + number.to_bytes(size, random.choice(("big", "little"))) + content[at + size :]


def repacked(content: bytes, change: Change, random: Random) -> bytes:
    """Return a zlib stream with other content: changed, followed by more bytes, or very large."""
    match random.randrange(8):
        case 0:
            return zlib.compress(bytes(1 << random.randrange(27)), 1)
        case 1:
            return content + bytes(1 << random.randrange(20))
        case _:
            try:
                unpacked = zlib.decompressobj().decompress(content, 1 << 20)
            except zlib.error:
                return change(content)
            return zlib.compress(change(unpacked), 1)


def _changed(parts: list[Part], form: str, change: Change, random: Random) -> list[Part]:
    parts, kinds = parts.copy(), _KINDS[form]
    at = random.randrange(len(parts))
    kind, content, framed = part = parts[at]
    match random.randrange(12):
        case 0:
            del parts[at]
        case 1:
            parts.insert(random.randrange(len(parts)), part)
        case 2:
            other = random.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        case 3:
            parts[at] = Part(random.choice(kinds), content, framed)
        case 4:
            parts.insert(at, Part(random.choice(kinds), change(content[:64]), True))
        case 5:
            parts[at] = Part(kind, content[: random.randrange(len(content) + 1)], framed)
        case 6 if random.randrange(32) == 0:
            times = 1 << random.randrange(18)
            parts[at:at] = [part] * min(times, MAX_BYTES // (len(content) + 12))
        case 7 if form == "png":
            parts[at] = Part(kind, repacked(content, change, random), framed)
        case 6 | 7 | 8 | 9:
            parts[at] = Part(kind, change(content), framed)
        case _:
            parts[at] = Part(kind, write_number(content, random), framed)
    return parts or [Part(b"", b"", False)]


def _form(content: bytes) -> str:
    if content.startswith(_PNG):
        return "png"
    if content.startswith(b"\xff\xd8"):
        return "jpeg"
    if content.startswith(_GIF):
        return "gif"
    return "webp" if content.startswith(b"RIFF") and content[8:12] == b"WEBP" else ""


def _split_png(content: bytes) -> Iterator[Part]:
    at = len(_PNG)
    while at + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        yield Part(content[at + 4 : at + 8], content[at + 8 : at + 8 + size])
        at += 12 + size
    yield Part(b"", content[at:], False)


def _join_png(parts: list[Part]) -> bytes:
    out = [_PNG]
    for kind, content, framed in parts:
        out.append(png_chunk(kind, content) if framed else kind + content)
    return b"".join(out)


def _split_jpeg(content: bytes) -> Iterator[Part]:
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4])
        yield Part(content[at : at + 2], content[at + 4 : end])
        at = end
        if content[at - 1 : at] and (at >= len(content) or content[at] != 0xFF):  # pixels, up to the next segment
            while at < len(content) - 1 and not (content[at] == 0xFF and 0xC0 <= content[at + 1] != 0xFF):
                at += 1
            while at < len(content) - 1 and content[at] == 0xFF and 0xD0 <= content[at + 1] <= 0xD7:  # restart
                at += 2
                while at < len(content) - 1 and not (content[at] == 0xFF and 0xC0 <= content[at + 1] != 0xFF):
                    at += 1
            yield Part(b"", content[end:at], False)
    yield Part(b"", content[at:], False)


def _join_jpeg(parts: list[Part]) -> bytes:
    out = [b"\xff\xd8"]
    for kind, content, framed in parts:
        out += [kind, (len(content) + 2 & 0xFFFF).to_bytes(2), content] if framed else [kind, content]
    return b"".join(out)


def _split_webp(content: bytes) -> Iterator[Part]:
    at = 12
    while at + 8 <= len(content):
        (size,) = struct.unpack_from("<I", content, at + 4)
        yield Part(content[at : at + 4], content[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    yield Part(b"", content[at:], False)


def _join_webp(parts: list[Part]) -> bytes:
    body = b"".join(
        kind + (struct.pack("<I", len(content)) if framed else b"") + content + bytes(len(content) % 2)
        for kind, content, framed in parts
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4 & 0xFFFFFFFF) + b"WEBP" + body


def _split_gif(content: bytes) -> Iterator[Part]:
    """Return the parts of a GIF. Blocks keep the small lengths in them, as numbers to change."""

    def palette_bytes(at: int) -> int:
        flags = content[at] if at < len(content) else 0
        return 3 << (flags & 7) + 1 if flags & 128 else 0

    at = 13 + palette_bytes(10)
    yield Part(b"", content[:at], False)
    while at < len(content):
        image = content[at : at + 1] == b","
        body = at + (11 + palette_bytes(at + 9) if image else 2)
        end = body
        while end < len(content) and content[end]:
            end += content[end] + 1
        kind = content[at : at + (1 if image else 2)]
        yield Part(kind, content[at + len(kind) : end + 1], False)
        at = end + 1


def _split_plain(content: bytes) -> Iterator[Part]:
    yield Part(b"", content[:_HEADER_BYTES], False)
    yield Part(b"", content[_HEADER_BYTES:], False)


def _join_plain(parts: list[Part]) -> bytes:
    return b"".join(part.kind + part.content for part in parts)


_SPLIT = {"png": _split_png, "jpeg": _split_jpeg, "webp": _split_webp, "gif": _split_gif, "": _split_plain}
_JOIN = {"png": _join_png, "jpeg": _join_jpeg, "webp": _join_webp, "gif": _join_plain, "": _join_plain}
