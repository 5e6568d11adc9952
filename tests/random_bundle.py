"""Bundles of models that were not trained, for images of any size and colour."""

import numpy as np
import torch

from fmae_edge.export.bundle_graphs import ExportOptions
from fmae_edge.export.bundle_writer import export_bundle
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint, publish, start_run
from fmae_edge.model.recipe import Recipe


def smooth_images(count, height, width, channels):
    """Return uint8 images (count, height, width[, 3]) of random waves."""
    random = np.random.default_rng(height * width * channels)
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    phases = random.uniform(0, 6, (count, 1, 1, channels))
    across, down = random.uniform(-20, 20, (2, count, 1, 1, channels))
    waves = np.sin(phases + across * columns[None, :, :, None] + down * rows[None, :, :, None])
    images = np.rint(127.5 + 127.5 * waves).astype(np.uint8)
    return images[..., 0] if channels == 1 else images


def make_bundle(folder, config, images):
    """Write `folder`/bundle of a random model, with contrast in its images, and return the model."""
    torch.manual_seed(0)
    model = Autoencoder(config).eval().requires_grad_(False)
    model.decoder.dense.weight *= 3
    model.decoder.transposed[-1].weight *= 5
    run = folder / "run"
    start_run(run, config, Recipe())
    publish(run, model, [{"epoch": 1, "test_mse": 0.5}])
    pixels = torch.from_numpy(images)
    options = ExportOptions(calibration_images=len(images) // 2)
    export_bundle(run, load_checkpoint(run), pixels, pixels[:7], folder / "bundle", "random", options)
    return model
