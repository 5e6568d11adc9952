"""Put the decoder's weights into the graph of its gradient, and check the result before onnxruntime sees it.

The file of the gradient has no weights: they are inputs, with the names of the float32 decoder's constants. They
become constants here, so that onnxruntime can arrange them for speed.

The graph is not a chain, because the backward pass needs results of the forward pass. Every operator takes earlier
results and constants, so the shapes of all results follow, as in `graph_check`. A result may be kept until the
end, so the limit on the numbers in all results bounds the memory.
"""

import math
from collections.abc import Iterator

from fmae_edge.runtime.bundle.gradient_operators import GRADIENT_OPERATORS, apply_gradient, rearranged_kernel
from fmae_edge.runtime.bundle.graph_check import (
    Needs,
    parse_graph,
    refusal,
    require_few_operators,
    require_within,
    stored_numbers,
)
from fmae_edge.runtime.bundle.onnx_file import (
    BYTES,
    FLOAT,
    UINT8,
    VARINT,
    Constant,
    Field,
    Graph,
    Port,
    Shape,
    fields,
)
from fmae_edge.runtime.bundle.operator_call import Value
from fmae_edge.runtime.errors import BundleError, shown

_GRAPH, _CONSTANT, _INPUT = 7, 5, 11  # fields of ModelProto and GraphProto
_INPUT_NAME, _CONSTANT_NAME = 1, 8  # fields of ValueInfoProto and TensorProto


def most_of_gradient(most: Needs) -> Needs:
    """Return the limits of a gradient's graph, given those of a decoder.

    The backward pass has as many multiply-adds as the forward pass, and its own arrangement of each kernel. It
    has at most four results where the forward pass has two. So the gradient of a decoder is within these limits.
    """
    return most._replace(values=3 * most.values, multiply_adds=2 * most.multiply_adds, weights=2 * most.weights)


def with_weights(gradient: bytes, decoder: bytes, where: str) -> bytes:
    """Return the serialised graph `gradient` with the constants of the graph `decoder` in place of inputs.

    `decoder` is checked already. Raises BundleError if `gradient` is malformed or too large.
    """
    parse_graph(gradient, where)
    constants = {
        _name(tensor, _CONSTANT_NAME): tensor
        for _, graph in _members(memoryview(decoder), _GRAPH)
        for _, tensor in _members(graph, _CONSTANT)
    }
    return b"".join(
        _field(number, _bound(value, constants) if number == _GRAPH else value)
        for number, value in _members(memoryview(gradient))
    )


def _bound(graph: Field, constants: dict[bytes, Field]) -> bytes:
    kept, used = [], []
    for number, value in _members(graph):
        name = _name(value, _INPUT_NAME) if number == _INPUT else b""
        if name in constants:
            used.append(constants[name])
        else:
            kept.append(_field(number, value))
    return b"".join((*kept, *(_field(_CONSTANT, tensor) for tensor in used)))


def _members(message: Field, wanted: int | None = None) -> Iterator[tuple[int, Field]]:
    """Yield the number and the value of each field of a message, or of those numbered `wanted`."""
    if isinstance(message, memoryview):
        yield from ((number, value) for number, _, value in fields(message) if wanted in (None, number))


def _name(message: Field, field: int) -> bytes:
    return b"".join(bytes(value) for _, value in _members(message, field) if isinstance(value, memoryview))


def _field(number: int, value: Field | bytes) -> bytes:
    """Return a field with its tag, as protobuf writes it."""
    if isinstance(value, int):
        return _varint(number << 3 | VARINT) + _varint(value)
    return b"".join((_varint(number << 3 | BYTES), _varint(len(value)), value))


def _varint(number: int) -> bytes:
    sevens = []
    while number > 0x7F:
        sevens.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*sevens, number))


def check_gradient(model: bytes, where: str, latent: Shape, image: Shape, most: Needs) -> Needs:
    """Return what the graph of a gradient needs for one image; `where` names it in messages.

    `model` has its weights. It must take "latent" and 8-bit "image", and give float32 "pixels" and "gradient", of
    these shapes for one image. It may have only known operators, and need no more than `most`.

    Raises BundleError for other graphs.
    """
    graph = parse_graph(model, where)
    takes = {"latent": Value(FLOAT, latent), "image": Value(UINT8, image)}
    gives = {"pixels": Value(FLOAT, image), "gradient": Value(FLOAT, latent)}
    for ports, expected in ((graph.inputs, takes), (graph.outputs, gives)):
        wanted = tuple(Port(name, value.dtype, (None, *value.shape)) for name, value in expected.items())
        if ports != wanted:
            raise BundleError(f"{where} has {_text(ports)} where the manifest needs {_text(wanted)}")
    if takes.keys() & graph.constants.keys():  # onnxruntime would use the constant if no input is given
        raise BundleError(f"{where} has a constant with the name of an input")
    require_few_operators(graph, most, where)
    results, needs = _walk(graph, takes, where)
    for name, value in gives.items():
        if results.get(name) != value:
            raise BundleError(f"{where}: its {name} are {shown(results.get(name), 60)}, expected {value}")
    require_within(needs, most, where)
    return needs


def _text(ports: tuple[Port, ...]) -> str:
    types = {FLOAT: "float32", UINT8: "uint8"}
    return shown({port.name: f"{types.get(port.dtype, port.dtype)} {port.shape}" for port in ports})


def _walk(graph: Graph, takes: dict[str, Value], where: str) -> tuple[dict[str, Value], Needs]:
    """Return the results by name, inputs included, and the needs of all operators for one image."""
    results, constants = dict(takes), dict(graph.constants)
    unread = {*results, *constants}
    multiply_adds = 0
    for number, node in enumerate(graph.nodes):
        try:
            if node.operator not in GRADIENT_OPERATORS:
                raise ValueError("bundles may not use this operator here")
            if not node.inputs or len(node.outputs) != 1:
                raise ValueError("it must have inputs and one output")
            (output,) = node.outputs
            if output in results or output in constants or not output:
                raise ValueError("its output name is already used")
            first, *others = (_known(name, results, constants) for name in node.inputs)
            unread.difference_update(node.inputs)
            unread.add(output)
            if isinstance(first, Constant):
                given = [other for other in others if isinstance(other, Constant)]
                if len(given) < len(others):
                    raise ValueError("it takes a constant first, and then results")
                constants[output] = rearranged_kernel(node, first, given)
                continue
            results[output], work = apply_gradient(node.operator, first, others, node.attributes)
            if min(results[output].shape, default=1) < 1:
                raise ValueError("its result is empty")
        except (KeyError, ValueError) as error:
            raise refusal(error, number, node.operator, where) from None
        multiply_adds += work
    unread -= {port.name for port in graph.outputs}
    if unread:
        raise BundleError(f"{where} has values that no operator uses, for example {shown(min(unread), 60)}")
    stored = [0, *(stored_numbers(value) for name, value in results.items() if name not in takes)]
    weights = sum(math.prod(constant.shape) for constant in constants.values())
    return results, Needs(max(stored), sum(stored), multiply_adds, weights, len(graph.nodes))


def _known(name: str, results: dict[str, Value], constants: dict[str, Constant]) -> Value | Constant:
    return results[name] if name in results else constants[name]
