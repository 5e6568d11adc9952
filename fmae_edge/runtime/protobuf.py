"""Walk the protobuf wire format (https://protobuf.dev/programming-guides/encoding).

What the walk does not see, onnxruntime must not see either. Its parser cuts a tag to 32 bits, ends a message
at field 0, and skips groups. So numbers must be written as every serialiser writes them, and field 0 and groups
are refused.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
_TAG_BITS, _SIZE_BITS, _VALUE_BITS = 32, 31, 64

Field = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, int, Field]]:
    """Yield (field number, wire type, value) of one message: an unsigned integer, or bytes.

    Raises ValueError or IndexError if the message is malformed.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at, _TAG_BITS) if message[at] > 0x7F else (message[at], at + 1)
        number, wire_type = tag >> 3, tag & 7
        if not number:
            raise ValueError("field 0")
        if wire_type == VARINT:
            value, at = _varint(message, at, _VALUE_BITS)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, at = _varint(message, at, _SIZE_BITS)
        elif wire_type in (FIXED64, FIXED32):
            size = 8 if wire_type == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if at + size > end:
            raise ValueError("truncated")
        yield number, wire_type, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int, bits: int) -> tuple[int, int]:
    """Return the number at a place and where it ends; raise ValueError if it has more bits, or needless bytes."""
    value = 0
    for shift in range(0, bits, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> bits or (shift and not byte):
                break
            return value, at
    raise ValueError(f"not a number of {bits} bits")
