"""Reconstruct every test image with a bundle, from latents and, if the bundle has a prior, from .fmae files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmae_edge.measure.quality import mse_per_image, psnr, ssim_per_image
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.fmae_writer import DEFAULT_QUALITY

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

_IMAGES_AT_ONCE = 100
_FROM_LATENTS = "float32 latents, not quantised"
_FROM_FILES = f".fmae files, quality {DEFAULT_QUALITY}"


@dataclass(frozen=True)
class Pass:
    """N images decoded in one way: `decoded` (N, height, width[, 3]), and the quality and file size of each (N,).

    `mse` is for pixels in [0, 1]; `psnr` is in dB, infinite if no pixel differs. `file_bytes` is the size of the
    file of each image including its header, None if no files were written.
    """

    name: str
    decoded: Pixels
    mse: Floats
    psnr: Floats
    ssim: Floats
    file_bytes: NDArray[np.int64] | None


@dataclass(frozen=True)
class Measured:
    """N test images (N, height, width[, 3]), their float32 latents (N, latent_size), and their reconstructions.

    The last of `passes` has the images that users of the bundle get: from files, or from latents without a prior.
    """

    images: Pixels
    latents: NDArray[np.float32]
    passes: tuple[Pass, ...]

    @property
    def shown(self) -> Pass:
        """Return the pass whose reconstructions the page shows."""
        return self.passes[-1]


def measure_reconstructions(codec: Codec, images: Pixels) -> Measured:
    """Reconstruct and measure uint8 images (N, height, width[, 3]) of the bundle's size, one file per image."""
    latents: NDArray[np.float32] = codec.encode(images)
    passes = [_pass(_FROM_LATENTS, images, codec.decode(latents), None)]
    if codec.manifest.qualities is not None:
        files = list(codec.compress_iter(iter(images)))
        decoded = np.stack(list(codec.decompress_iter(files)))
        passes.append(_pass(_FROM_FILES, images, decoded, np.array([len(file) for file in files])))
    return Measured(images, latents, tuple(passes))


def pooled_psnr_of(done: Pass) -> float:
    """Return the PSNR in dB of the mean squared error over all images."""
    return psnr(float(done.mse.mean()))


def by_psnr(done: Pass) -> NDArray[np.int64]:
    """Return the indices of the images (N,) from the worst reconstruction to the best; ties keep their order."""
    return np.argsort(done.psnr, kind="stable")


def absolute_error(originals: Pixels, decoded: Pixels) -> Floats:
    """Return |original - decoded| in levels of 255, averaged over N images and channels, (height, width)."""
    difference = originals.astype(np.int16) - decoded
    mean: Floats = np.abs(difference).mean(axis=(0, *range(3, difference.ndim)), dtype=np.float64)
    return mean


def _pass(name: str, images: Pixels, decoded: Pixels, file_bytes: NDArray[np.int64] | None) -> Pass:
    mse, ssim = [], []
    for start in range(0, len(images), _IMAGES_AT_ONCE):  # bounds memory
        part = slice(start, start + _IMAGES_AT_ONCE)
        pair = images[part] / np.float32(255), decoded[part] / np.float32(255)
        mse.append(mse_per_image(*pair))
        ssim.append(ssim_per_image(*pair))
    errors = np.concatenate(mse)
    return Pass(
        name=name,
        decoded=decoded,
        mse=errors,
        psnr=np.array([psnr(error) for error in errors]),
        ssim=np.concatenate(ssim),
        file_bytes=file_bytes,
    )
