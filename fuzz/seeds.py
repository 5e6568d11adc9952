"""Write the first inputs of the corpus again: `python -m fuzz.seeds`. Inputs found by fuzzing stay.

They are small files of every kind that the readers know. A new default bundle does not need new inputs, because
the fuzzer writes its id into them. The graphs need the `export` extra.
"""

import io
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fmae_edge import Codec
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.runtime.bundle.manifest import MANIFEST_NAME
from fmae_edge.runtime.format.npy_file import dump_latents
from fuzz.fmae_targets import GOLDEN, GOLDEN_3, PACKETS
from fuzz.mutators import repair_manifest
from fuzz.seed_graphs import bundles, gradients, graphs, priors
from fuzz.seed_images import image_files, jpeg_files, tiff_files
from fuzz.targets import CORPUS


def fmae_files(images: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Yield files of the default bundle: one image, stacks, stacks with names, empty stacks."""
    codec = Codec()
    yield "one.fmae", codec.compress(images[0])
    yield "one-of-9.fmae", codec.compress(images[1], quality=9, effort=1)
    yield "stack.fmae", codec.compress_batch(images[:9], quality=1)
    yield "names.fmae", codec.compress_batch(images[:3], names=["shirt", "Stiefel", "\u9774"])
    noise = np.random.default_rng(0).integers(0, 256, images[0].shape).astype(np.uint8)
    for name, image in (("exact", images[0]), ("exact-flat", images[0] * 0), ("exact-noise", noise)):
        yield f"{name}.fmae", codec.compress(image, min_psnr=np.inf)
    yield "own-qualities.fmae", codec.compress_batch([images[0] * 0, *images[:4]], min_psnr=19)
    yield "none.fmae", codec.compress_batch(images[:0])
    yield "none-named.fmae", codec.compress_batch(images[:0], names=[])


def golden_fmae_files() -> Iterator[tuple[str, bytes]]:
    """Yield the golden files."""
    for file in GOLDEN["files"]:
        kind = "one" if file["single"] else "names" if file["names"] else "stack"
        yield f"{file['prior']}-{file['quality']}-{kind}.fmae", bytes.fromhex(file["content"])
    for number, file in enumerate(GOLDEN_3["files"]):
        if number % 5 == 0 or not file["single"]:
            yield f"version-3-{number}.fmae", bytes.fromhex(file["content"])


def packets() -> Iterator[tuple[str, bytes]]:
    """Yield the golden packets."""
    for packet in PACKETS["packets"]:
        yield f"{packet['prior']}-{packet['first']}.fmpk", bytes.fromhex(packet["packet"])


def bare_payloads() -> Iterator[tuple[str, bytes]]:
    """Yield some golden payloads, each after a byte that stands for its quality."""
    for number, each in enumerate(PACKETS["payloads"][::5]):
        payload = bytes([each["quality"] - 1]) + bytes.fromhex(each["payload"])
        yield f"{each['prior']}-{each['quality']}-{number}.bin", payload


def npy_files(images: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Yield latents in each dtype, for one image and for two, in both byte orders and both orders of axes."""
    codec = Codec()
    for dtype in ("float32", "float16", "int8"):
        yield f"{dtype}.npy", dump_latents(codec.encode(images[0], dtype=dtype))
        yield f"{dtype}-2.npy", dump_latents(codec.encode(images[:2], dtype=dtype))
    yield "big-endian.npy", dump_latents(codec.encode(images[0], dtype="float16").astype(">f2"))
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(codec.encode(images[:2], dtype="int8")))
    yield "fortran.npy", stream.getvalue()
    yield "none.npy", dump_latents(np.empty((0, 64), np.float32))


def manifests() -> Iterator[tuple[str, bytes]]:
    """Yield the default bundle's manifest with a shorter record, and as formats 2 and 1 wrote it."""
    content = json.loads((DEFAULT_BUNDLE / MANIFEST_NAME).read_bytes())
    content["record"] = {"tools": content["record"]["tools"]}
    yield "format-3.json", repair_manifest(json.dumps(content).encode())
    content["qualities"]["contrast_floors"] = [3.0] * 9
    yield "format-3-floors.json", repair_manifest(json.dumps(content).encode())
    del content["qualities"]
    for version in (2, 1):
        content["format_version"] = version
        yield f"format-{version}.json", repair_manifest(json.dumps(content).encode())


def main() -> None:
    """Write all first inputs."""
    samples = sorted((CORPUS.parent.parent / "samples").glob("*.png"))
    images = np.stack([np.asarray(Image.open(path)) for path in samples])
    seeds = {
        "fmae": fmae_files(images),
        "fmae-golden": golden_fmae_files(),
        "packet": packets(),
        "bare": bare_payloads(),
        "npy": npy_files(images),
        "image": image_files(images[0]),
        "jpeg": jpeg_files(images[0]),
        "tiff": tiff_files(images[0]),
        "manifest": manifests(),
        "prior": priors(),
        "bundle": bundles(),
        "graph": graphs(),
        "gradient": gradients(),
    }
    for target, files in seeds.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files:
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
