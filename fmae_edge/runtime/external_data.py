"""Refuse ONNX graphs that keep tensors in other files.

A graph with external data makes onnxruntime read whatever path the graph names, and those bytes are
covered by no hash of the manifest. The check walks the protobuf wire format
(https://protobuf.dev/programming-guides/encoding) along the few fields that can hold a tensor
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), because the onnx package is no dependency of
the runtime.
"""

from collections.abc import Iterator

from fmae_edge.runtime.errors import BundleError

# For each message, the fields that lead to tensors: {field number: message in it}.
_PATHS = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
_EXTERNAL_DATA_FIELD, _DATA_LOCATION_FIELD = 13, 14


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
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                yield tag >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(message, at)
            case 5:
                size = 4
            case wire_type:
                raise ValueError(f"wire type {wire_type}")
        if at + size > len(message):
            raise ValueError("truncated")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("varint too long")
