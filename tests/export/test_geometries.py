"""A model for images of any size and colour computes the same in training, in every graph and in its bundle.

The models are not trained: their weights are random, and their layers narrow.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fmae_edge import Codec
from fmae_edge.export.bundle_graphs import ExportOptions
from fmae_edge.export.bundle_writer import export_bundle
from fmae_edge.model.autoencoder import Autoencoder, to_images, to_pixels
from fmae_edge.model.checkpoint import CONFIG, load_checkpoint, start_run
from fmae_edge.model.config import ModelConfig, default_config
from fmae_edge.model.fast_pass import fast_autoencode
from fmae_edge.model.recipe import PriorFit, Recipe
from fmae_edge.runtime.bundle.bundle import read_bundle
from fmae_edge.runtime.self_test import self_test
from fmae_edge.train.loop import train
from fmae_edge.train.run_pictures import RunPictures
from tests.random_bundle import make_bundle, smooth_images

GEOMETRIES = [
    *((8, 8, 1), (8, 8, 3), (9, 9, 1), (8, 31, 3), (17, 10, 1), (29, 28, 3)),
    *((32, 32, 3), (33, 64, 1), (61, 47, 3), (100, 100, 1), (255, 90, 3), (8, 256, 1)),
    pytest.param((256, 256, 3), marks=pytest.mark.slow),
]
QUALITY = 5


@pytest.fixture(scope="module", params=GEOMETRIES, ids=str)
def made(request, tmp_path_factory):
    """A bundle of a random model, with the model and some images."""
    height, width, channels = request.param
    default = default_config(height, width, channels)
    config = replace(default, latent_size=12, widths=tuple(width // 8 for width in default.widths))
    folder = tmp_path_factory.mktemp("geometry")
    images = smooth_images(12 if height * width < 100 * 100 else 6, *request.param)
    return SimpleNamespace(model=make_bundle(folder, config, images), images=images, bundle=folder / "bundle")


def test_training_and_the_float_graphs_compute_the_model(made):
    pixels = to_pixels(torch.from_numpy(made.images))
    latents = made.model.encoder(pixels)
    expected = made.model(pixels)
    assert expected.shape == pixels.shape
    torch.testing.assert_close(fast_autoencode(made.model, pixels), expected, rtol=0, atol=1e-5)
    codec = Codec(made.bundle, precision="fp32", threads=1)
    np.testing.assert_allclose(codec.encode(made.images), latents, rtol=0, atol=1e-5)
    levels = to_images(expected).numpy() * 255
    assert levels.std() > 2  # else another order of the pixels would not show
    assert abs(codec.decode(latents.numpy()) - levels).max() <= 0.5 + 255e-5


def test_the_int8_graphs_lose_little(made):
    """`export_bundle` has compared the pixels; here the layout of the images is what could be wrong."""
    codec = Codec(made.bundle, threads=1)
    assert codec.manifest.image_shape == made.images.shape[1:]
    precise = Codec(made.bundle, precision="fp32", threads=1)
    latents = precise.encode(made.images)
    spread = np.ptp(latents)
    assert np.sqrt(np.square(codec.encode(made.images) - latents).mean()) < 0.02 * spread
    difference = codec.decode(latents) - precise.decode(latents).astype(float)
    assert np.sqrt(np.square(difference).mean()) < 4


def test_images_and_files_keep_their_shapes_and_symbols(made):
    codec = Codec(made.bundle, threads=1)
    shape, count = made.images.shape[1:], len(made.images)
    latents = codec.encode(made.images)
    assert latents.shape == (count, 12)
    assert codec.decode(latents).shape == made.images.shape
    assert codec.decode(codec.encode(made.images[0])).shape == shape
    content = codec.compress_batch(made.images, QUALITY)
    qualities = codec.manifest.qualities
    symbols = np.rint(latents / np.float32(qualities.steps[QUALITY - 1] * qualities.unit))
    np.testing.assert_array_equal(codec.symbols(content), symbols)
    np.testing.assert_array_equal(codec.decode(symbols.astype(int), QUALITY), codec.decompress(content))
    single = codec.decompress(codec.compress(made.images[0], QUALITY))
    assert single.shape == shape
    np.testing.assert_array_equal(single, codec.decompress(content, 0))


def test_the_search_lowers_the_cost_of_any_geometry(made):
    """Large images are searched on a part of their pixels; the cost is that of all of them."""
    codec = Codec(made.bundle, threads=1)
    image = made.images[0]

    def cost(effort):
        content = codec.compress(image, QUALITY, effort)
        error = np.square(codec.decompress(content) / 255 - image / 255).mean()
        return error + codec.manifest.qualities.bit_costs[QUALITY - 1] * 8 * len(content)

    one_byte = codec.manifest.qualities.bit_costs[QUALITY - 1] * 8
    assert cost(1) <= cost(0) + one_byte


def test_the_self_test_of_the_bundle_passes(made):
    read_bundle(made.bundle)
    checks = self_test(made.bundle)
    assert len(checks) == 7
    assert all(check.passed for check in checks), checks


def test_a_run_on_padded_rgb_images_trains_and_exports(tmp_path):
    """With a rate, so the bundle has a network prior; the pictures of the run are in colour."""
    config = ModelConfig(13, 10, 3, 6, (4, 8, 8))
    recipe = Recipe(5, batch_size=2, lr=0.02, rate_distortion=0.01, prior_fit=PriorFit(steps=10))
    images = smooth_images(60, 13, 10, 3)
    pixels = torch.from_numpy(images)
    run = tmp_path / "run"
    start_run(run, config, recipe)
    torch.manual_seed(0)
    with RunPictures(run, pixels[50:]) as pictures:
        metrics = train(
            run,
            Autoencoder(config),
            recipe,
            pixels[:50],
            pixels[50:],
            torch.device("cpu"),
            on_measured=pictures.on_measured,
        )
    assert metrics[-1]["test_mse"] < metrics[0]["test_mse"]
    assert metrics[-1]["train_bytes"] > 0
    with Image.open(run / "reconstructions" / "epoch-005.png") as picture:
        assert picture.mode == "RGB"
    options = ExportOptions(calibration_images=25)
    checkpoint = load_checkpoint(run)
    manifest, _ = export_bundle(run, checkpoint, pixels[:50], pixels[50:], tmp_path / "bundle", "rgb", options)
    assert manifest.record["training"]["config"] == json.loads((run / CONFIG).read_text())
    codec = Codec(tmp_path / "bundle", threads=1)
    content = codec.compress_batch(images)
    symbols = codec.symbols(content)
    np.testing.assert_array_equal(codec.decode(symbols, QUALITY), codec.decompress(content))
    assert all(check.passed for check in self_test(tmp_path / "bundle"))
