"""Read the plain ONNX graphs that bundles contain, and refuse all others.

Fields of ONNX (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that our graphs do not use are refused, not
skipped. Among them are tensors in other files, which no hash covers, functions, subgraphs and sparse tensors. The
onnx package is not a dependency of the runtime, and would accept them.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fmae_edge.runtime.errors import shown

# The protobuf wire format: https://protobuf.dev/programming-guides/encoding. onnxruntime must not see anything
# that this module does not see. Its parser cuts a tag to 32 bits, ends a message at field 0, and skips groups. So
# numbers must be written as every serialiser writes them, and field 0 and groups are refused.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
_TAG_BITS, _SIZE_BITS, _VALUE_BITS = 32, 31, 64

Field = int | memoryview

FLOAT, UINT8, INT8, INT32, INT64, BOOL = 1, 2, 3, 6, 7, 9  # TensorProto.DataType
_ITEM_BYTES = {FLOAT: 4, UINT8: 1, INT8: 1, INT32: 4, INT64: 8}
MICROSOFT = "com.microsoft"  # the domain of onnxruntime's own operators
OPSETS = {"": 18, MICROSOFT: 1}  # in later versions, an operator may mean something else
IR_VERSIONS = range(4, 11)  # before version 4, every constant is also an input

# The allowed fields of each message: {field number: wire type}
FIELDS = {
    "Model": {1: VARINT, 2: BYTES, 3: BYTES, 6: BYTES, 7: BYTES, 8: BYTES},
    "OperatorSetId": {1: BYTES, 2: VARINT},
    "Graph": {1: BYTES, 2: BYTES, 5: BYTES, 10: BYTES, 11: BYTES, 12: BYTES},
    "Node": {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES},
    "Attribute": {1: BYTES, 2: FIXED32, 3: VARINT, 4: BYTES, 8: VARINT, 13: BYTES, 20: VARINT},
    "Tensor": {1: VARINT, 2: VARINT, 8: BYTES, 9: BYTES, 12: BYTES},
    "ValueInfo": {1: BYTES, 2: BYTES, 3: BYTES},
    "Type": {1: BYTES},
    "Type.Tensor": {1: VARINT, 2: BYTES},
    "TensorShape": {1: BYTES},
    "TensorShape.Dimension": {1: VARINT, 2: BYTES},
}
_REFUSED = {
    ("Model", 20): "training information",
    ("Model", 25): "functions",
    ("Graph", 13): "shapes of results (value_info)",
    ("Graph", 15): "sparse tensors",
    ("Attribute", 5): "tensors as attributes",
    ("Attribute", 6): "subgraphs",
    ("Attribute", 11): "subgraphs",
    ("Tensor", 13): "tensors in another file",
    ("Tensor", 14): "tensors in another file",
}
# AttributeProto.type and the field that then holds the value: a float, an integer, bytes, integers
_KINDS = {1: 2, 2: 3, 3: 4, 7: 8}
MAX_RANK = 6
_MAX_FIELDS = 20_000  # ours have about 1,000; each takes a microsecond or two to read
_MAX_OTHER_BYTES = 1 << 16  # besides the data of constants; the default graphs have 3,000, deep ones 8,000

_EMPTY: list[Field] = [memoryview(b"")]  # the value of a missing field

Attribute = int | float | bytes | tuple[int, ...]
Shape = tuple[int, ...]


class Port(NamedTuple):
    """An input or output of the graph; a dimension of any length is None in `shape`."""

    name: str
    dtype: int
    shape: tuple[int | None, ...]


class Constant(NamedTuple):
    """A tensor in the file."""

    dtype: int
    shape: Shape
    data: memoryview

    def integers(self) -> tuple[int, ...]:
        """Return the numbers of an INT64 tensor."""
        return struct.unpack(f"<{len(self.data) // 8}q", self.data)

    def floats(self) -> tuple[float, ...]:
        """Return the numbers of a FLOAT tensor."""
        return struct.unpack(f"<{len(self.data) // 4}f", self.data)


class Node(NamedTuple):
    """One operator; the names of onnxruntime's own operators begin with "com.microsoft."."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


class Graph(NamedTuple):
    """A graph as it is in the file; the meaning of its nodes is not checked yet."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]


class RefusedError(ValueError):
    """A part of a graph that is not allowed in a bundle; the message continues the sentence "the graph has"."""


def read_graph(model: bytes | bytearray) -> Graph:
    """Return the graph in a serialised ModelProto; the data of its constants are those of `model`, not copies.

    Raises RefusedError if it has parts that are not allowed in a bundle, ValueError or IndexError if it is
    malformed.
    """
    return _Reader().model(memoryview(model))


class _Reader:
    """Reads messages, and refuses a graph whose messages have too many fields."""

    def __init__(self) -> None:
        self._left = _MAX_FIELDS

    def model(self, message: memoryview) -> Graph:
        parsed = self._fields(message, "Model")
        graph = self._graph(_one(parsed[7]), len(message))
        version = _signed(_one(parsed[1]))
        if version not in IR_VERSIONS:
            raise RefusedError(f"ONNX IR version {version}")
        domains = {self._opset(entry) for entry in parsed.get(8, [])}
        for node in graph.nodes:
            domain = node.operator.rpartition(".")[0]
            if domain not in domains:
                raise RefusedError(f"operators of {shown(domain, 60) if domain else 'ONNX'} without a version")
        return graph

    def _opset(self, message: Field) -> str:
        """Return the domain of a set of operators, whose version must be the known one."""
        parsed = self._fields(message, "OperatorSetId")
        domain, version = _text(parsed.get(1, _EMPTY)), _one(parsed.get(2, [0]))
        if OPSETS.get(domain) != version:
            raise RefusedError(f"operators of {shown(domain, 60) if domain else 'ONNX'} version {version}")
        return domain

    def _graph(self, message: Field, file_size: int) -> Graph:
        parsed = self._fields(message, "Graph")
        tensors = [self._fields(entry, "Tensor") for entry in parsed.get(5, [])]
        data = sum(len(part) for tensor in tensors for part in tensor.get(9, []) if isinstance(part, memoryview))
        if file_size - data > _MAX_OTHER_BYTES:  # before any of it is copied
            raise RefusedError(f"{file_size - data} bytes in addition to the data of its constants")
        constants = [_constant(tensor) for tensor in tensors]
        graph = Graph(
            inputs=tuple(self._port(entry) for entry in parsed.get(11, [])),
            outputs=tuple(self._port(entry) for entry in parsed.get(12, [])),
            nodes=tuple(self._node(entry) for entry in parsed.get(1, [])),
            constants=dict(constants),
        )
        if len(graph.constants) < len(constants):
            raise RefusedError("two constants with the same name")
        return graph

    def _node(self, message: Field) -> Node:
        parsed = self._fields(message, "Node")
        domain = _text(parsed.get(7, _EMPTY))
        pairs = [self._attribute(entry) for entry in parsed.get(5, [])]
        attributes = dict(pairs)
        if len(attributes) < len(pairs):
            raise RefusedError("two attributes with the same name")
        return Node(
            f"{domain}.{_text(parsed[4])}" if domain else _text(parsed[4]),
            tuple(_text([name]) for name in parsed.get(1, [])),
            tuple(_text([name]) for name in parsed.get(2, [])),
            attributes,
        )

    def _attribute(self, message: Field) -> tuple[str, Attribute]:
        parsed = self._fields(message, "Attribute")
        name, kind = _text(parsed[1]), _one(parsed[20])
        field = _KINDS.get(kind) if isinstance(kind, int) else None
        if field is None or parsed.keys() - {1, 13, 20} - {field}:
            raise RefusedError(f"an attribute {shown(name, 60)} of type {kind}")
        if field == 8:
            return name, tuple(_signed(value) for value in parsed.get(8, []))
        value = _one(parsed[field])
        if isinstance(value, int):
            return name, _signed(value)
        return name, struct.unpack("<f", value)[0] if field == 2 else bytes(value)

    def _port(self, message: Field) -> Port:
        parsed = self._fields(message, "ValueInfo")
        tensor = self._fields(_one(self._fields(_one(parsed[2]), "Type")[1]), "Type.Tensor")
        dtype = _one(tensor[1])
        dimensions = self._fields(_one(tensor[2]), "TensorShape").get(1, [])
        shape = []
        for entry in dimensions:
            length = self._fields(entry, "TensorShape.Dimension").get(1)
            shape.append(None if length is None else _signed(_one(length)))
        return Port(_text(parsed[1]), dtype if isinstance(dtype, int) else 0, tuple(shape))

    def _fields(self, message: Field, kind: str) -> dict[int, list[Field]]:
        """Return the values of each field of a message."""
        known = FIELDS[kind]
        parsed: dict[int, list[Field]] = {}
        left = self._left
        if not isinstance(message, memoryview):
            raise ValueError(message)
        for number, wire_type, value in fields(message):
            if known.get(number) != wire_type:
                raise RefusedError(_REFUSED.get((kind, number), f"field {number} of {kind}Proto"))
            left -= 1
            if not left:
                raise RefusedError(f"more than {_MAX_FIELDS} fields")
            if number in parsed:
                parsed[number].append(value)
            else:
                parsed[number] = [value]
        self._left = left
        return parsed


def _constant(parsed: dict[int, list[Field]]) -> tuple[str, Constant]:
    """Return the name and the tensor in the fields of a TensorProto."""
    name, dtype = _text(parsed[8]), _one(parsed[2])
    shape = tuple(_signed(value) for value in parsed.get(1, []))
    data = _one(parsed.get(9, _EMPTY))
    item = _ITEM_BYTES.get(dtype) if isinstance(dtype, int) else None
    if item is None or len(shape) > MAX_RANK or min(shape, default=1) < 1 or not isinstance(data, memoryview):
        raise RefusedError(f"a constant {shown(name, 60)} of type {dtype} and shape {shown(shape, 60)}")
    if math.prod(shape) * item != len(data):
        raise RefusedError(f"a constant {shown(name, 60)} of shape {shape} with {len(data)} bytes")
    return name, Constant(int(dtype), shape, data)


def _one(values: list[Field]) -> Field:
    """Return the only value of a field. If there are several, some parsers use the last and others join them."""
    (value,) = values
    return value


def _text(values: list[Field]) -> str:
    value = _one(values)
    if isinstance(value, int):
        raise ValueError(value)
    return str(value, "utf-8")


def _signed(value: Field) -> int:
    if not isinstance(value, int):
        raise ValueError(value)
    return value - (1 << 64) if value >> 63 else value


def fields(message: memoryview) -> Iterator[tuple[int, int, Field]]:
    """Yield (field number, wire type, value) of one message: an unsigned integer, or bytes.

    Raises ValueError or IndexError if the message is malformed.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = message[at], at + 1  # most numbers have one byte, and calls would take most of the time
        if tag > 0x7F:
            tag, at = _varint(message, at - 1, _TAG_BITS)
        number, wire_type = tag >> 3, tag & 7
        if not number:
            raise ValueError("field 0")
        if wire_type == VARINT:
            value, at = message[at], at + 1
            if value > 0x7F:
                value, at = _varint(message, at - 1, _VALUE_BITS)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, at = message[at], at + 1
            if size > 0x7F:
                size, at = _varint(message, at - 1, _SIZE_BITS)
        elif wire_type in (FIXED64, FIXED32):
            size = 8 if wire_type == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if at + size > end:
            raise ValueError("truncated")
        yield number, wire_type, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int, bits: int) -> tuple[int, int]:
    """Return the number at `at` and its end. Raises ValueError if it has more than `bits` bits, or extra bytes."""
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
