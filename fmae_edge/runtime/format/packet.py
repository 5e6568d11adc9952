"""Packets: whole images in as many bytes as one radio frame carries. spec/format.md specifies them.

A packet has 4 bytes in addition to its images, header and check code, and can be decoded without the others.
"""

from binascii import crc_hqx
from typing import NamedTuple

from fmae_edge.runtime.arguments import as_bytes, as_integer
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.errors import ArgumentError, InputError

SUFFIX = ".fmpk"
MIN_PACKET_BYTES, MAX_PACKET_BYTES = 16, 1024
MAX_SET_IMAGES = 4096  # in all packets together: the header has 12 bits for the number of an image
MAX_PACKET_IMAGES = 255  # bounds the time that a hostile packet takes
OWN_QUALITIES = 0  # in place of a quality: each image names its own
_QUALITY_BITS = 4
_HEADER_BYTES, _CHECK_BYTES = 2, 2
PACKET_OVERHEAD = _HEADER_BYTES + _CHECK_BYTES


class PacketFrame(NamedTuple):
    """A packet whose check code matches: the number of its first image, their quality, and their message.

    `quality` is OWN_QUALITIES if each image names its own.
    """

    first: int
    quality: int
    message: bytes


def as_packet_bytes(packet_bytes: object) -> int:
    """Return the size of packets. Raises ArgumentError if it is not an integer from 16 to 1,024."""
    number = as_integer("packet_bytes", packet_bytes)
    if not MIN_PACKET_BYTES <= number <= MAX_PACKET_BYTES:
        raise ArgumentError(
            "packet_bytes", f"is {number}; expected an integer from {MIN_PACKET_BYTES} to {MAX_PACKET_BYTES}"
        )
    return number


def pack_packet(frame: PacketFrame, bundle_id: str) -> bytes:
    """Return the bytes of a packet for the bundle with `bundle_id`, in hexadecimal."""
    header = (frame.first << _QUALITY_BITS | frame.quality).to_bytes(_HEADER_BYTES, "big")
    return header + _check(header, frame.message, bundle_id) + frame.message


def unpack_packet(content: object, bundle_id: str) -> PacketFrame:
    """Parse and check the bytes of a packet; zero bytes at its end are ignored.

    Raises InputError if they are too short or too long, or if the check code does not match: they are damaged, or
    another bundle made them.
    """
    packet = as_bytes(content, "a packet")
    if len(packet) < PACKET_OVERHEAD:
        raise InputError(f"has {len(packet)} bytes; a packet has at least {PACKET_OVERHEAD}")
    if len(packet) > MAX_PACKET_BYTES:
        raise InputError(f"has {len(packet)} bytes; a packet has at most {MAX_PACKET_BYTES}")
    header, message = packet[:_HEADER_BYTES], packet[PACKET_OVERHEAD:].rstrip(b"\0")
    if packet[_HEADER_BYTES:PACKET_OVERHEAD] != _check(header, message, bundle_id):
        raise InputError(
            f"its check code does not match: it is damaged, not a packet, or not made by bundle {bundle_id}"
        )
    first, quality = int.from_bytes(header, "big") >> _QUALITY_BITS, header[-1] & (1 << _QUALITY_BITS) - 1
    if quality > QUALITIES:
        raise InputError(f"corrupted: its quality is {quality}, which the format does not define")
    return PacketFrame(first, quality, message)


def _check(header: bytes, message: bytes, bundle_id: str) -> bytes:
    """Return the CRC-16 of the full bundle id, the header and the message."""
    return crc_hqx(bytes.fromhex(bundle_id) + header + message, 0).to_bytes(_CHECK_BYTES, "big")
