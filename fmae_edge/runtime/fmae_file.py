"""The .fmae file: payloads of the entropy coder with what it takes to read them. docs/format.md specifies it.

A file of one image has 7 bytes around its payload; a file of many has its header once and about 5 bits
an image, from which the place of each payload follows without decoding another.
"""

from array import array
from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arrays import slices
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.file_names import as_names
from fmae_edge.runtime.manifest import QUALITIES
from fmae_edge.runtime.payloads import Payloads

SUFFIX = ".fmae"
VERSION = 1
_MAGIC = 0xFAE
_START_BYTES = 3  # magic, version, and one byte of quality and kind
_ID_BYTES, _MANY_ID_BYTES = 2, 4
_CHECK_BYTES, _PAYLOAD_CHECK_BYTES = 2, 4
_QUALITY_BITS = 4
_MANY, _NAMED, _RESERVED = 0x80, 0x10, 0x60
_LENGTH_MODULUS = 8  # a lone payload's length is told by this much, so that most cuts are seen as cuts
_MAX_LOW_BITS = 15
_MAX_VARINT_BYTES = 5
MAX_IMAGES = 1 << 20
_MAX_PAYLOAD_BYTES = 65535
# A latent takes four bytes of a payload at most, and a payload ends with one more
MAX_LATENTS = (_MAX_PAYLOAD_BYTES - 1) // 4
_BYTES_AT_ONCE = 1 << 16  # of unary numbers, eight times as much when unpacked


@dataclass(frozen=True)
class FmaeFile:
    """What a .fmae file holds: `names` if they were kept; `single` if it is one image and not a stack of one."""

    quality: int
    payloads: Payloads
    names: tuple[str, ...] | None
    single: bool


def is_fmae(content: bytes) -> bool:
    """Whether a file's bytes begin as those of a .fmae file do, of whatever version."""
    return len(content) >= _START_BYTES and content[0] << 4 | content[1] >> 4 == _MAGIC


def pack_one(payload: bytes, quality: int, bundle_id: str) -> bytes:
    """Return the file of one image; `bundle_id` is the bundle's, in hexadecimal."""
    kind = quality | len(payload) % _LENGTH_MODULUS << _QUALITY_BITS
    start = _start(kind) + bytes.fromhex(bundle_id)[:_ID_BYTES]
    return start + _check(start + payload, bundle_id) + payload


def pack_many(
    payloads: Iterable[bytes], quality: int, bundle_id: str, names: Sequence[str] | None = None
) -> bytes:
    """Return the file of a stack, MAX_IMAGES at most, with a name each or none: `as_names` has checked them."""
    body = bytearray()
    lengths = array("I")
    for payload in payloads:
        body += payload
        lengths.append(len(payload))
    start = _start(quality | _MANY | (_NAMED if names is not None else 0))
    start += bytes.fromhex(bundle_id)[:_MANY_ID_BYTES]
    index = _varint(len(lengths)) + _pack_lengths(lengths)
    if names is not None:
        listed = "\0".join(names).encode()
        index += _varint(len(listed)) + listed
    checked = start + crc32(body).to_bytes(_PAYLOAD_CHECK_BYTES, "big") + index
    return start + _check(checked, bundle_id) + checked[len(start) :] + body


def unpack(content: bytes, bundle_id: str) -> FmaeFile:
    """Return what the bytes of a file hold, for the bundle with `bundle_id`.

    Raises InputError if they are no .fmae file, of a newer version, made by another bundle, truncated or
    corrupted: each says which.
    """
    if not is_fmae(content):
        raise InputError("not a .fmae file")
    if content[1] & 15 != VERSION:
        raise InputError(
            f"version {content[1] & 15} of the .fmae format, and this fmae-edge reads version {VERSION}: "
            "upgrade fmae-edge"
        )
    many = bool(content[2] & _MANY)
    if not 1 <= content[2] & 15 <= QUALITIES or (many and content[2] & _RESERVED):
        raise InputError("corrupted, its third byte is none that this version has")
    id_end = _START_BYTES + (_MANY_ID_BYTES if many else _ID_BYTES)
    if len(content) < id_end + _CHECK_BYTES + (_PAYLOAD_CHECK_BYTES if many else 0):
        raise InputError("truncated within its header")
    made_by = content[_START_BYTES:id_end].hex()
    if not bundle_id.startswith(made_by):
        raise InputError(
            f"made by the bundle whose id begins with {made_by}, and this is bundle {bundle_id}: "
            "decompress it with the bundle that compressed it"
        )
    return (_unpack_many if many else _unpack_one)(content, id_end, bundle_id)


def _unpack_one(content: bytes, id_end: int, bundle_id: str) -> FmaeFile:
    check, payload = content[id_end : id_end + _CHECK_BYTES], content[id_end + _CHECK_BYTES :]
    quality, length = content[2] & 15, content[2] >> _QUALITY_BITS
    if len(payload) > _MAX_PAYLOAD_BYTES or check != _check(content[:id_end] + payload, bundle_id):
        if len(payload) % _LENGTH_MODULUS != length:
            raise InputError("truncated, or with bytes added: its payload has not the length it was given")
        raise InputError("corrupted, its check code does not match")
    return FmaeFile(quality, Payloads(memoryview(payload), np.array([len(payload)])), None, single=True)


def _unpack_many(content: bytes, id_end: int, bundle_id: str) -> FmaeFile:
    check_end = id_end + _CHECK_BYTES
    reader = _Reader(content, check_end + _PAYLOAD_CHECK_BYTES)
    try:
        lengths = _read_lengths(reader)
        listed = reader.take(reader.varint()) if content[2] & _NAMED else None
    except EOFError:
        raise InputError("truncated or corrupted within its header") from None
    if content[id_end:check_end] != _check(content[:id_end] + content[check_end : reader.at], bundle_id):
        raise InputError("corrupted, the check code of its header does not match")
    body = memoryview(content)[reader.at :]
    needed = int(lengths.sum())
    if len(body) < needed:
        raise InputError(f"truncated, it has {len(body)} of {needed} bytes of payload")
    if content[check_end : check_end + _PAYLOAD_CHECK_BYTES] != crc32(body).to_bytes(_PAYLOAD_CHECK_BYTES, "big"):
        raise InputError("corrupted, the check code of its payload does not match")
    if len(body) > needed:
        raise InputError(f"corrupted, it has {len(body) - needed} bytes behind its payload")
    payloads = Payloads(body, lengths)
    names = None
    if listed is not None:
        try:
            names = tuple(as_names(listed.decode().split("\0") if payloads else [], len(payloads)))
        except ValueError as error:  # a UnicodeDecodeError or an InputError
            raise InputError(f"holds names that are none ({error})") from None
    return FmaeFile(content[2] & 15, payloads, names, single=False)


def _start(kind: int) -> bytes:
    return bytes([_MAGIC >> 4, (_MAGIC & 15) << 4 | VERSION, kind])


def _check(checked: bytes, bundle_id: str) -> bytes:
    """Return the CRC-16 of the whole bundle id and `checked`: an id that only begins alike does not match."""
    return crc_hqx(bytes.fromhex(bundle_id) + checked, 0).to_bytes(_CHECK_BYTES, "big")


def _varint(number: int) -> bytes:
    """Return seven bits a byte, the lowest first; the top bit says that more follow."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


class _Reader:
    """Takes a header apart. Raises EOFError where the bytes end before it does, or hold what no header has."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self.at = content, at

    def take(self, count: int) -> bytes:
        if count > len(self._content) - self.at:
            raise EOFError
        self.at += count
        return self._content[self.at - count : self.at]

    def varint(self) -> int:
        number = 0
        for place in range(_MAX_VARINT_BYTES):
            (byte,) = self.take(1)
            number |= (byte & 127) << 7 * place
            if byte < 128:
                return number
        raise EOFError

    def unary(self, count: int, largest: int) -> NDArray[np.int64]:
        """Take `count` numbers up to `largest`, each as so many zero bits and a one; zeros fill the last byte."""
        if count > 8 * (len(self._content) - self.at):  # before memory is taken for so many
            raise EOFError
        numbers = np.empty(count, np.int64)
        packed = np.frombuffer(self._content, np.uint8)[self.at :][: -(-count * (largest + 1) // 8)]
        done, last = 0, -1
        for part in slices(len(packed), _BYTES_AT_ONCE):
            ones = 8 * part.start + np.flatnonzero(np.unpackbits(packed[part]))[: count - done]
            numbers[done : done + len(ones)] = np.diff(ones, prepend=last) - 1
            done += len(ones)
            if done == count:
                self.take(int(ones[-1]) // 8 + 1)
                return numbers
            last = int(ones[-1]) if len(ones) else last
        raise EOFError


def _pack_lengths(lengths: "array[int]") -> bytes:
    """Return Rice codes of what the lengths are above the shortest: all low bits, then all high parts in unary."""
    if not lengths:
        return b""
    shortest = min(lengths)
    above = np.asarray(lengths) - shortest
    low_bits = min(range(_MAX_LOW_BITS + 1), key=lambda bits: int(bits * len(above) + (above >> bits).sum()))
    low = np.empty((len(above), low_bits), np.uint8)
    for bit in range(low_bits):
        low[:, bit] = above >> (low_bits - 1 - bit) & 1
    high = np.zeros(int((above >> low_bits).sum()) + len(above), np.uint8)
    high[np.cumsum((above >> low_bits) + 1) - 1] = 1
    packed = np.packbits(low.ravel()).tobytes() + np.packbits(high).tobytes()
    return _varint(shortest) + bytes([low_bits]) + packed


def _read_lengths(reader: _Reader) -> NDArray[np.int64]:
    count = reader.varint()
    if count > MAX_IMAGES:
        raise EOFError
    if not count:
        return np.empty(0, np.int64)
    shortest = reader.varint()
    if shortest > _MAX_PAYLOAD_BYTES:
        raise EOFError
    (low_bits,) = reader.take(1)
    if low_bits > _MAX_LOW_BITS:
        raise EOFError
    packed = reader.take(-(-count * low_bits // 8))
    low = np.unpackbits(np.frombuffer(packed, np.uint8), count=count * low_bits).reshape(count, low_bits)
    lengths = reader.unary(count, _MAX_PAYLOAD_BYTES >> low_bits)
    for bits in low.T:
        lengths = lengths << 1 | bits
    return lengths + shortest
