"""Training images stay in their file: neither the loop nor the fit of the prior copies all of them."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.checkpoint import has_prior, start_run
from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import ImageSet, PriorFit, Recipe
from fmae_edge.train.loop import prior_stride, train

STATUS = Path("/proc/self/status")
IMAGES, SIDE = 1_000_000, 24


def private_bytes():
    """Return the memory of this process that is not a part of a file."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon")]
    return 1024 * int(line.split()[1])


class PeakMemory:
    """Sample the private memory in a thread; `grown` is the largest growth in bytes since the start."""

    def __enter__(self):
        self.first, self.grown, self._ended = private_bytes(), 0, threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self):
        while not self._ended.wait(0.002):
            self.grown = max(self.grown, private_bytes() - self.first)

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells which memory is private")
def test_a_million_images_are_not_in_memory(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (IMAGES, SIDE, SIDE))  # sparse
    pixels = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="c"))
    few = pixels[:20]
    config = ModelConfig(SIDE, SIDE, 1, 4, (2, 2))
    known = {"train_images": None, "validation_images": ImageSet.of(few.numpy())}
    recipe = Recipe(None, 64, minutes=0.01, rate_distortion=0.01, rate_start=0.01, prior_fit=PriorFit(2), **known)
    start_run(tmp_path / "run", config, recipe)
    with PeakMemory() as memory:
        train(tmp_path / "run", Autoencoder(config), recipe, pixels, few, torch.device("cpu"))
    assert has_prior(tmp_path / "run")
    assert memory.grown < mapped.nbytes / 3


def test_the_prior_is_fitted_to_every_image_of_small_sets_and_to_a_part_of_large_ones():
    assert prior_stride(200_000) == 1
    assert prior_stride(200_001) == 2
    assert prior_stride(IMAGES) == 5
