"""Rewrite headers of .fmae and .npy files with numbers and names that no writer writes."""

import zlib
from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from fuzz.lossless import lossless_payload

Change = Callable[[bytes], bytes]
_START_BYTES, _CHECK_BYTES, _BODY_CHECK_BYTES = 3, 2, 4
_MANY, _NAMED, _QUALITY = 0x80, 0x10, 0x0F
_COUNTS = (
    *(0, 1, 2, 3, 7, 8, 9, 64, 255, 1024, 1025, 65_535, 65_536),
    *(1 << 20, (1 << 20) + 1, 1 << 31, (1 << 35) - 1),
)
_NAMES = (
    *(
        "",
        " ",
        ".",
        "..",
        "../x",
        "/etc/x",
        "a/b",
        "a//b",
        "a/../b",
        "a/",
        "a\\b",
        "\\\\server\\x",
        "-rf",
        "~",
        "*",
        "a|b",
    ),
    *("C:evil", "a:b", "CON", "con", "nul.txt", "COM1", "LPT\u00b9", "CONIN$", "aux.tar.gz", "dot.", "space "),
    *("x" * 200, "x" * 201, "\u00e9" * 100, "\u00e9" * 101, "a\nb", "\x7f", "\x85", "\x1b[2J", "\u2028"),
    *("\u202egnp.exe", "\U0001fae8", "e\u0301", "\u00e9", "\ufeff", "\ud7ff", "\ud800", "\U0010ffff", "\ue000"),
    *("\ufdd0", "\u0130", "\u0131", "\ufb01", "\u540d"),
)


@dataclass(frozen=True)
class Stack:
    """The index of a stack as numbers. Each number has `pad` more bytes than it needs."""

    start: bytes
    count: int
    shortest: int
    low_bits: int
    packed: bytes
    names: bytes | None
    body: bytes
    pad: int = 0


def mutate_fmae(content: bytes, change: Change, random: Random, bundle_id: str) -> bytes:
    """Change a file's header or payload, and correct its id and check codes in seven of eight calls."""
    right = random.randrange(8) > 0
    if len(content) > _START_BYTES and not content[2] & _QUALITY and random.randrange(2):
        return _with_lossless_images(content, random, bundle_id)
    stack = parse_stack(content) if random.randrange(4) else None
    if stack is None:
        changed = change(content)
        if random.randrange(16) == 0 and len(changed) > 1:
            changed = changed[:1] + bytes([changed[1] & 0xF0 | random.randrange(16)]) + changed[2:]
        return repair_fmae(changed, bundle_id) if right else changed
    for _ in range(random.choice((1, 1, 2, 3))):
        stack = _changed(stack, change, random)
    return stack_bytes(stack, bundle_id if right else "00" * 8)


def _changed(stack: Stack, change: Change, random: Random) -> Stack:
    match random.randrange(12):
        case 0:
            return replace(stack, count=random.choice(_COUNTS))
        case 1:
            return replace(stack, shortest=random.choice(_COUNTS))
        case 2:
            return replace(stack, low_bits=random.choice((*range(17), 255)))
        case 3:
            return replace(stack, packed=change(stack.packed))
        case 4:  # all of the shortest length, in as few bytes as possible
            count = 1 << random.randrange(21)
            return replace(stack, count=count, low_bits=0, packed=b"\xff" * -(-count // 8))
        case 5:
            lengths = [random.choice((0, 1, 2, 5, 100)) for _ in range(random.randrange(1, 20))]
            return _with_payloads(stack, [random.randbytes(length) for length in lengths])
        case 6:
            names = [random.choice(_NAMES) for _ in range(min(stack.count, 100))]
            names += [str(number) for number in range(len(names), min(stack.count, 1 << 16))]
            start = bytes([*stack.start[:2], stack.start[2] | _NAMED])
            return replace(stack, start=start, names="\0".join(names).encode("utf-8", "surrogatepass"))
        case 7:
            return replace(stack, names=change(stack.names or b"x"))
        case 8:
            return replace(stack, pad=random.choice((1, 2, 4, 9)))
        case 9:
            version = stack.start[1] & 0xF0 | random.choice((0, 1, 1, 2, 2, 3, 3, 4, 15))
            return replace(stack, start=bytes([stack.start[0], version, stack.start[2]]))
        case 10:
            kind = stack.start[2] ^ 1 << random.randrange(8)
            return replace(stack, start=stack.start[:2] + bytes([kind]))
        case _:
            return replace(stack, body=change(stack.body))


def _with_payloads(stack: Stack, payloads: list[bytes]) -> Stack:
    high = "".join("0" * len(payload) + "1" for payload in payloads)
    packed = int(high.ljust(-(-len(high) // 8) * 8, "0"), 2).to_bytes(-(-len(high) // 8))
    body = b"".join(payloads)
    return replace(stack, count=len(payloads), shortest=0, low_bits=0, packed=packed, body=body, names=None)


def _with_lossless_images(content: bytes, random: Random, bundle_id: str) -> bytes:
    """Return a file of version 3 with other lossless images, and in a stack with other qualities too."""
    stack = parse_stack(content)
    if stack is None:
        payload = lossless_payload(random)
        start = content[:2] + bytes([len(payload) % 8 << 4])
        return repair_fmae(start + bytes(4) + payload, bundle_id)
    payloads = []
    for _ in range(random.randrange(1, 12)):
        quality = random.choice((0, 0, 0, 1, 5, 9, 10, 255))
        rest = random.randbytes(random.choice((0, 5, 20, 256, 300))) if quality else lossless_payload(random)
        payloads.append(bytes([quality]) + rest[: 1 << 12] if random.randrange(16) else b"")
    start = stack.start[:2] + bytes([_MANY])
    return stack_bytes(replace(_with_payloads(stack, payloads), start=start), bundle_id)


def repair_fmae(content: bytes, bundle_id: str) -> bytes:
    """Return a .fmae file with the id of a bundle and check codes that fit its content."""
    if len(content) < _START_BYTES:
        return content
    if content[2] & _MANY:
        stack = parse_stack(content)
        return stack_bytes(stack, bundle_id) if stack else content
    start = content[:_START_BYTES] + bytes.fromhex(bundle_id)[:2]
    payload = content[len(start) + _CHECK_BYTES :]
    return start + _check(start + payload, bundle_id) + payload


def parse_stack(content: bytes) -> Stack | None:
    """Return the parts of a stack, or None for other files and for files that end within the header."""
    at = _START_BYTES + 4 + _CHECK_BYTES + _BODY_CHECK_BYTES
    if len(content) <= at or not content[2] & _MANY:
        return None
    count, at = _number(content, at)
    shortest = low_bits = packed_bytes = 0
    if count:
        shortest, at = _number(content, at)
        low_bits = content[at] if at < len(content) else 0
        at += 1
        packed_bytes = -(-count * low_bits // 8)
        ones = 0
        while ones < count and at + packed_bytes < len(content):
            ones += content[at + packed_bytes].bit_count()
            packed_bytes += 1
    packed, at = content[at : at + packed_bytes], at + packed_bytes
    names = None
    if content[2] & _NAMED:
        size, at = _number(content, at)
        names, at = content[at : at + size], at + size
    if at > len(content):
        return None
    return Stack(content[:_START_BYTES], count, shortest, low_bits, packed, names, content[at:])


def stack_bytes(stack: Stack, bundle_id: str) -> bytes:
    """Return the bytes of a stack, with its check codes."""
    index = _varint(stack.count, stack.pad)
    if stack.count:
        index += _varint(stack.shortest, stack.pad) + bytes([stack.low_bits]) + stack.packed
    if stack.names is not None:
        index += _varint(len(stack.names), stack.pad) + stack.names
    start = stack.start + bytes.fromhex(bundle_id)[:4]
    checked = zlib.crc32(stack.body).to_bytes(_BODY_CHECK_BYTES) + index
    return start + _check(start + checked, bundle_id) + checked + stack.body


def _check(checked: bytes, bundle_id: str) -> bytes:
    return crc_hqx(bytes.fromhex(bundle_id) + checked, 0).to_bytes(_CHECK_BYTES)


def _varint(number: int, pad: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127)
        number >>= 7
    groups += [number, *[0] * pad]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def _number(content: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place, byte in enumerate(content[at : at + 5]):
        number |= (byte & 127) << 7 * place
        if byte < 128:
            return number, at + place + 1
    return number, at + 5


def mutate_packet(content: bytes, change: Change, random: Random, bundle_id: str) -> bytes:
    """Change a packet's header or message, and correct its check code in seven of eight calls."""
    header, message = content[:2].ljust(2, b"\0"), content[4:]
    match random.randrange(8):
        case 0:
            number = random.choice((0, 1, 2, 255, 4000, 4094, 4095))
            header = (number << 4 | header[1] & 15).to_bytes(2)
        case 1:
            header = bytes([header[0], header[1] & 0xF0 | random.randrange(16)])
        case 2:  # ends in images that take few bits
            message = message[: random.randrange(64)] + bytes(
                [random.choice((0, 127, 128, 255))]
            ) * random.randrange(99)
        case 3:
            return change(content)
        case _:
            message = change(message)
    kept = message.rstrip(b"\0")
    check = _check(header + kept, bundle_id) if random.randrange(8) else content[2:4]
    return header + check + message


_DTYPES = (
    *("<f4", ">f4", "<f2", ">f2", "|i1", "<f8", "|b1", "<i8"),
    *("|O", "<U1", "|S0", "<c8", "|V4", "<M8[s]", "f4,i1"),
)
_SHAPES = (
    *("(64,)", "(1, 64)", "(3, 64)", "(0, 64)", "(64, 0)", "()", "(-1, 64)", "(True,)", "(64.0,)", "(1, 1, 64)"),
    *(
        "64",
        "[64]",
        "('64',)",
        "(64,)*9",
        "(1099511627776, 0)",
        "(9223372036854775808,)",
        "(4294967296, 4294967296)",
    ),
)
_LITERALS = (
    "{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}",
    "{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, 'more': 1}}",
    "{{'descr': [('a', '{dtype}')], 'fortran_order': {order}, 'shape': {shape}}}",
    "{{'descr': '{dtype}', 'shape': {shape}}}",
    "dict(descr='{dtype}', fortran_order={order}, shape={shape})",
    "{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}L}}",
    "{{'descr': '\\d{dtype}', 'fortran_order': {order} is 1, 'shape': {shape}}}",
    "{{'descr': ('{dtype}', (2,)), 'fortran_order': {order}, 'shape': {shape}}}",
    "[" * 90 + "{dtype}{order}{shape}",
    "{shape}" + "-" * 2000 + "1{dtype}{order}",
)


def mutate_npy(content: bytes, change: Change, random: Random) -> bytes:
    """Write another header in front of the data, or change bytes and correct the length of the header."""
    if random.randrange(2):
        changed = change(content)
        return repair_npy(changed) if random.randrange(8) else changed
    literal = random.choice(_LITERALS[:1] * 4 + _LITERALS).format(
        dtype=random.choice(_DTYPES),
        order=random.choice(("True", "False", "0", "None")),
        shape=random.choice(_SHAPES),
    )
    header = literal.encode("utf-8") + b" " * random.randrange(64) + b"\n"
    version = random.choice(((1, 0), (1, 0), (2, 0), (3, 0), (9, 9), (0, 0), (1, 1)))
    size = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    body = content[10 + int.from_bytes(content[8:10], "little") :]
    if random.randrange(2):
        body = bytes(random.choice((0, 64, 128, 256, 512, 768)))
    return b"\x93NUMPY" + bytes(version) + size + header + body


def repair_npy(content: bytes) -> bytes:
    """Return a .npy file with the correct header length: the header ends with the first line."""
    end = content.find(b"\n", 10) + 1
    size = end - 10
    return content[:8] + size.to_bytes(2, "little") + content[10:] if 0 < size < 1 << 16 else content
