"""Run graphs with the JavaScript engine, many with one call of Node."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NODE = shutil.which("node")


class Case(NamedTuple):
    """A graph, its kind ("encoder" or "decoder"), the shape of an image (channels first) and the number of latents."""

    graph: bytes
    kind: str
    image: tuple[int, ...]
    latents: int
    values: NDArray[Any] | None = None  # what the graph takes: uint8 images or float32 latents; None only checks it

    @property
    def gives(self) -> tuple[type, tuple[int, ...]]:
        """The type and the shape of one result."""
        return (np.float32, (self.latents,)) if self.kind == "encoder" else (np.uint8, self.image)


def outcomes(cases: Sequence[Case]) -> list[Any]:
    """Return for each case its results as an array, None if it was only checked, or the error {name, message}."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        described = []
        for number, case in enumerate(cases):
            (folder / f"{number}.onnx").write_bytes(case.graph)
            if case.values is not None:
                (folder / f"{number}.input").write_bytes(case.values.tobytes())
            count = 0 if case.values is None else len(case.values)
            described.append({"kind": case.kind, "image": case.image, "latent": case.latents, "count": count})
        (folder / "cases.json").write_text(json.dumps(described))
        subprocess.run([str(NODE), Path(__file__).with_name("run_graphs.mjs"), folder], check=True)
        errors = json.loads((folder / "outcomes.json").read_text())
        return [error or _result(folder, number, cases[number]) for number, error in enumerate(errors)]


def _result(folder: Path, number: int, case: Case) -> NDArray[Any] | None:
    if case.values is None:
        return None
    dtype, shape = case.gives
    return np.frombuffer((folder / f"{number}.result").read_bytes(), dtype).reshape(-1, *shape)
