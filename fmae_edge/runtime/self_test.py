"""Make the golden vectors of a bundle, and test that this machine computes the same results as at the export.

Symbols and files are results of integer arithmetic and have to be equal. Latents and pixels have tolerances: CPUs
add floating-point numbers in different orders and round int8 results differently.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge.runtime.bundle.bundle import Bundle, read_bundle
from fmae_edge.runtime.bundle.manifest import GOLDEN_NAME, Manifest
from fmae_edge.runtime.bundle.safetensors_file import read_tensors
from fmae_edge.runtime.engine.graphs import PRECISIONS, Graphs, Precision
from fmae_edge.runtime.engine.providers import Providers
from fmae_edge.runtime.entropy.prior import MAX_SYMBOL
from fmae_edge.runtime.errors import BundleError, InputError
from fmae_edge.runtime.fmae_reader import FmaeReader
from fmae_edge.runtime.format.fmae_file import pack_many
from fmae_edge.runtime.format.payload_index import MAX_IMAGES
from fmae_edge.runtime.latent_coder import LatentCoder

GOLDEN_QUALITY = 5
# Root mean square of the differences: of latents as a share of their range, of pixels in levels of 255.
# Different rounding in every int8 layer stays far below; a sum that saturates does not.
MAX_DIFFERENCES: dict[Precision, tuple[float, float]] = {"fp32": (1e-4, 0.1), "int8": (5e-3, 1.0)}
# On other execution providers, which may use bfloat16, float16 or TF32. OpenVINO in bfloat16 has 4.6e-4 and 0.33
_MAX_PROVIDER_DIFFERENCES = (2e-3, 1.0)
# Of the error's change along its gradient, as a share of what the gradient predicts. The step is a share of the
# latents' norm. ReLUs that change sides make a difference of 0.0015 in the default bundle, as doctor shows.
_STEP, _MAX_SLOPE_DIFFERENCE = 1e-3, 0.05


@dataclass(frozen=True)
class Check:
    """One comparison with a golden vector: `passed`, the difference as text, and the time in milliseconds."""

    name: str
    passed: bool
    found: str
    ms: float


def golden_vectors(bundle: Bundle, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return the expected values of a self-test, computed on this machine for images (N, height, width)."""
    vectors: dict[str, NDArray[Any]] = {"images": images}
    for precision in PRECISIONS:
        graphs = Graphs(bundle, precision, threads=1)
        latents = graphs.encode(images)
        vectors |= {f"{precision}.latents": latents, f"{precision}.pixels": graphs.decode(latents)}
        if bundle.manifest.qualities and precision == "int8":
            coder = LatentCoder(bundle, graphs)
            payloads = list(coder.payloads(images, GOLDEN_QUALITY, effort=0))
            content = pack_many(payloads, GOLDEN_QUALITY, bundle.manifest.bundle_id)
            vectors["file"] = np.frombuffer(content, np.uint8)
            vectors["symbols"] = coder.symbols(payloads, GOLDEN_QUALITY).astype(np.int32)
    return vectors


def self_test(path: Path, providers: Providers = ()) -> list[Check]:
    """Compute the golden vectors of the bundle in folder `path` again, on one thread, and compare.

    With `providers`, compare only the results of the float32 graphs on them, with tolerances for bfloat16.

    Returns no checks if the bundle has no golden vectors. Raises BundleError if it is incomplete, or the vectors
    do not fit it; ArgumentError or FmaeError if onnxruntime cannot run the graphs on the providers.
    """
    bundle = read_bundle(path)
    graphs = Graphs(bundle, "fp32", threads=1, providers=providers) if providers else None
    if GOLDEN_NAME not in bundle.files:
        return []
    golden = read_tensors(bundle.files[GOLDEN_NAME], f"{path}: {GOLDEN_NAME}", floats=True)
    try:
        _require_fitting(golden, bundle.manifest)
        if graphs is not None:
            return _near_golden(graphs, "fp32", golden, _MAX_PROVIDER_DIFFERENCES)
        return _checks(bundle, golden)
    except InputError as error:  # latents or a file that the codec refuses
        raise BundleError(f"{path}: {GOLDEN_NAME} does not fit the bundle ({error})") from None


def _require_fitting(golden: Mapping[str, NDArray[Any]], manifest: Manifest) -> None:
    """Raise InputError if a golden vector is missing, or has an impossible dtype, shape or value."""

    def require(name: str, dtype: type, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """Return a vector, which must have this dtype and shape; None stands for any length except 0."""
        if name not in golden:
            raise InputError(f"it has no {name}")
        vector = golden[name]
        fits = len(vector.shape) == len(shape) and all(
            length > 0 if wanted is None else length == wanted
            for length, wanted in zip(vector.shape, shape, strict=True)
        )
        if vector.dtype != dtype or not fits:
            raise InputError(f"its {name} are {vector.dtype} of shape {vector.shape}")
        return vector

    images = len(require("images", np.uint8, (None, *manifest.image_shape)))
    for precision in PRECISIONS:
        latents = require(f"{precision}.latents", np.float32, (images, manifest.latent_size))
        require(f"{precision}.pixels", np.uint8, (images, *manifest.image_shape))
        if not np.isfinite(latents).all():
            raise InputError(f"its {precision}.latents contain NaN or infinity")
    if "file" in golden or "symbols" in golden:
        require("file", np.uint8, (None,))
        symbols = require("symbols", np.int32, (images, manifest.latent_size))
        if symbols.min() < -MAX_SYMBOL or symbols.max() > MAX_SYMBOL:
            raise InputError(f"its symbols exceed {MAX_SYMBOL}")


def _checks(bundle: Bundle, golden: Mapping[str, NDArray[Any]]) -> list[Check]:
    checks = []
    for precision in PRECISIONS:
        graphs = Graphs(bundle, precision, threads=1)
        checks += _near_golden(graphs, precision, golden, MAX_DIFFERENCES[precision])
    if bundle.has_gradient:
        checks.append(_gradient(Graphs(bundle, "fp32", threads=1), golden["images"], golden["fp32.latents"]))
    if "file" in golden:
        coder = LatentCoder(bundle, Graphs(bundle, "int8", threads=1))
        content, symbols = golden["file"].tobytes(), golden["symbols"]
        reader = FmaeReader(coder, bundle.manifest.bundle_id)
        file = reader.parse(content, MAX_IMAGES)
        if not file.quality:
            raise InputError("its file has images without symbols")
        if len(file.payloads) != len(symbols):
            raise InputError(
                f"its file has {len(file.payloads)} images, but its symbols are those of {len(symbols)}"
            )

        def write(symbols: NDArray[Any]) -> NDArray[Any]:
            payloads = coder.payloads_of(symbols.astype(np.int64), file.quality)
            return np.frombuffer(pack_many(payloads, file.quality, bundle.manifest.bundle_id), np.uint8)

        checks += [
            _equal("symbols of a file", reader.symbols, file, symbols),
            _equal("file of symbols", write, symbols, golden["file"]),
        ]
    return checks


def _near_golden(
    graphs: Graphs, precision: Precision, golden: Mapping[str, NDArray[Any]], most: tuple[float, float]
) -> list[Check]:
    """Compare the latents and the pixels of graphs; `most` has what MAX_DIFFERENCES has for a precision."""
    latents, pixels = golden[f"{precision}.latents"], golden[f"{precision}.pixels"]
    most_latents = most[0] * float(np.ptp(latents.astype(np.float64)))
    graphs.decode(graphs.encode(golden["images"]))  # loads the graphs, which is not timed
    return [
        _near(f"{precision} latents", graphs.encode, golden["images"], latents, most_latents),
        _near(f"{precision} pixels", graphs.decode, latents, pixels, most[1]),
    ]


def _gradient(graphs: Graphs, images: NDArray[np.uint8], latents: NDArray[np.float32]) -> Check:
    """Compare the change of the error along its gradient with the change that the gradient predicts.

    Each latent is that of another image, because near its own the gradient is small.
    """
    images = np.roll(images, 1, axis=0)
    levels = images / 255

    def squared_error(latents: NDArray[np.float32]) -> float:
        pixels, _ = graphs.error_gradient(latents, images)
        return float(np.square(pixels - levels).sum())

    graphs.error_gradient(latents[:1], images[:1])  # loads the graph, which is not timed
    gradients, ms = _timed(lambda given: graphs.error_gradient(*given)[1], (latents, images))
    slope = gradients.astype(np.float64)
    with np.errstate(over="ignore"):  # of latents that no image has
        step = _STEP * np.linalg.norm(latents.astype(np.float64)) / (np.linalg.norm(slope) or 1.0) * slope
        below, above = ((latents + sign * step).astype(np.float32) for sign in (-1, 1))
        predicted = float(np.sum((above.astype(np.float64) - below) * slope))
    difference = abs(squared_error(above) - squared_error(below) - predicted) / predicted if predicted else np.inf
    found = f"differs by {difference:.2g}, {_MAX_SLOPE_DIFFERENCE:.2g} allowed"
    return Check("gradient", bool(difference <= _MAX_SLOPE_DIFFERENCE), found, ms)


def _near(
    name: str, compute: Callable[[Any], NDArray[Any]], given: object, expected: NDArray[Any], most: float
) -> Check:
    result, ms = _timed(compute, given)
    difference = float(np.sqrt(np.mean(np.square(result - expected.astype(np.float64)))))
    return Check(name, difference <= most, f"differ by {difference:.2g}, {most:.2g} allowed", ms)


def _equal(name: str, compute: Callable[[Any], NDArray[Any]], given: object, expected: NDArray[Any]) -> Check:
    result, ms = _timed(compute, given)
    same = np.array_equal(result, expected)
    return Check(name, same, "equal" if same else "differ, but must be equal", ms)


def _timed(compute: Callable[[Any], NDArray[Any]], given: object) -> tuple[NDArray[Any], float]:
    started = time.perf_counter()
    result = compute(given)
    return result, (time.perf_counter() - started) * 1e3
