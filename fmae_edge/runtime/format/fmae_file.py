"""The .fmae file: payloads of the entropy coder with what it takes to read them. docs/format.md specifies it.

A file of one image has 7 bytes around its payload. A file of many has one header, and about 5 bits per image that
say where each payload begins, so one image can be decoded without the others.
"""

from array import array
from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arrays import BytesLike, slices
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.image_names import read_names
from fmae_edge.runtime.format.payloads import Payloads

SUFFIX = ".fmae"
_VERSION, _PATHS_VERSION = 1, 2  # 2: names may be relative paths; all else is as in 1
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
_MAX_STACK_BYTES = 1 << 30  # a kilobyte for each of MAX_IMAGES
_BYTES_AT_ONCE = 1 << 16  # of unary numbers, eight times as much when unpacked


@dataclass(frozen=True)
class FmaeFile:
    """A .fmae file that was parsed and checked for one bundle: one image if `single`, else a stack.

    `bundle_id` is that bundle's whole id, `file_bytes` the size of the file. `listed` are the names as the file
    has them, not checked yet.
    """

    version: int
    bundle_id: str
    quality: int
    payloads: Payloads
    single: bool
    file_bytes: int
    listed: memoryview | None = None

    @property
    def names(self) -> tuple[str, ...] | None:
        """The images' names, None if the file has none.

        Raises InputError if docs/format.md refuses them. The images can be decoded all the same.
        """
        if self.listed is None:
            return None
        try:
            return read_names(bytes(self.listed), len(self.payloads), paths=self.version >= _PATHS_VERSION)
        except InputError as error:
            raise InputError(f"contains invalid image names: {error}") from None


FmaeLike = BytesLike | FmaeFile


def is_fmae(content: bytes) -> bool:
    """Whether a file's bytes begin as those of a .fmae file do, of whatever version."""
    return len(content) >= _START_BYTES and content[0] << 4 | content[1] >> 4 == _MAGIC


def as_bytes(content: object) -> bytes:
    """Return what any bytes-like object holds, whatever its strides. Raises InputError for anything else."""
    if isinstance(content, bytes):
        return content
    try:
        return memoryview(content).tobytes()  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not a buffer, or one that was released
        raise InputError(f"expected the bytes of a .fmae file, got {type(content).__name__}") from None


def max_file_bytes(start: bytes) -> int:
    """Return how many bytes the .fmae file that begins with `start` may have: a stack a gigabyte."""
    if start[1] & 15 <= _PATHS_VERSION and not start[2] & _MANY:
        return _START_BYTES + _ID_BYTES + _CHECK_BYTES + _MAX_PAYLOAD_BYTES
    return _MAX_STACK_BYTES


def pack_one(payload: bytes, quality: int, bundle_id: str) -> bytes:
    """Return the file of one image; `bundle_id` is the bundle's, in hexadecimal.

    Raises InputError if the payload has more than 65,535 bytes.
    """
    _require_length(len(payload))
    kind = quality | len(payload) % _LENGTH_MODULUS << _QUALITY_BITS
    start = _start(_VERSION, kind) + bytes.fromhex(bundle_id)[:_ID_BYTES]
    return start + _check(start + payload, bundle_id) + payload


def pack_many(
    payloads: Iterable[bytes], quality: int, bundle_id: str, names: Sequence[str] | None = None
) -> bytes:
    """Return the file of a stack of at most MAX_IMAGES, with a name for each image or none.

    `as_names` has checked the names. Raises InputError if a payload has more than 65,535 bytes.
    """
    body = bytearray()
    lengths = array("I")
    for payload in payloads:
        _require_length(len(payload))
        body += payload
        lengths.append(len(payload))
    listed = None if names is None else "\0".join(names).encode()
    version = _VERSION if listed is None or b"/" not in listed else _PATHS_VERSION
    start = _start(version, quality | _MANY | (0 if listed is None else _NAMED))
    start += bytes.fromhex(bundle_id)[:_MANY_ID_BYTES]
    index = _varint(len(lengths)) + _pack_lengths(lengths)
    if listed is not None:
        index += _varint(len(listed)) + listed
    checked = start + crc32(body).to_bytes(_PAYLOAD_CHECK_BYTES, "big") + index
    return start + _check(checked, bundle_id) + checked[len(start) :] + body


def unpack(content: bytes, bundle_id: str, max_images: int = MAX_IMAGES) -> FmaeFile:
    """Parse and check the bytes of a file, for the bundle with `bundle_id`.

    Raises InputError, each with its own sentence, if they are not a .fmae file, of a newer version, made by
    another bundle, truncated, corrupted, or claim more than `max_images` images: no memory is taken for those.
    """
    if not is_fmae(content):
        raise InputError("not a .fmae file")
    version, kind = content[1] & 15, content[2]
    if not _VERSION <= version <= _PATHS_VERSION:
        raise InputError(
            f"version {version} of the .fmae format, and this fmae-edge reads versions {_VERSION} and "
            f"{_PATHS_VERSION}: upgrade fmae-edge"
        )
    many = bool(kind & _MANY)
    if not 1 <= kind & 15 <= QUALITIES or (many and kind & _RESERVED):
        raise InputError(f"corrupted: byte 3 is {kind:#04x}, which format version {version} does not define")
    id_end = _START_BYTES + (_MANY_ID_BYTES if many else _ID_BYTES)
    if len(content) < id_end + _CHECK_BYTES + (_PAYLOAD_CHECK_BYTES if many else 0):
        raise InputError("truncated within its header")
    made_by = content[_START_BYTES:id_end].hex()
    if not bundle_id.startswith(made_by):
        raise InputError(
            f"made by the bundle whose id begins with {made_by}, and this is bundle {bundle_id}: "
            "decompress it with the bundle that compressed it"
        )
    if not many:
        require_few(1, max_images)
        return _unpack_one(content, id_end, bundle_id)
    return _unpack_many(content, id_end, bundle_id, max_images)


def _unpack_one(content: bytes, id_end: int, bundle_id: str) -> FmaeFile:
    check_end = id_end + _CHECK_BYTES
    payload = memoryview(content)[check_end:]
    quality, length = content[2] & 15, content[2] >> _QUALITY_BITS
    if len(payload) % _LENGTH_MODULUS != length:
        raise InputError("truncated, or with bytes added: its payload length does not match its header")
    _require_length(len(payload))
    if content[id_end:check_end] != _check(content[:id_end], bundle_id, payload):
        raise InputError("corrupted: its check code does not match")
    payloads = Payloads(payload, np.array([len(payload)]))
    return FmaeFile(content[1] & 15, bundle_id, quality, payloads, single=True, file_bytes=len(content))


def _unpack_many(content: bytes, id_end: int, bundle_id: str, max_images: int) -> FmaeFile:
    check_end = id_end + _CHECK_BYTES
    reader = _Reader(content, check_end + _PAYLOAD_CHECK_BYTES)
    try:
        lengths = _read_lengths(reader, max_images)
        listed = reader.take(reader.varint()) if content[2] & _NAMED else None
    except EOFError:
        raise InputError("truncated or corrupted within its header") from None
    view = memoryview(content)  # names may be long, and are not copied until someone asks for them
    if content[id_end:check_end] != _check(content[:id_end], bundle_id, view[check_end : reader.at]):
        raise InputError("corrupted: the check code of its header does not match")
    body = view[reader.at :]
    needed = int(lengths.sum())
    if len(body) < needed:
        raise InputError(f"truncated: it has {len(body)} of {needed} bytes of payload")
    if content[check_end : check_end + _PAYLOAD_CHECK_BYTES] != crc32(body).to_bytes(_PAYLOAD_CHECK_BYTES, "big"):
        raise InputError("corrupted: the check code of its payloads does not match")
    if len(body) > needed:
        raise InputError(f"corrupted: it has {len(body) - needed} bytes after its payloads")
    return FmaeFile(
        content[1] & 15,
        bundle_id,
        content[2] & 15,
        Payloads(body, lengths),
        single=False,
        file_bytes=len(content),
        listed=listed,
    )


def _require_length(payload_bytes: int) -> None:
    if payload_bytes > _MAX_PAYLOAD_BYTES:
        raise InputError(f"a payload has {payload_bytes} bytes; a .fmae file allows {_MAX_PAYLOAD_BYTES}")


def require_few(images: int, max_images: int) -> None:
    """Raise InputError if a file has more than `max_images` images."""
    if images > max_images:
        raise InputError(f"claims {images} images, more than max_images={max_images}")


def _start(version: int, kind: int) -> bytes:
    return bytes([_MAGIC >> 4, (_MAGIC & 15) << 4 | version, kind])


def _check(checked: bytes, bundle_id: str, rest: bytes | memoryview = b"") -> bytes:
    """Return the CRC-16 of the whole bundle id, `checked` and `rest`.

    An id that only begins alike does not match.
    """
    return crc_hqx(rest, crc_hqx(bytes.fromhex(bundle_id) + checked, 0)).to_bytes(_CHECK_BYTES, "big")


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
        self._content, self.at = memoryview(content), at

    def take(self, count: int) -> memoryview:
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


def _read_lengths(reader: _Reader, max_images: int = MAX_IMAGES) -> NDArray[np.int64]:
    count = reader.varint()
    if count > MAX_IMAGES:
        raise EOFError
    require_few(count, max_images)
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
    lengths += shortest
    if lengths.max() > _MAX_PAYLOAD_BYTES:
        raise EOFError
    return lengths
