"""Bundles with the graph of the gradient, and with graphs that an attacker would put in its place."""

from dataclasses import replace

import onnx

from fmae_edge.export.gradient_graph import gradient_graph
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME, FileEntry


def add_gradient(source, target, change=lambda model: None):
    """Write to folder `target` the files of bundle `source`, with the graph of the gradient after a `change`."""
    bundle = read_bundle(source)
    model = gradient_graph(onnx.load_from_string(bundle.files[DECODER_NAME]))
    change(model)
    files = {**bundle.files, GRADIENT_NAME: model.SerializeToString()}
    entries = {name: FileEntry.of(content) for name, content in files.items()}
    for name, content in files.items():
        (target / name).write_bytes(content)
    (target / "manifest.json").write_text(replace(bundle.manifest, files=entries).to_json())
