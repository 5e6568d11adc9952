"""Make a bundle from a checkpoint: graphs, quantiser steps, proof of parity, measured quality."""

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmae_edge.export.bundle_figures import measure_bit_costs, measure_rate
from fmae_edge.export.bundle_graphs import DEFAULT_OPTIONS, ExportOptions, build_graphs
from fmae_edge.export.errors import ExportError, ParityError
from fmae_edge.export.integer_prior import build_prior
from fmae_edge.export.parity import Parity, measure_parity
from fmae_edge.measure.quality import measure_quality
from fmae_edge.model.checkpoint import MODEL, Checkpoint
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.bundle.manifest import GOLDEN_NAME, MANIFEST_NAME, PRIOR_NAME, FileEntry, Manifest
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.graphs import PRECISIONS
from fmae_edge.runtime.errors import BundleError, OutputError
from fmae_edge.runtime.latents import LATENT_DTYPES, MAX_SYMBOL
from fmae_edge.runtime.self_test import golden_vectors

_GOLDEN_IMAGES = 8


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
) -> tuple[Manifest, Parity]:
    """Write the bundle of `checkpoint`, which was loaded from folder `run`, to folder `target`.

    uint8 `train_images` (N, height, width) calibrate the quantisers; `test_images` are measured.

    Writes nothing and raises ExportError if the model is for images of another size, ParityError if a parity
    gate fails and `allow_parity_loss` is not set, OutputError if `target` exists and `force` is not set.
    """
    model = checkpoint.model
    require_geometry(model.config, tuple(test_images.shape[1:]))
    with _new_folder(target, force) as folder:
        latents = encode_all(model, train_images).numpy()
        steps = latent_steps(latents)
        built = build_graphs(model, train_images, torch.tensor(steps), options)
        graphs = built.graphs
        prior, qualities = build_prior(checkpoint.prior, latents)
        files = {**graphs, PRIOR_NAME: prior}
        for file_name, content in files.items():
            (folder / file_name).write_bytes(content)
        parity = measure_parity(model, graphs, test_images, on_progress)
        if parity.failures() and not allow_parity_loss:
            raise ParityError("; ".join(["parity gates failed, so no bundle was written", *parity.failures()]))
        record: dict[str, Any] = {
            "training": {
                "config": asdict(model.config),
                "recipe": asdict(checkpoint.recipe),
                "checkpoint_sha256": hashlib.sha256((run / MODEL).read_bytes()).hexdigest(),
                "metrics": checkpoint.metrics,
            },
            "quantisation": built.record,
            "parity": {**parity.to_record(), "loss_allowed": allow_parity_loss},
            "tools": _tool_versions(),
        }
        manifest = Manifest(
            name=name,
            image_channels=model.config.image_channels,
            image_height=model.config.image_size,
            image_width=model.config.image_size,
            latent_steps=steps,
            files={file_name: FileEntry.of(content) for file_name, content in files.items()},
            record=record,
            qualities=qualities,
        )
        # Written before each measurement: the runtime reads the bundle as users will
        _write_manifest(folder, manifest)
        manifest = replace(
            manifest, qualities=replace(qualities, bit_costs=measure_bit_costs(folder, train_images))
        )
        _write_manifest(folder, manifest)
        golden = safetensors.numpy.save(golden_vectors(read_bundle(folder), train_images[:_GOLDEN_IMAGES].numpy()))
        (folder / GOLDEN_NAME).write_bytes(golden)
        manifest = replace(manifest, files={**manifest.files, GOLDEN_NAME: FileEntry.of(golden)})
        record["quality"] = _measure_codec(folder, test_images.numpy())
        record["rate"] = measure_rate(folder, test_images.numpy())
        _write_manifest(folder, manifest)
    return read_bundle(target).manifest, parity


def require_geometry(config: ModelConfig, image_shape: tuple[int, ...]) -> None:
    """Raise ExportError unless a model of `config` takes images of `image_shape` (height, width)."""
    needs = (config.image_channels, config.image_size, config.image_size)
    found = (1, *image_shape)
    if found != needs:
        raise ExportError(f"the model takes images of shape {needs}, but these images have shape {found}")


def latent_steps(latents: NDArray[np.float32]) -> tuple[float, ...]:
    """Return the int8 step of each latent dimension: the largest symbol reaches the training extreme."""
    smallest = 1e-30  # a dimension that is always 0 still needs a step
    return tuple(np.maximum(abs(latents).max(axis=0) / MAX_SYMBOL, smallest).tolist())


def _measure_codec(folder: Path, images: NDArray[np.uint8]) -> dict[str, dict[str, float]]:
    """Measure the decoded 8-bit images for each precision and latent dtype."""
    originals = images / np.float32(255)
    figures = {}
    for precision in PRECISIONS:
        codec = Codec(folder, precision=precision)
        for dtype in LATENT_DTYPES:
            decoded = codec.decode(codec.encode(images, dtype=dtype))
            quality = measure_quality(originals, decoded / np.float32(255))
            figures[f"{precision} graphs, {dtype} latents"] = asdict(quality)
    return figures


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST_NAME).write_text(manifest.to_json())


def _tool_versions() -> dict[str, str]:
    packages = ("fmae-edge", "numpy", "onnx", "onnxruntime", "onnxscript", "torch")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


@contextmanager
def _new_folder(target: Path, force: bool) -> Iterator[Path]:
    """Yield a scratch folder that becomes `target` when the block ends, and vanishes if it fails."""
    replaces = os.path.lexists(target)
    if replaces and not _is_only_a_bundle(target):
        raise OutputError(f"{target}: contains more than a bundle, so it is not replaced; choose another folder")
    if replaces and not force:
        raise OutputError(f"{target}: exists already; use --force to replace it")
    try:
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    except OSError as error:
        raise OutputError(f"{target}: its folder cannot be written to ({error.strerror})") from None
    try:
        yield scratch
        scratch.chmod(0o755)  # mkdtemp makes private folders
        if replaces:
            replaced = scratch.with_suffix(".old")
            target.rename(replaced)
            scratch.rename(target)
            shutil.rmtree(replaced)
        else:
            scratch.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_only_a_bundle(folder: Path) -> bool:
    """Whether `folder` is a real folder with the manifest of a bundle, and only files that it names."""
    if folder.is_symlink() or not (folder / MANIFEST_NAME).is_file():
        return False
    try:
        manifest = Manifest.from_json((folder / MANIFEST_NAME).read_bytes(), str(folder))
    except (BundleError, OSError):
        return False
    return {path.name for path in folder.iterdir()} <= {MANIFEST_NAME, *manifest.files}
