"""Defaults of a training on own images: rules for the settings that depend on the images."""

import math

from fmae_edge.model.config import ModelConfig
from fmae_edge.model.recipe import PriorFit

_STEPS = 20_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 10, 300
_STEPS_PER_EPOCH = 20
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 256
_FEWEST_FIT_STEPS, _MOST_FIT_STEPS, _IMAGES_PER_FIT_STEP = 1000, 5000, 3
_LAMBDA_PER_DENSITY = 0.005
_SMALLEST_LAMBDA, _LARGEST_LAMBDA = 1e-6, 0.1


def default_batch_size(images: int) -> int:
    """Return the images per step: 256, or for small sets the power of two that gives at least 20 steps per epoch.

    At least 32. Thus 5,120 images or more have batches of 256, 1,000 images batches of 32.
    """
    batch = _LARGEST_BATCH
    while batch > _SMALLEST_BATCH and images < _STEPS_PER_EPOCH * batch:
        batch //= 2
    return batch


def default_epochs(images: int, batch_size: int) -> int:
    """Return the number of epochs for about 20,000 steps of `batch_size` images: at least 10, at most 300."""
    steps_per_epoch = math.ceil(images / batch_size)
    return min(max(round(_STEPS / steps_per_epoch), _FEWEST_EPOCHS), _MOST_EPOCHS)


def default_rate_distortion(config: ModelConfig) -> float:
    """Return lambda, the weight of the distortion: 0.005 times the number of latents per pixel.

    At the optimum, the error that quantisation adds is proportional to the latents per pixel divided by lambda. A
    large lambda wastes the qualities: all are as good as the model can be. Measured on 10,000 emoji of 32x32 RGB
    with 128 latents, the nine qualities lie within 0.8 dB at a lambda of 0.01, 2.5 dB at 0.0015, and 3.4 dB at
    0.0006, with about the same bytes at equal PSNR. This rule gives 0.0006 for them.
    """
    density = config.latent_size / (config.height * config.width)
    return min(max(_LAMBDA_PER_DENSITY * density, _SMALLEST_LAMBDA), _LARGEST_LAMBDA)


def default_prior_fit(images: int) -> PriorFit:
    """Return the settings of the fit of the prior: a step for every three images, at least 1,000, at most 5,000.

    On small sets, more steps would only memorise the images. On latents of Fashion-MNIST, 700 and 2,000 steps for
    6,000 images differ by less than 1 %. 5,000 steps take about a minute for 64 latents on two idle cores.
    """
    steps = min(max(images // _IMAGES_PER_FIT_STEP, _FEWEST_FIT_STEPS), _MOST_FIT_STEPS)
    return PriorFit(steps=steps)
