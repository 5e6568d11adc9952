"""Refuse ONNX graphs that keep tensors in other files.

A graph with external data makes onnxruntime read whatever path the graph names, and those bytes are
covered by no hash of the manifest. The check walks the protobuf wire format
(https://protobuf.dev/programming-guides/encoding) along the few fields that can hold a tensor
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), because the onnx package is no dependency of
the runtime.

What the check does not see, onnxruntime must not see either. Its parser cuts a tag to 32 bits, ends a message
at field 0, skips groups, and merges what comes twice. So numbers must be written as every serialiser writes
them, field 0 and groups are refused, and a tensor is looked at wherever one may stand, as often as it does.
"""

from collections.abc import Iterator

from fmae_edge.runtime.errors import BundleError

# For each message, the fields that lead to tensors: {field number: message in it}.
_PATHS = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
_EXTERNAL_DATA_FIELD, _DATA_LOCATION_FIELD = 13, 14
_TAG_BITS, _SIZE_BITS, _VALUE_BITS = 32, 31, 64


def refuses_external_data(model: bytes, where: str) -> None:
    """Raise BundleError if `model`, a serialised ONNX ModelProto, is malformed or names external data."""
    try:
        external = _any_external(memoryview(model), "Model")
    except (IndexError, ValueError, RecursionError):
        raise BundleError(f"{where} is not an ONNX graph") from None
    if external:
        raise BundleError(f"{where} keeps tensors in another file, which a bundle must not")


def _any_external(message: memoryview, kind: str) -> bool:
    if kind == "Tensor":
        return any(
            number == _EXTERNAL_DATA_FIELD or (number == _DATA_LOCATION_FIELD and value != 0)
            for number, value in _fields(message)
        )
    paths = _PATHS[kind]
    return any(
        _any_external(value, paths[number])
        for number, value in _fields(message)
        if number in paths and isinstance(value, memoryview)
    )


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield (field number, value) of one message; raise ValueError or IndexError if it is malformed."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at, _TAG_BITS)
        number = tag >> 3
        if not number:
            raise ValueError("field 0")
        match tag & 7:
            case 0:
                value, at = _varint(message, at, _VALUE_BITS)
                yield number, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(message, at, _SIZE_BITS)
            case 5:
                size = 4
            case wire_type:
                raise ValueError(f"wire type {wire_type}")
        if at + size > len(message):
            raise ValueError("truncated")
        yield number, message[at : at + size]
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
    raise ValueError(f"no number of {bits} bits")
