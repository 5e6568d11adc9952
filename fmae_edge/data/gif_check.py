"""A limit on the blocks of a GIF file up to its second frame, checked before Pillow opens it."""

import struct

from fmae_edge.data.image_limits import Parts

STARTS = (b"GIF87a", b"GIF89a")
_SCREEN_BYTES, _IMAGE_BYTES = 13, 10
_PALETTE = 0x80


def check_gif(content: bytes, where: str) -> None:
    """Raise InputError if a GIF file has more blocks up to its second frame than real files have.

    A truncated or damaged file passes: Pillow reports it. `where` names the file.
    """
    if len(content) < _SCREEN_BYTES:
        return
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    parts = Parts(where, width, height)
    at = _SCREEN_BYTES + _palette_bytes(flags)
    frames = 0
    while at < len(content) and frames < 2:
        parts.take()
        block, at = content[at : at + 1], at + 1
        if block == b";":
            return
        if block == b"!":
            at = _skip_blocks(content, at + 1, parts)
        elif block == b",":
            frames += 1
            if frames < 2 and at + _IMAGE_BYTES < len(content):
                flags = content[at + 8]
                at = _skip_blocks(content, at + _IMAGE_BYTES + _palette_bytes(flags), parts)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _PALETTE else 0


def _skip_blocks(content: bytes, at: int, parts: Parts) -> int:
    """Return where the blocks that start at `at` end. Each starts with its length, the last one with 0."""
    while at < len(content) and content[at]:
        parts.take()
        at += 1 + content[at]
    return at + 1
