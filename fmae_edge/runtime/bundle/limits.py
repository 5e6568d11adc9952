"""How much a bundle may need: some multiple of what the default bundle's graphs need for a geometry of that size.

Hashes do not stop whoever makes a bundle. What its geometry does not explain is refused before onnxruntime sees
it, so that a bundle from a stranger costs memory and time in proportion to its images.
"""

from typing import NamedTuple

from fmae_edge.runtime.bundle.manifest import GOLDEN_NAME, GRAPH_NAMES, PRIOR_NAME

MAX_BUNDLE_BYTES = 256 << 20  # of all files
MAX_MANIFEST_BYTES = 2 << 20  # 65,536 latents take 1.6 MB
MAX_FILES = 16
_PRIOR_BYTES, _PRIOR_BYTES_PER_LATENT = 1 << 20, 1 << 12
_GOLDEN_IMAGES = 64  # export writes the vectors of 8
_OTHER_BYTES = 1 << 20  # of a file that this version does not know
_NAMES_BYTES = 1 << 20  # of a graph, for everything but its weights
# Small images need more for each pixel, so they may have as much as those of 28x28 with 64 latents
_LEAST_SIZE = 1024


class Needs(NamedTuple):
    """What a graph needs for one image, or may need."""

    values_at_once: int  # of one operator's result
    values: int  # of all operators' results
    multiply_adds: int
    weights: int  # numbers in the file
    operators: int


def most_needs(pixels: int, latents: int) -> Needs:
    """Return what a graph may need for images of so many pixels, all channels counted, and latents of that size.

    The default bundle's graphs, and those that are not rewritten, need up to 30 values in one result, 125 in all
    results and 10,000 multiply-adds for each pixel or latent, and 500,000 weights. A model with four times as many
    channels in each layer needs four times the values and 16 times the multiply-adds, and is within these limits.
    """
    size = max(pixels + latents, _LEAST_SIZE)
    return Needs(
        values_at_once=128 * size,
        values=640 * size,
        multiply_adds=160_000 * size + 128 * pixels * latents,
        weights=1_500_000 + 64 * pixels * latents,
        operators=256,
    )


def most_bytes(name: str, pixels: int, latents: int) -> int:
    """Return how many bytes the file of that name in a bundle may have."""
    if name in GRAPH_NAMES:
        return 4 * most_needs(pixels, latents).weights + _NAMES_BYTES
    if name == PRIOR_NAME:
        return _PRIOR_BYTES + _PRIOR_BYTES_PER_LATENT * latents
    if name == GOLDEN_NAME:
        return _OTHER_BYTES + _GOLDEN_IMAGES * (3 * pixels + 16 * latents)
    return _OTHER_BYTES
