"""Make a bundle from a checkpoint and write it: graphs, prior, proof of parity, measured figures.

The bundle is made and measured in memory, as a `Bundle` that the runtime accepts. Only a complete one is written.
"""

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.export.bundle_figures import (
    measure_bit_costs,
    measure_contrast_floors,
    measure_latents,
    measure_rate,
)
from fmae_edge.export.bundle_graphs import DEFAULT_OPTIONS, ExportOptions, build_graphs
from fmae_edge.export.errors import ExportError, ParityError
from fmae_edge.export.integer_prior import build_prior
from fmae_edge.export.parity import Parity, measure_parity
from fmae_edge.model.checkpoint import CONFIG, RECIPE, Checkpoint, sha256_of_model
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.runtime.atomic_folder import new_folder
from fmae_edge.runtime.bundle.bundle import Bundle
from fmae_edge.runtime.bundle.manifest import GOLDEN_NAME, MANIFEST_NAME, PRIOR_NAME, FileEntry, Manifest
from fmae_edge.runtime.errors import BundleError
from fmae_edge.runtime.latents import MAX_SYMBOL
from fmae_edge.runtime.self_test import golden_vectors

_GOLDEN_IMAGES = 8
# All of Fashion-MNIST. More would take time and memory, and make the quantisers coarser, only for rare outliers.
# Training images are in random order, so the first are a fair sample.
_TRAIN_IMAGES = 60_000


def export_bundle(
    run: Path,
    checkpoint: Checkpoint,
    train_images: Tensor,
    test_images: Tensor,
    target: Path,
    name: str,
    options: ExportOptions = DEFAULT_OPTIONS,
    *,
    allow_parity_loss: bool = False,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_layers: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Manifest, Parity]:
    """Write the bundle of `checkpoint`, which was loaded from folder `run`, to folder `target`.

    uint8 `train_images` (N, height, width[, 3]) calibrate the quantisers and the prior: the first 60,000 of them.
    Those of `test_images` that parity compares are measured.
    `on_layers` gets (layers tried in int8, total layers), then `on_progress` gets (comparisons done, total
    comparisons) of the parity measurement.

    Writes nothing and raises ExportError if the model is for images of another size, ParityError if a parity
    gate fails and `allow_parity_loss` is not set, BundleError if the runtime would refuse the bundle, OutputError
    if `target` exists and `force` is not set.
    """
    model, config = checkpoint.model, checkpoint.model.config
    require_geometry(config, tuple(test_images.shape[1:]))
    train_images = train_images[:_TRAIN_IMAGES]
    with new_folder(target, force, "a bundle", _is_only_a_bundle) as folder:
        latents = encode_all(model, train_images).numpy()
        steps = latent_steps(latents)
        built = build_graphs(model, train_images, torch.tensor(steps), options, on_layers)
        prior, qualities = build_prior(checkpoint.prior, latents)
        parity = measure_parity(model, built.graphs, test_images, on_progress)
        if parity.failures() and not allow_parity_loss:
            raise ParityError("; ".join(["parity gates failed, so no bundle was written", *parity.failures()]))
        files = {**built.graphs, PRIOR_NAME: prior}
        manifest = Manifest(
            name=name,
            image_channels=config.image_channels,
            image_height=config.height,
            image_width=config.width,
            latent_steps=steps,
            files=_entries(files),
            record={},
            qualities=qualities,
        )
        # The bundle so far computes the golden vectors and the figures of the complete one
        measured = Bundle.of(manifest, files)
        train_pixels, test_pixels = train_images.numpy(), test_images[: parity.images].numpy()
        qualities = qualities._replace(
            bit_costs=measure_bit_costs(measured, train_pixels),
            contrast_floors=measure_contrast_floors(measured, train_pixels),
        )
        golden = golden_vectors(measured, train_pixels[:_GOLDEN_IMAGES])
        files[GOLDEN_NAME] = safetensors.numpy.save(golden)
        record = {
            "training": _training_record(run, checkpoint),
            "quantisation": built.record,
            "parity": {**parity.to_record(), "loss_allowed": allow_parity_loss},
            "tools": _tool_versions(),
            "quality": measure_latents(measured, test_pixels),
            "rate": measure_rate(measured, test_pixels),
        }
        manifest = replace(manifest, files=_entries(files), record=record, qualities=qualities)
        complete = Bundle.of(manifest, files)
        folder.mkdir()
        for file_name, content in complete.files.items():
            (folder / file_name).write_bytes(content)
        (folder / MANIFEST_NAME).write_text(complete.manifest.to_json())
    return complete.manifest, parity


def require_geometry(config: ModelConfig, image_shape: tuple[int, ...]) -> None:
    """Raise ExportError unless a model of `config` takes images of `image_shape` (height, width[, 3])."""
    if image_shape != config.image_shape:
        raise ExportError(
            f"the model takes images of shape {config.image_shape}, but these images have shape {image_shape}"
        )


def latent_steps(latents: NDArray[np.float32]) -> tuple[float, ...]:
    """Return the int8 step of each latent dimension: its largest training value becomes the largest symbol."""
    smallest = 1e-30  # a dimension that is always 0 still needs a step
    return tuple(np.maximum(abs(latents).max(axis=0) / MAX_SYMBOL, smallest).tolist())


def _entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    return {name: FileEntry.of(content) for name, content in files.items()}


def _training_record(run: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the record of the training for the manifest."""
    return {
        # Both as recorded: old runs have other fields
        "config": json.loads((run / CONFIG).read_bytes()),
        "recipe": json.loads((run / RECIPE).read_bytes()),
        "checkpoint_sha256": sha256_of_model(run),
        "metrics": checkpoint.metrics,
    }


def _tool_versions() -> dict[str, str]:
    packages = ("fmae-edge", "numpy", "onnx", "onnxruntime", "onnxscript", "torch")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def _is_only_a_bundle(folder: Path) -> bool:
    """Return whether `folder` has the manifest of a bundle and only files that it names."""
    if not (folder / MANIFEST_NAME).is_file():
        return False
    try:
        manifest = Manifest.from_json((folder / MANIFEST_NAME).read_bytes(), str(folder))
    except (BundleError, OSError):
        return False
    return {path.name for path in folder.iterdir()} <= {MANIFEST_NAME, *manifest.files}
