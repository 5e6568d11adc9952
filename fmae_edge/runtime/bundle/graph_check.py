"""Check a graph before onnxruntime sees it: its ports, each operator, and the resources needed for one image.

The graphs of bundles are chains: each operator takes the result of the previous operator, and constants. So the
shape of every result follows from that of the input, and so do the memory and the multiply-adds.

Hashes do not protect against the maker of a bundle. So a graph may need at most a multiple of what the default
bundle's graphs need for images of its size. An untrusted bundle takes memory and time in proportion to the size of
its images.
"""

import math
from typing import NamedTuple

from fmae_edge.runtime.bundle.onnx_file import FLOAT, UINT8, Graph, Port, RefusedError, Shape, read_graph
from fmae_edge.runtime.bundle.operator_call import Value
from fmae_edge.runtime.bundle.operators import OPERATORS, apply
from fmae_edge.runtime.errors import BundleError, shown

_CHANNEL_BLOCK = 16  # of onnxruntime's fastest float convolutions, on CPUs with AVX-512
# Small images need more per pixel, so they may have as much as those of 28x28 with 64 latents
_LEAST_SIZE = 1024


class Needs(NamedTuple):
    """Resources that a graph needs for one image, or the limits on them."""

    values_at_once: int  # in the result of one operator
    values: int  # in the results of all operators
    multiply_adds: int
    weights: int  # numbers in the file
    operators: int


def most_needs(pixels: int, latents: int) -> Needs:
    """Return the limits of a graph for images of `pixels` values, counting all channels, and `latents` latents.

    Per pixel or latent, the default bundle's graphs, and those that are not rewritten, need up to 30 values in one
    result, 125 in all results and 10,000 multiply-adds; they have 500,000 weights. A model with four times as many
    channels in each layer needs four times the values and 16 times the multiply-adds, and is within these limits.
    """
    size = max(pixels + latents, _LEAST_SIZE)
    return Needs(
        values_at_once=128 * size,
        values=640 * size,
        multiply_adds=160_000 * size + 128 * pixels * latents,
        weights=1_500_000 + 64 * pixels * latents,
        operators=256,
    )


def check_graph(model: bytes, where: str, takes: tuple[str, Shape], gives: tuple[str, Shape], most: Needs) -> None:
    """Raise BundleError unless `model` is a graph that a bundle may have; `where` names it in messages.

    It must have one input `takes` and one output `gives` (name, shape of one image), only known operators, and
    need no more than `most`.
    """
    graph = parse_graph(model, where)
    value = _port(graph.inputs, *takes, where)
    expected = _port(graph.outputs, *gives, where)
    if takes[0] in graph.constants:  # onnxruntime would use the constant if no input is given
        raise BundleError(f"{where} has a constant with the name of its input, {takes[0]!r}")
    require_few_operators(graph, most, where)
    name, result, needs = _walk(graph, takes[0], value, where)
    if (name, result) != (gives[0], expected):
        raise BundleError(
            f"{where}: its last operator returns {shown(name, 60)} {result}, expected {gives[0]!r} {expected}"
        )
    require_within(needs, most, where)


def parse_graph(model: bytes, where: str) -> Graph:
    """Return the graph in a serialised model. Raises BundleError if it has parts that no bundle may have."""
    try:
        return read_graph(model)
    except RefusedError as error:
        raise BundleError(f"{where} has {error}, which is not allowed in the graph of a bundle") from None
    except (IndexError, KeyError, ValueError):
        raise BundleError(f"{where} is not an ONNX graph") from None


def require_few_operators(graph: Graph, most: Needs, where: str) -> None:
    """Raise BundleError if a graph has too many operators, before time is spent on them."""
    if len(graph.nodes) > most.operators:
        raise BundleError(f"{where} has {len(graph.nodes)} operators; a bundle may have at most {most.operators}")


def require_within(needs: Needs, most: Needs, where: str) -> None:
    """Raise BundleError if a graph needs more than `most`."""
    for what, need in needs._asdict().items():
        if need > getattr(most, what):
            raise BundleError(
                f"{where} needs {need} {what.replace('_', ' ')} for one image, more than the "
                f"{getattr(most, what)} allowed for images of this size"
            )


def refusal(error: KeyError | ValueError, number: int, operator: str, where: str) -> BundleError:
    """Return the error for an operator that a check refuses; a KeyError names an input that is missing."""
    problem = f"{shown(error.args[0], 60)} is missing" if isinstance(error, KeyError) else error
    return BundleError(f"{where}: operator {number} ({shown(operator, 60)}) is refused: {problem}")


def _port(ports: tuple[Port, ...], name: str, shape: Shape, where: str) -> Value:
    """Return the input or output of a graph, if it has the name and shape that the manifest needs."""
    if [(port.name, port.shape) for port in ports] != [(name, (None, *shape))]:
        actual = {port.name: port.shape for port in ports}
        raise BundleError(f"{where} has {shown(actual)} where the manifest needs {{{name!r}: (None, *{shape})}}")
    dtypes = {FLOAT: "float32", UINT8: "uint8"} if name == "image" else {FLOAT: "float32"}
    if ports[0].dtype not in dtypes:
        raise BundleError(
            f"{where}: {name} has ONNX type {ports[0].dtype}, expected {' or '.join(dtypes.values())}"
        )
    return Value(ports[0].dtype, shape)


def _walk(graph: Graph, name: str, value: Value, where: str) -> tuple[str, Value, Needs]:
    """Return the name of the last result, the result, and the needs of all operators for one image."""
    constants = graph.constants
    unread = set(constants)
    values = [0]
    multiply_adds = 0
    for number, node in enumerate(graph.nodes):
        try:
            if node.operator not in OPERATORS:
                raise ValueError("bundles may not use this operator")
            if node.inputs[:1] != (name,) or len(node.outputs) != 1:
                raise ValueError("it must take the result of the operator before it, and have one output")
            (output,) = node.outputs
            if output in constants or output == name or not output:
                raise ValueError("its output name is already used")
            given = [constants[other] if other else None for other in node.inputs[1:]]
            unread.difference_update(node.inputs)
            value, work = apply(node.operator, value, given, node.attributes)
            if min(value.shape) < 1:
                raise ValueError("its result is empty")
        except (KeyError, ValueError) as error:
            raise refusal(error, number, node.operator, where) from None
        name = output
        values.append(stored_numbers(value))
        multiply_adds += work
    if unread:
        raise BundleError(f"{where} has constants that no operator uses, for example {shown(min(unread), 60)}")
    weights = sum(math.prod(constant.shape) for constant in graph.constants.values())
    return name, value, Needs(max(values), sum(values), multiply_adds, weights, len(graph.nodes))


def stored_numbers(value: Value) -> int:
    """Return the number of values onnxruntime stores for a result; it pads float images to 16 channels."""
    if value.dtype == FLOAT and len(value.shape) == 3:
        channels, height, width = value.shape
        return -(-channels // _CHANNEL_BLOCK) * _CHANNEL_BLOCK * height * width
    return math.prod(value.shape)
