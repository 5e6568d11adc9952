"""Map the latent space to two dimensions, so that images with similar latents are close together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

PERPLEXITY = 30
ITERATIONS = 500
CELLS = 36
_LARGEST_TILE = 48
# t-SNE compares each latent with 3 * perplexity neighbours; with fewer latents, PCA shows as much
_FEWEST_FOR_TSNE = 3 * PERPLEXITY + 2
_GAMMA = 0.7  # makes dark images visible on the black background


@dataclass(frozen=True)
class LatentMap:
    """The positions of N latents (N, 2) in [0, 1], x to the right and y down, and the name of the method."""

    places: Floats
    method: str


def map_latents(latents: NDArray[np.float32]) -> LatentMap:
    """Place latents (N, latent_size) by t-SNE, or by PCA if there are few. Equal latents give equal maps.

    van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008, as scikit-learn computes it.
    """
    if len(latents) < _FEWEST_FOR_TSNE:
        return LatentMap(_in_unit_square(_first_two_components(latents)), "PCA, the first two components")
    tsne = TSNE(init="pca", perplexity=PERPLEXITY, max_iter=ITERATIONS, random_state=0)
    with threadpool_limits(1):  # sums depend on the number of threads, and the map depends on every bit of them
        places = tsne.fit_transform(latents)
    method = f"t-SNE, perplexity {PERPLEXITY}, {ITERATIONS} iterations from PCA, random state 0"
    return LatentMap(_in_unit_square(places), method)


def draw_map(images: Pixels, places: Floats, colours: Floats) -> Pixels:
    """Draw images (N, height, width[, 3]) at their places in a picture (side, side, 3), each in its colour (N, 3).

    RGB images keep their own colours.

    The picture has 36 x 36 cells. A cell shows the image nearest to its centre, if there are images in it.
    """
    side = max(images.shape[1:3])
    step = -(-side // _LARGEST_TILE)  # larger images are shown with every second, third, ... pixel
    tile = -(-side // step)
    picture = np.zeros((CELLS * tile, CELLS * tile, 3), np.uint8)
    for index in shown_on_map(places):
        column, row = cell_of(places[index]) * tile
        shown: NDArray[Any] = images[index, ::step, ::step]
        if images.ndim == 3:
            shown = (shown / 255.0)[..., None] ** _GAMMA * colours[index] * 255
        height, width = shown.shape[:2]
        picture[row : row + height, column : column + width] = np.rint(shown)
    return picture


def shown_on_map(places: Floats) -> NDArray[np.int64]:
    """Return the indices of the images that the map shows: the image nearest to the centre of each cell."""
    cells = cell_of(places)
    distances = np.square(places * CELLS - cells - 0.5).sum(axis=1)
    order = np.argsort(distances, kind="stable")
    _, first = np.unique(cells[order] @ [1, CELLS], return_index=True)
    return np.sort(order[first])


def cell_of(places: Floats) -> NDArray[np.int64]:
    """Return the column and row (..., 2) of the cell of each place."""
    return np.minimum(places * CELLS, CELLS - 1).astype(np.int64)


def _first_two_components(latents: NDArray[np.float32]) -> Floats:
    centred = latents.astype(np.float64) - latents.mean(axis=0, dtype=np.float64)
    left, scales, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(latents), 2))
    components = (left * scales)[:, :2]
    places[:, : components.shape[1]] = components
    return places


def _in_unit_square(places: NDArray[np.floating]) -> Floats:
    """Scale and centre places in [0, 1], with the same scale for both axes."""
    low, high = places.min(axis=0).astype(np.float64), places.max(axis=0).astype(np.float64)
    extent = float((high - low).max()) or 1.0
    placed: Floats = (places - (low + high) / 2) / extent + 0.5
    return placed
