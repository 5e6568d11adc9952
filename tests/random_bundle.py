"""Bundles of models that were not trained, for images of any size and colour."""

from dataclasses import replace

import numpy as np
import torch

from fmae_edge.export.bundle_graphs import ExportOptions
from fmae_edge.export.bundle_writer import export_bundle, latent_steps
from fmae_edge.export.float_graph import float_graph
from fmae_edge.export.int8_network import Int8Network
from fmae_edge.export.int8_target import int8_target
from fmae_edge.export.integer_prior import build_prior
from fmae_edge.export.network import network_of
from fmae_edge.export.rewrite import rewrite_decoder
from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import load_checkpoint, publish, start_run
from fmae_edge.model.fast_pass import encode_all
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import Recipe
from fmae_edge.runtime.bundle.bundle import Bundle
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME, FileEntry, Manifest


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


def make_large_bundle(folder, config):
    """Write to `folder` the bundle of a random model with the graphs and the prior that a trained one would have.

    Nothing is measured, because that takes minutes for large images.
    """
    torch.manual_seed(0)
    model = Autoencoder(config).eval().requires_grad_(False)
    images = torch.from_numpy(smooth_images(2, *config.image_shape))
    latents = encode_all(model, images).numpy()
    steps = latent_steps(latents)
    network = network_of(model)
    network = replace(network, decoder=rewrite_decoder(network.decoder))
    image = ("image", np.float32, (config.image_channels, config.height, config.width))
    latent = ("latent", np.float32, (config.latent_size,))
    with torch.inference_mode():
        int8 = Int8Network(network, images, torch.tensor(steps), int8_target("avx2"), "min-max")
        graphs = int8.graphs(network.faster_in_float)
    graphs["encoder.fp32.onnx"] = float_graph(network.encoder, image, latent)
    graphs["decoder.fp32.onnx"] = float_graph(network.decoder, latent, image)
    files = {name: graph.SerializeToString() for name, graph in graphs.items()}
    files[PRIOR_NAME], qualities = build_prior(Prior(config.latent_size), np.repeat(latents, 10, axis=0))
    manifest = Manifest(
        name="large",
        image_channels=config.image_channels,
        image_height=config.height,
        image_width=config.width,
        latent_steps=steps,
        files={name: FileEntry.of(content) for name, content in files.items()},
        record={},
        qualities=qualities._replace(bit_costs=(1e-6,) * len(qualities.steps)),
    )
    bundle = Bundle.of(manifest, files)
    for name, content in bundle.files.items():
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text(bundle.manifest.to_json())
