"""Run every test image through a bundle: as latents, and as real .fmae files if the bundle has a prior."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmae_edge.measure.quality import mse_per_image, psnr, ssim_per_image
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.fmae_writer import DEFAULT_QUALITY

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

LATENTS_ALONE = "float32 latents, not quantised"
THROUGH_FILES = f".fmae files, quality {DEFAULT_QUALITY}"


@dataclass(frozen=True)
class Pass:
    """N images decoded in one way: `decoded` (N, height, width), and the figures of each image (N,).

    `mse` is of pixels in [0, 1]; `psnr` in dB is infinite if nothing differs. `file_bytes` counts the whole
    file of each image, headers included, and is None where no files are written.
    """

    name: str
    decoded: Pixels
    mse: Floats
    psnr: Floats
    ssim: Floats
    file_bytes: NDArray[np.int64] | None


@dataclass(frozen=True)
class Measured:
    """N test images (N, height, width), their float32 latents (N, latent_size), and the decoded images.

    The last of `passes` is what users of the bundle get: files if it can write them, else latents.
    """

    images: Pixels
    latents: NDArray[np.float32]
    passes: tuple[Pass, ...]

    @property
    def shown(self) -> Pass:
        """The pass whose reconstructions are shown."""
        return self.passes[-1]


def measure(codec: Codec, images: Pixels) -> Measured:
    """Measure uint8 images (N, height, width) of the bundle's geometry, one file per image."""
    latents: NDArray[np.float32] = codec.encode(images)
    passes = [_pass(LATENTS_ALONE, images, codec.decode(latents), None)]
    if codec.manifest.qualities is not None:
        files = list(codec.compress_iter(iter(images)))
        decoded = np.stack(list(codec.decompress_iter(files)))
        passes.append(_pass(THROUGH_FILES, images, decoded, np.array([len(file) for file in files])))
    return Measured(images, latents, tuple(passes))


def pooled_psnr_of(done: Pass) -> float:
    """Return the PSNR in dB of the mean squared error over all images."""
    return psnr(float(done.mse.mean()))


def by_psnr(done: Pass) -> NDArray[np.int64]:
    """Return the indices of the images (N,) from the worst reconstruction to the best; ties keep their order."""
    return np.argsort(done.psnr, kind="stable")


def absolute_error(originals: Pixels, decoded: Pixels) -> Floats:
    """Return |original - decoded| in levels of 255, averaged over N images: (height, width)."""
    difference = originals.astype(np.int16) - decoded
    mean: Floats = np.abs(difference).mean(axis=0, dtype=np.float64)
    return mean


def _pass(name: str, images: Pixels, decoded: Pixels, file_bytes: NDArray[np.int64] | None) -> Pass:
    pixels, found = images / np.float32(255), decoded / np.float32(255)
    mse = mse_per_image(pixels, found)
    return Pass(
        name=name,
        decoded=decoded,
        mse=mse,
        psnr=np.array([psnr(error) for error in mse]),
        ssim=ssim_per_image(pixels, found),
        file_bytes=file_bytes,
    )
