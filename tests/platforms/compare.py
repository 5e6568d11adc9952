"""Compare this CPU with the one that wrote a reference: `python compare.py REFERENCE [--graphs]`, in a root.

Symbols and payloads have to be equal. Results of the graphs, which need --graphs and onnxruntime, are floating
point or depend on it, so they are counted. Prints one JSON object.
"""

import json
import platform
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmae_edge import Codec
from fmae_edge.runtime.bundle.built_in import built_in_folder, built_in_names
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME
from fmae_edge.runtime.entropy.prior import read_prior
from fmae_edge.runtime.entropy.symbol_coder import encode_symbols

Reference = dict[str, NDArray[Any]]  # as cpus.write_reference writes it


def compare_symbols(reference: Reference, qualities: list[int]) -> dict[str, int]:
    """Return how many symbols and payloads of the reference's files are wrong here."""
    codec, bundle = Codec(), read_bundle(DEFAULT_BUNDLE)
    manifest = bundle.manifest
    assert manifest.qualities is not None
    prior = read_prior(bundle.file(PRIOR_NAME), manifest.latent_size, manifest.qualities.steps, PRIOR_NAME)
    found = {"symbols": 0, "wrong_symbols": 0, "wrong_payloads": 0}
    for quality in qualities:
        file = codec.parse(reference[f"{quality}.file"].tobytes())
        symbols = reference[f"{quality}.symbols"]
        found["symbols"] += symbols.size
        found["wrong_symbols"] += int((codec.symbols(file) != symbols).sum())
        payloads = encode_symbols(prior, symbols.astype(np.int64), quality - 1)
        found["wrong_payloads"] += sum(map(bytes.__ne__, payloads, file.payloads))
    return found


def compare_graphs(reference: Reference, qualities: list[int]) -> dict[str, Any]:
    """Return how the results of the int8 graphs differ here, and whether the self-tests pass."""
    import onnxruntime

    from fmae_edge.runtime.self_test import self_test

    codec, images = Codec(), reference["images"]
    found: dict[str, Any] = {"onnxruntime": onnxruntime.__version__, "files": len(qualities), "other_files": 0}
    found |= {"other_symbols": 0, "pixels": 0, "other_pixels": 0, "most_levels": 0}
    for quality in qualities:
        content, pixels = reference[f"{quality}.file"].tobytes(), reference[f"{quality}.pixels"]
        levels = np.abs(codec.decompress_batch(content) - pixels.astype(int))
        found["pixels"] += pixels.size
        found["other_pixels"] += int((levels > 0).sum())
        found["most_levels"] = max(found["most_levels"], int(levels.max()))
        written = codec.compress_batch(images, quality)
        found["other_files"] += written != content
        found["other_symbols"] += int((codec.symbols(written) != reference[f"{quality}.symbols"]).sum())
    checks = [check for name in built_in_names() for check in self_test(built_in_folder(name))]
    found["self_test_fails"] = ", ".join(check.name for check in checks if not check.passed)
    return found


if __name__ == "__main__":
    given = dict(np.load(sys.argv[1]))
    written_at = [int(name[0]) for name in given if name.endswith(".file")]
    outcome: dict[str, Any] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "byte_order": sys.byteorder,
    }
    outcome |= compare_symbols(given, written_at)
    if "--graphs" in sys.argv:
        outcome |= compare_graphs(given, written_at)
    print(json.dumps(outcome))
