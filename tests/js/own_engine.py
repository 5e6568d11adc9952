"""Run graphs with the JavaScript engine, many with one call of Node."""

import base64
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.js.node import run_node


class Case(NamedTuple):
    """A graph, its kind ("encoder" or "decoder"), the shape of images (channels first), the number of latents.

    `values` is what the graph takes: uint8 images or float32 latents. Without, the graph is only checked.
    """

    graph: bytes
    kind: str
    image: tuple[int, ...]
    latents: int
    values: NDArray[Any] | None = None


def outcomes(cases: Sequence[Case]) -> list[Any]:
    """Return for each case its results as an array, None if it was only checked, or a dict {error, message}."""
    given = json.dumps([_described(case) for case in cases])
    answers = json.loads(run_node("run_graphs.js", given))
    return [
        _array(case, answer) if isinstance(answer, str) else answer
        for case, answer in zip(cases, answers, strict=True)
    ]


def _described(case: Case) -> dict[str, Any]:
    return {
        "graph": base64.b64encode(case.graph).decode(),
        "values": None if case.values is None else base64.b64encode(case.values.tobytes()).decode(),
        "kind": case.kind,
        "image": case.image,
        "latents": case.latents,
        "images": 0 if case.values is None else len(case.values),
    }


def _array(case: Case, answer: str) -> NDArray[Any]:
    content = base64.b64decode(answer)
    if case.kind == "encoder":
        return np.frombuffer(content, np.float32).reshape(-1, case.latents)
    return np.frombuffer(content, np.uint8).reshape(-1, *case.image)
