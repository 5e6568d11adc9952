"""Measure MSE, PSNR and SSIM of batches of images, in numpy.

Two figures are called PSNR in the literature. They differ by up to 1.5 dB on Fashion-MNIST, so each has its own
name here: pooled (of the mean squared error over all images) and per image (the mean of the PSNRs of the images).

Arrays are (N, height, width) for gray images and (N, height, width, 3) for RGB. All channels count alike: the
squared error is averaged over them, and SSIM is the mean of the SSIMs of the channels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Images = NDArray[np.floating] | NDArray[np.uint8]

_SSIM_WINDOW = 7
_SSIM_K1, _SSIM_K2 = 0.01, 0.03
_LEAST_VARIANCE = 64  # in levels: of an image without contrast, or the ratio would be that of its noise
_NUMBERS_AT_ONCE = 500 * 28 * 28  # bounds memory


@dataclass(frozen=True)
class Quality:
    """The quality of N reconstructions with pixels in [0, 1]; PSNR is in dB, infinite if no pixel differs."""

    mse: float
    psnr_pooled: float
    psnr_per_image: float
    ssim: float


def measure_quality(originals: Images, reconstructions: Images) -> Quality:
    """Compare images, uint8 or with pixels in [0, 1], with their reconstructions.

    Both are taken a few images at a time, so any number of uint8 images takes little memory.
    """
    parts = [(mse_per_image(*part), ssim_per_image(*part)) for part in _real_parts(originals, reconstructions)]
    errors, similarities = map(np.concatenate, zip(*parts, strict=True))
    return quality_of(errors, similarities)


def quality_of(mse: NDArray[np.float64], ssim: NDArray[np.float64]) -> Quality:
    """Return the quality of N images with these mean squared errors (N,) and similarities (N,)."""
    pooled = float(mse.mean())
    return Quality(
        mse=pooled,
        psnr_pooled=psnr(pooled),
        psnr_per_image=float(np.mean([psnr(error) for error in mse])),
        ssim=float(ssim.mean()),
    )


def measure_each(originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> list[Quality]:
    """Compare each of N uint8 images with its reconstruction."""
    return [
        measure_quality(before[None], after[None])
        for before, after in zip(originals, reconstructions, strict=True)
    ]


def mse_per_image(originals: Array, reconstructions: Array) -> NDArray[np.float64]:
    """Return the mean squared error of each of N images, (N,)."""
    differences = (before.astype(np.float64) - after for before, after in _parts(originals, reconstructions))
    return np.concatenate([np.square(part).reshape(len(part), -1).mean(axis=1) for part in differences])


def pooled_psnr(originals: Images, reconstructions: Images) -> float:
    """Return the PSNR in dB of the mean squared error over all pixels of images, uint8 or in [0, 1]."""
    errors = [mse_per_image(*part) for part in _real_parts(originals, reconstructions)]
    return psnr(float(np.concatenate(errors).mean()))


def psnr_per_image(originals: Images, reconstructions: Images) -> list[float]:
    """Return the PSNR in dB of each of N images, uint8 or in [0, 1]; infinite if no pixel differs."""
    return [psnr(error) for part in _real_parts(originals, reconstructions) for error in mse_per_image(*part)]


def psnr(mse: float) -> float:
    """Return the peak signal-to-noise ratio in dB for a mean squared error of pixels in [0, 1]."""
    return -10 * math.log10(mse) if mse > 0 else math.inf


def contrast_to_error(originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return 10 log10((variance + 64) / MSE) of each of N images, (N,), in dB: both are of levels 0 to 255.

    Unlike PSNR, it is low for images that a codec does not know even if they have little contrast, because then
    much of the contrast is lost. It is infinite if no pixel differs.
    """
    parts = []
    for before, after in _parts(originals, reconstructions):
        variance = before.reshape(len(before), -1).var(axis=1, dtype=np.float64)
        error = mse_per_image(before, after)
        with np.errstate(divide="ignore"):
            parts.append(10 * np.log10((variance + _LEAST_VARIANCE) / error))
    return np.concatenate(parts)


def ssim_per_image(originals: Array, reconstructions: Array) -> NDArray[np.float64]:
    """Return the structural similarity of each of N images, (N,), pixels in [0, 1].

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004, with
    the defaults of scikit-image: a uniform 7x7 window, data range 1, K1 = 0.01, K2 = 0.03, sample covariance, and
    the mean over the windows that lie fully inside the image. That of an RGB image is the mean over its channels.

    Raises ValueError for images with a side under 7 pixels.
    """
    if min(originals.shape[1:3]) < _SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least 7x7, got {originals.shape[1:3]}")
    return np.concatenate([_ssim(*part) for part in _parts(originals, reconstructions)])


def _parts(originals: NDArray[Any], reconstructions: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield a few images and their reconstructions at a time, which bounds memory."""
    at_once = max(1, _NUMBERS_AT_ONCE // math.prod(originals.shape[1:]))
    for at in range(0, len(originals), at_once):
        yield originals[at : at + at_once], reconstructions[at : at + at_once]


def _real_parts(originals: Images, reconstructions: Images) -> Iterator[tuple[Array, Array]]:
    """Yield the same with pixels in [0, 1]."""
    for before, after in _parts(originals, reconstructions):
        yield _reals(before), _reals(after)


def _reals(images: NDArray[Any]) -> Array:
    return images / np.float32(255) if images.dtype == np.uint8 else images


def _ssim(original: Array, reconstruction: Array) -> NDArray[np.float64]:
    x, y = original.astype(np.float64), reconstruction.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    sample = _SSIM_WINDOW**2 / (_SSIM_WINDOW**2 - 1)
    var_x = sample * (_window_mean(x * x) - mean_x**2)
    var_y = sample * (_window_mean(y * y) - mean_y**2)
    covariance = sample * (_window_mean(x * y) - mean_x * mean_y)
    c1, c2 = _SSIM_K1**2, _SSIM_K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    similarity: NDArray[np.float64] = (luminance * structure).mean(axis=tuple(range(1, x.ndim)))
    return similarity


def _window_mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of every 7x7 window inside (N, height, width[, 3]), from two running sums."""
    for axis in (1, 2):
        sums = np.cumsum(x, axis=axis)
        padded = np.insert(sums, 0, 0.0, axis=axis)
        upper = np.take(padded, range(_SSIM_WINDOW, padded.shape[axis]), axis=axis)
        lower = np.take(padded, range(padded.shape[axis] - _SSIM_WINDOW), axis=axis)
        x = (upper - lower) / _SSIM_WINDOW
    return x
