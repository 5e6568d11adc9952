"""JavaScript accepts and refuses the graphs that Python accepts and refuses."""

import random

import numpy as np
import pytest

from fmae_edge import BundleError
from fmae_edge.runtime.bundle.graph_check import check_graph, most_needs
from fuzz.graph_mutator import mutate_graph
from fuzz.hostile_graphs import heavy_decoders, hostile_decoders
from fuzz.onnx_chains import LATENTS, SIDE, harmless_decoder
from tests.conftest import REPOSITORY
from tests.js.node import needs_node
from tests.js.own_engine import Case, outcomes

pytestmark = needs_node
IMAGE, LATENT = ("image", (1, SIDE, SIDE)), ("latent", (LATENTS,))
CORPUS = sorted((REPOSITORY / "fuzz/corpus/graph").glob("*.onnx"))
CHANGED = 600
SAME = 40  # characters of both messages; later ones contain values


def case(graph, kind, values=None):
    return Case(graph, kind, IMAGE[1], LATENTS, values)


def verdict(one):
    """Return the message of Python's refusal, None for a graph that it accepts."""
    ports = (IMAGE, LATENT) if one.kind == "encoder" else (LATENT, IMAGE)
    try:
        check_graph(one.graph, "the graph", *ports, most_needs(SIDE * SIDE, LATENTS))
    except BundleError as error:
        return str(error)
    return None


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


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_a_graph_whose_ports_are_not_those_of_the_manifest_is_refused(kind):
    other = "decoder" if kind == "encoder" else "encoder"
    cases = [case(path.read_bytes(), other) for path in CORPUS if path.name.startswith(kind)]
    for answer in outcomes(cases):
        assert "where the manifest needs" in answer["message"]
