"""Pack payloads of the entropy coder as a .fmae file, and parse such a file. spec/format.md specifies the format.

A file of a single image has 7 bytes in addition to its payload. A file of a stack has one header, whose index says
where each payload begins, so that one image can be decoded without the others.
"""

from array import array
from binascii import crc32, crc_hqx
from collections.abc import Iterable, Sequence

import numpy as np

from fmae_edge.runtime.arguments import BytesLike, as_bytes, as_integer
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_contents import LOSSLESS_VERSION, PATHS_VERSION, FmaeFile
from fmae_edge.runtime.format.payload_index import (
    MAX_IMAGES,
    HeaderReader,
    Payloads,
    max_payload_bytes,
    pack_index,
    read_index,
    require_images,
    require_payload_bytes,
    varint,
)

SUFFIX = ".fmae"
_VERSION = 1  # of files that need no later one
_MAGIC = 0xFAE
_START_BYTES = 3  # magic, version, and one byte of quality and kind
_ID_BYTES, _MANY_ID_BYTES = 2, 4
_CHECK_BYTES, _PAYLOAD_CHECK_BYTES = 2, 4
MOST_START_BYTES = _START_BYTES + _MANY_ID_BYTES + _CHECK_BYTES + _PAYLOAD_CHECK_BYTES  # that `made_by` reads
SINGLE_HEADER_BYTES = _START_BYTES + _ID_BYTES + _CHECK_BYTES  # of a file of one image: all but its payload
_QUALITY_BITS = 4
_MANY, _NAMED, _RESERVED = 0x80, 0x10, 0x60
_LENGTH_MODULUS = 8  # a single image's header has its payload's length modulo 8: most truncations show
_MAX_STACK_BYTES = 1 << 30  # a kilobyte for each of MAX_IMAGES


FmaeLike = BytesLike | FmaeFile


def is_fmae(content: bytes) -> bool:
    """Return whether the bytes of a file begin like a .fmae file of any version."""
    return len(content) >= _START_BYTES and content[0] << 4 | content[1] >> 4 == _MAGIC


def max_file_bytes(start: bytes) -> int:
    """Return the largest size in bytes of a .fmae file that begins with `start`: a gigabyte for a stack.

    It is that of the largest images that a bundle may have; those of a given bundle take less.
    """
    if start[1] & 15 <= LOSSLESS_VERSION and not start[2] & _MANY:
        return SINGLE_HEADER_BYTES + max_payload_bytes(start[2] & 15)
    return _MAX_STACK_BYTES


def pack_one(payload: bytes, quality: int, bundle_id: str) -> bytes:
    """Return the file of a single image, lossless if `quality` is 0; `bundle_id` is the bundle's, in hexadecimal.

    Raises InputError if the payload has more than 65,535 bytes, or 2^26 + 2 if it is lossless.
    """
    require_payload_bytes(len(payload), quality)
    kind = quality | len(payload) % _LENGTH_MODULUS << _QUALITY_BITS
    start = _start(_VERSION if quality else LOSSLESS_VERSION, kind) + bytes.fromhex(bundle_id)[:_ID_BYTES]
    return start + _check(start + payload, bundle_id) + payload


def pack_many(
    payloads: Iterable[bytes], quality: int, bundle_id: str, names: Sequence[str] | None = None
) -> bytes:
    """Return the file of a stack of at most MAX_IMAGES, with a name for each image or without names.

    With `quality` 0, each payload begins with a byte for the quality of its image. `as_names` has checked the
    names. Raises InputError if a payload is longer than `pack_one` allows.
    """
    body = bytearray()
    lengths = array("I")
    for payload in payloads:
        require_payload_bytes(len(payload), quality)
        body += payload
        lengths.append(len(payload))
    listed = None if names is None else "\0".join(names).encode()
    version = _VERSION if listed is None or b"/" not in listed else PATHS_VERSION
    version = version if quality else LOSSLESS_VERSION
    start = _start(version, quality | _MANY | (0 if listed is None else _NAMED))
    start += bytes.fromhex(bundle_id)[:_MANY_ID_BYTES]
    index = pack_index(lengths)
    if listed is not None:
        index += varint(len(listed)) + listed
    checked = start + crc32(body).to_bytes(_PAYLOAD_CHECK_BYTES, "big") + index
    return start + _check(checked, bundle_id) + checked[len(start) :] + body


def as_fmae_file(content: object, bundle_id: str, max_images: int) -> FmaeFile:
    """Return a parsed file as it is, or parse the bytes of one.

    Raises InputError as `unpack` does, or if the file was parsed for another bundle or `content` is neither.
    """
    if not isinstance(content, FmaeFile):
        return unpack(as_bytes(content, "a .fmae file"), bundle_id, max_images)
    if content.bundle_id != bundle_id:
        raise InputError(
            f"was parsed with bundle {content.bundle_id}, but this codec has bundle {bundle_id}: "
            "decompress it with the codec that parsed it"
        )
    require_images(len(content.payloads), max_images)
    return content


def as_max_images(max_images: object) -> int:
    """Return how many images a file may hold, by default the maximum of the format.

    Raises InputError if `max_images` is not an integer of 0 or more.
    """
    most = MAX_IMAGES if max_images is None else as_integer("max_images", max_images)
    if most < 0:
        raise InputError(f"max_images is {most}; expected 0 or more")
    return most


def unpack(content: bytes, bundle_id: str, max_images: int = MAX_IMAGES) -> FmaeFile:
    """Parse and check the bytes of a file, for the bundle with `bundle_id`.

    Raises InputError if they are not a .fmae file, need a newer fmae-edge, were made by another bundle, are
    truncated or corrupted, or claim more than `max_images` images. Each case has its own message.
    """
    maker = made_by(content)
    many, id_end = bool(content[2] & _MANY), _START_BYTES + len(maker) // 2
    if not bundle_id.startswith(maker):
        raise InputError(
            f"made by the bundle whose id begins with {maker}, but this is bundle {bundle_id}: "
            f"decompress it with {_maker(maker)}"
        )
    if not many:
        require_images(1, max_images)
        return _unpack_one(content, id_end, bundle_id)
    return _unpack_many(content, id_end, bundle_id, max_images)


def made_by(content: bytes) -> str:
    """Return the beginning of the id of the bundle that made a .fmae file: 4 hexadecimal digits, 8 for a stack.

    The first MOST_START_BYTES of the file are enough. Raises InputError if they are not those of a .fmae file, are
    damaged, or need a newer fmae-edge.
    """
    if not is_fmae(content):
        raise InputError("not a .fmae file")
    version, kind = content[1] & 15, content[2]
    if not _VERSION <= version <= LOSSLESS_VERSION:
        raise InputError(
            f"version {version} of the .fmae format, but this fmae-edge reads versions {_VERSION} to "
            f"{LOSSLESS_VERSION}: upgrade fmae-edge"
        )
    many, least = bool(kind & _MANY), 0 if version == LOSSLESS_VERSION else 1
    if not least <= kind & 15 <= QUALITIES or (many and kind & _RESERVED):
        raise InputError(f"corrupted: byte 3 is {kind:#04x}, which format version {version} does not define")
    id_end = _START_BYTES + (_MANY_ID_BYTES if many else _ID_BYTES)
    if len(content) < id_end + _CHECK_BYTES + (_PAYLOAD_CHECK_BYTES if many else 0):
        raise InputError("truncated within its header")
    return content[_START_BYTES:id_end].hex()


def _maker(id_start: str) -> str:
    """Return what to decompress a file with whose bundle has an id that begins like that."""
    from fmae_edge.runtime.bundle.built_in import name_of  # few files are those of another bundle

    name = name_of(id_start)
    if name is None:
        return "the bundle that compressed it"
    return f'the built-in bundle {name}: Codec("{name}") or --bundle {name}'


def _unpack_one(content: bytes, id_end: int, bundle_id: str) -> FmaeFile:
    check_end = id_end + _CHECK_BYTES
    payload = memoryview(content)[check_end:]
    quality, length = content[2] & 15, content[2] >> _QUALITY_BITS
    if len(payload) % _LENGTH_MODULUS != length:
        raise InputError("truncated or with added bytes: its payload length does not match its header")
    require_payload_bytes(len(payload), quality)
    if content[id_end:check_end] != _check(content[:id_end], bundle_id, payload):
        raise InputError("corrupted: its check code does not match")
    payloads = Payloads(payload, np.array([len(payload)]))
    return FmaeFile(content[1] & 15, bundle_id, quality, payloads, single=True, file_bytes=len(content))


def _unpack_many(content: bytes, id_end: int, bundle_id: str, max_images: int) -> FmaeFile:
    check_end = id_end + _CHECK_BYTES
    body_check_end = check_end + _PAYLOAD_CHECK_BYTES
    reader, quality = HeaderReader(content, body_check_end), content[2] & 15
    try:
        lengths = read_index(reader, max_images, max_payload_bytes(quality))
        listed = reader.take(reader.varint()) if content[2] & _NAMED else None
    except EOFError:
        raise InputError("truncated or corrupted within its header") from None
    view = memoryview(content)  # names may be long, and are not copied until they are used
    if content[id_end:check_end] != _check(content[:id_end], bundle_id, view[check_end : reader.at]):
        raise InputError("corrupted: the check code of its header does not match")
    body = view[reader.at :]
    needed = int(lengths.sum())
    if len(body) < needed:
        raise InputError(f"truncated: it has {len(body)} of {needed} bytes of payload")
    if content[check_end:body_check_end] != crc32(body).to_bytes(_PAYLOAD_CHECK_BYTES, "big"):
        raise InputError("corrupted: the check code of its payloads does not match")
    if len(body) > needed:
        raise InputError(f"corrupted: it has {len(body) - needed} bytes after its payloads")
    payloads = Payloads(body, lengths)
    if not quality and (lengths.min(initial=1) < 1 or payloads.first_bytes.max(initial=0) > QUALITIES):
        raise InputError("corrupted: an image has no quality, or one that the format does not define")
    made_with = content[1] & 15
    return FmaeFile(made_with, bundle_id, quality, payloads, single=False, file_bytes=len(content), listed=listed)


def _start(version: int, kind: int) -> bytes:
    return bytes([_MAGIC >> 4, (_MAGIC & 15) << 4 | version, kind])


def _check(checked: bytes, bundle_id: str, more: bytes | memoryview = b"") -> bytes:
    """Return the CRC-16 of the full bundle id, `checked` and `more`.

    The header has only the beginning of the id; another id with the same beginning does not match.
    """
    return crc_hqx(more, crc_hqx(bytes.fromhex(bundle_id) + checked, 0)).to_bytes(_CHECK_BYTES, "big")
