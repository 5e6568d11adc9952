"""JavaScript accepts and refuses the graphs that Python accepts and refuses."""

import math
import random
import re

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fmae_edge import BundleError
from fmae_edge.runtime.bundle.graph_check import check_graph, most_needs
from fmae_edge.runtime.bundle.operators import OPERATORS
from fuzz.graph_mutator import mutate_graph
from fuzz.hostile_graphs import heavy_decoders, hostile_decoders
from fuzz.onnx_chains import LATENTS, SIDE, harmless_decoder
from tests.conftest import REPOSITORY
from tests.js.node import needs_node
from tests.js.operator_chains import chains
from tests.js.own_engine import Case, outcomes

pytestmark = needs_node
CORPUS = sorted((REPOSITORY / "fuzz/corpus/graph").glob("*.onnx"))
CHANGED = 600
SAME = 40  # characters of both messages; later ones contain values


def case(graph, kind, values=None):
    return Case(graph, kind, (1, SIDE, SIDE), LATENTS, values)


def verdict(one):
    """Return the message of Python's refusal, None for a graph that it accepts."""
    image, latent = ("image", one.image), ("latent", (one.latents,))
    ports = (image, latent) if one.kind == "encoder" else (latent, image)
    try:
        check_graph(one.graph, "the graph", *ports, most_needs(math.prod(one.image), one.latents))
    except BundleError as error:
        return str(error)
    return None


def alterations(node, constants):
    """Yield (changed node, changed constants) in which one attribute or one constant is another, or missing."""
    for place, attribute in enumerate(node.attribute):
        for value in (None, *others(helper.get_attribute_value(attribute))):
            changed = onnx.NodeProto()
            changed.CopyFrom(node)
            del changed.attribute[place]
            if value is not None:
                changed.attribute.append(helper.make_attribute(attribute.name, value))
            yield changed, constants
    for place in range(1, len(node.input)):
        if node.input[place]:
            for array in other_arrays(numpy_helper.to_array(constants[node.input[place]])):
                yield node, constants | {node.input[place]: numpy_helper.from_array(array, node.input[place])}
    for inputs in (node.input[:-1], [*node.input, "latent0"], [*node.input, ""], ["", *node.input[1:]]):
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        changed.input[:] = inputs
        yield changed, constants | {"latent0": numpy_helper.from_array(np.zeros(1, np.float32), "latent0")}


def others(value):
    if isinstance(value, bytes):
        return (b"", value.lower(), value + b"x", 1)
    if isinstance(value, list):
        changed = [
            [*value[:place], number, *value[place + 1 :]] for place in range(len(value)) for number in (-1, 0, 9)
        ]
        return (*changed, value[:-1], [*value, 1], [each + 1 for each in value], [each - 1 for each in value], "x")
    return (value - 1, value + 1, value + 2**40, -value, "x")


def other_arrays(array):
    yield array[None]
    yield array.astype(np.float32 if array.dtype != np.float32 else np.int8)
    yield array.astype(np.uint8 if array.dtype == np.int8 else np.int8)
    if array.ndim:
        yield np.concatenate([array, array[:1]])
        yield array[:-1]
    for place in range(len(array) if array.dtype == np.int64 or array.shape == (4,) else 0):
        for number in (-1, 0, 1, 3, 300):
            changed = array.copy()
            changed[place] = number
            yield changed


def altered_graphs():
    """Yield graphs with one change each, of a chain for each operator, and the shape of its images and latents."""
    left = set(OPERATORS)
    for one, _, operators in chains():
        if left & set(operators):
            left -= set(operators)
            model = onnx.load_from_string(one.graph)
            constants = {each.name: each for each in model.graph.initializer}
            nodes = list(model.graph.node)
            for number, node in enumerate(nodes):
                for changed, others in alterations(node, constants):
                    del model.graph.node[:], model.graph.initializer[:]
                    model.graph.node.extend([*nodes[:number], changed, *nodes[number + 1 :]])
                    used = {name for each in model.graph.node for name in each.input}
                    model.graph.initializer.extend(each for name, each in others.items() if name in used)
                    yield one._replace(graph=model.SerializeToString(), values=None)


def changed_bytes(content, source):
    """Flip bits, and remove, add or replace bytes, near the beginning, where there are fewer weights."""
    content = bytearray(content or b"\0")
    for _ in range(source.choice((1, 1, 2, 5))):
        at = source.randrange(min(len(content), 4000))
        more = source.randbytes(source.randrange(3))
        content[at : at + source.randrange(3)] = more
        content = content or bytearray(1)
    return bytes(content)


def test_hostile_graphs_are_refused_for_the_reason_of_python():
    cases = [case(make(), "decoder") for make in hostile_decoders().values()]
    for one, name, answer in zip(cases, hostile_decoders(), outcomes(cases), strict=True):
        assert answer is not None, name
        assert answer["error"] == "BundleError", name
        assert answer["message"][:SAME] == str(verdict(one))[:SAME], name


def test_graphs_just_below_the_limits_run():
    values = np.ones((1, LATENTS), np.float32)
    cases = [case(make(), "decoder", values) for make in (harmless_decoder, *heavy_decoders().values())]
    for answer in outcomes(cases):
        assert isinstance(answer, np.ndarray), answer


def test_changed_graphs_have_the_verdict_of_python():
    source = random.Random(19)
    seeds = [(path.read_bytes(), path.name.split("-")[0]) for path in CORPUS]
    cases = []
    for number in range(CHANGED):
        graph, kind = source.choice(seeds)
        change = (lambda content: changed_bytes(content, source)) if number % 2 else None
        graph = changed_bytes(graph, source) if change is None else mutate_graph(graph, change, source)
        cases.append(case(graph, kind))
    verdicts = [verdict(one) for one in cases]
    accepted = sum(one is None for one in verdicts)
    assert CHANGED / 20 < accepted < CHANGED / 2
    for one, expected, answer in zip(cases, verdicts, outcomes(cases), strict=True):
        assert (answer is None) == (expected is None), (expected, answer, one.graph[:200])
        assert answer is None or answer["error"] == "BundleError", answer


def test_every_other_attribute_and_constant_has_the_verdict_of_python():
    cases = list(altered_graphs())
    verdicts = [verdict(one) for one in cases]
    assert len({re.sub("[^a-z]", "", str(each)) for each in verdicts}) > 50
    for one, expected, answer in zip(cases, verdicts, outcomes(cases), strict=True):
        assert (answer is None) == (expected is None), (
            expected,
            answer,
            onnx.load_from_string(one.graph).graph.node,
        )
        assert answer is None or answer["error"] == "BundleError", answer
        assert answer is None or answer["message"][:SAME] == expected[:SAME]


# After a graph: a text as field 6 (valid), and fields that a parser may read in another way, or not at all
ENDINGS = {
    "a text": b"\x32\0",
    "a size with an extra byte": b"\x32\x80\0",
    "a tag with an extra byte": b"\xb2\0\0",
    "a tag of 33 bits": b"\xb2\x80\x80\x80\x10\0",
    "field 0": b"\2\0",
    "a group": b"\x33\x34",
    "an unknown wire type": b"\x36\0",
    "a number for a text": b"\x30\0",
    "8 bytes for a text": b"\x31" + bytes(8),
    "4 bytes for a text": b"\x35" + bytes(4),
    "a tag without a value": b"\x32",
    "a text that ends early": b"\x32\2a",
    "a size of 32 bits": b"\x32\x80\x80\x80\x80\x08",
    "half a tag": b"\xb2",
    "a second graph": b"\x3a\0",
}
# Instead of the first field, the version 10
BEGINNINGS = {
    "the version": b"\x08\x0a",
    "an extra byte": b"\x08\x8a\0",
    "a number of 65 bits": b"\x08\x8a" + b"\x80" * 8 + b"\2",
    "a number of 64 bits": b"\x08\x8a" + b"\x80" * 8 + b"\1",
    "a number of 71 bits": b"\x08\x8a" + b"\x80" * 9 + b"\1",
    "a version of 3": b"\x08\3",
    "a version of 11": b"\x08\x0b",
}


def test_bytes_that_parsers_read_in_different_ways_are_refused():
    graph = harmless_decoder()
    assert graph.startswith(BEGINNINGS["the version"])
    content = {name: graph + ending for name, ending in ENDINGS.items()}
    content |= {name: beginning + graph[2:] for name, beginning in BEGINNINGS.items()}
    cases = [case(each, "decoder") for each in content.values()]
    for one, name, answer in zip(cases, content, outcomes(cases), strict=True):
        assert (answer is None) == (name in ("a text", "the version")), name
        assert (answer is None) == (verdict(one) is None), name


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_a_graph_whose_ports_are_not_those_of_the_manifest_is_refused(kind):
    other = "decoder" if kind == "encoder" else "encoder"
    cases = [case(path.read_bytes(), other) for path in CORPUS if path.name.startswith(kind)]
    for answer in outcomes(cases):
        assert "where the manifest needs" in answer["message"]
