"""Matrix products that stay in the calling thread.

OpenBLAS wakes threads of its own for a large product. Where the CPUs are busy, waiting for them was measured to
take a hundred times as long as the product, and in a forked child it may never end.
"""

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.arrays import slices

# OpenBLAS, interface/gemm.c: SMP_THRESHOLD_MIN x GEMM_MULTITHREAD_THRESHOLD, up to which it wakes no thread
_PRODUCTS_IN_ONE_THREAD = 65536 * 4


def multiply(x: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return x weights, a few rows of x at a time where it is large."""
    rows = max(1, _PRODUCTS_IN_ONE_THREAD // max(1, weights.size))
    if x.ndim == 1 or len(x) <= rows:
        product: NDArray[np.float32] = x.dot(weights)  # of one image, half the time of @
        return product
    return np.concatenate([x[part].dot(weights) for part in slices(len(x), rows)])
