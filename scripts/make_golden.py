"""Write golden files: `python scripts/make_golden.py`.

spec/golden/default-bundle.npz changes with the shipped bundle. spec/golden/format-2, with version 2 of the .fmae
format, and spec/golden/packets, with packets and bare payloads, get the same bytes each time. spec/golden/format-1
was written once and is never written again. Nor is spec/golden/format-3, because other versions of zlib and
liblzma write other bytes.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fmae_edge import Codec
from fmae_edge.runtime.entropy.image_stream import add_image, end_stream, stream_images
from fmae_edge.runtime.entropy.prior import read_prior
from fmae_edge.runtime.entropy.symbol_coder import encode_symbols
from fmae_edge.runtime.format.fmae_file import pack_many, pack_one
from fmae_edge.runtime.format.image_names import as_names
from fmae_edge.runtime.format.lossless import encode_lossless, every_payload
from fmae_edge.runtime.format.packet import OWN_QUALITIES, PacketFrame, pack_packet

REPOSITORY = Path(__file__).parents[1]
GOLDEN = REPOSITORY / "spec" / "golden"
FORMAT_1, FORMAT_2, FORMAT_3 = (GOLDEN / f"format-{version}" for version in (1, 2, 3))
PACKETS = GOLDEN / "packets"
# Letters of two bytes, characters that older versions of Python do not know, and valid paths that look invalid
NAMES = [
    "coat",
    "a/b",
    "a/b c/d.e",
    ".hidden/..x",
    "\u00e9t\u00e9/\U0001fae8",
    "a b/\u202f\u3000x",
    "CON1/nulls",
    "z" * 200,
    "/".join(["y" * 199] * 5),
]


def write_vectors() -> None:
    """Write the samples with their latents and reconstructions from the shipped bundle."""
    images = np.stack([np.asarray(Image.open(path)) for path in sorted((REPOSITORY / "samples").glob("*.png"))])
    codec = Codec(precision="fp32")
    latents = codec.encode(images)
    np.savez(
        GOLDEN / "default-bundle.npz",
        images=images,
        latents=latents,
        symbols=codec.encode(images, dtype="int8"),
        decoded=codec.decode(latents),
    )


def write_format_2() -> None:
    """Write stacks whose names are paths, with the priors of format 1."""
    golden = json.loads((FORMAT_1 / "files.json").read_text())
    numbers = np.arange(len(NAMES) * golden["latents"])
    symbols = (numbers**2 * 37 % 83 - 41).reshape(-1, golden["latents"])
    files = []
    for name, quality in (("network", 5), ("tables", 9)):
        content = (FORMAT_1 / f"{name}.safetensors").read_bytes()
        prior = read_prior(content, golden["latents"], tuple(golden["steps"]), name)
        file = pack_many(
            encode_symbols(prior, symbols, quality - 1), quality, golden["bundle_id"], as_names(NAMES, len(NAMES))
        )
        files.append(
            {
                "prior": name,
                "quality": quality,
                "names": NAMES,
                "single": False,
                "content": file.hex(),
                "symbols": symbols.tolist(),
            }
        )
    FORMAT_2.mkdir(exist_ok=True)
    (FORMAT_2 / "files.json").write_text(json.dumps({**golden, "files": files}) + "\n")


def write_format_3() -> None:
    """Write lossless images, stored in every way, and stacks whose images have their own qualities."""
    golden = json.loads((FORMAT_1 / "files.json").read_text())
    bundle_id, latents = golden["bundle_id"], golden["latents"]
    content = (FORMAT_1 / "network.safetensors").read_bytes()
    prior = read_prior(content, latents, tuple(golden["steps"]), "network")
    files = []
    for shape in ((6, 9), (7, 5, 3)):
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        smooth = (200 + 9 * rows + 31 * columns + (rows * columns) % 7) % 256
        image = (smooth if len(shape) == 2 else np.stack([smooth, smooth // 2, 255 - smooth], axis=2)).astype(
            np.uint8
        )
        for payload in {payload[0]: payload for payload in every_payload(image)}.values():
            file = pack_one(payload, 0, bundle_id)
            files.append({"shape": shape, "names": None, "single": True, "content": file.hex()})
            files[-1]["images"] = [{"quality": 0, "pixels": image.tolist()}]
        symbols = (np.arange(3 * latents) ** 2 * 29 % 71 - 35).reshape(3, latents)
        coded = [
            (quality, encode_symbols(prior, row[None], quality - 1)[0])
            for quality, row in zip((9, 1, 4), symbols, strict=True)
        ]
        coded.insert(1, (0, encode_lossless(image)))
        names = ["a", "b/c", "b/d", "e"] if len(shape) == 3 else None
        file = pack_many([bytes([quality]) + payload for quality, payload in coded], 0, bundle_id, names)
        files.append({"shape": shape, "names": names, "single": False, "content": file.hex()})
        own = iter(symbols.tolist())
        files[-1]["images"] = [
            {"quality": quality, "symbols": next(own)} if quality else {"quality": 0, "pixels": image.tolist()}
            for quality, _ in coded
        ]
    FORMAT_3.mkdir()
    (FORMAT_3 / "files.json").write_text(json.dumps({**golden, "files": files}) + "\n")


def write_packets() -> None:
    """Write bare payloads and packets, with the priors of format 1."""
    golden = json.loads((FORMAT_1 / "files.json").read_text())
    latents, bundle_id = golden["latents"], golden["bundle_id"]
    numbers = np.arange(12 * latents)
    symbols = (numbers**3 * 11 % 97 % 9 - 4).reshape(-1, latents)
    symbols[4] = numbers[:latents] ** 2 * 37 % 83 - 41  # with escapes
    symbols[5] *= 5000
    # The number of the first image, the quality of each, the quality in the header, and whether they end the set
    sets = (
        (0, (5, 5, 5), 5, False),
        (7, (1,), 1, True),
        (258, (9, 1, 4, 6), OWN_QUALITIES, False),
        (4088, (2,) * 8, 2, True),
    )
    payloads, packets = [], []
    for name in ("network", "tables"):
        prior = read_prior((FORMAT_1 / f"{name}.safetensors").read_bytes(), latents, tuple(golden["steps"]), name)
        for quality in (1, 5, 9):
            coded = encode_symbols(prior, symbols[:6], quality - 1)
            for payload, row in zip(coded, symbols.tolist(), strict=False):
                payloads.append({"prior": name, "quality": quality, "payload": payload.hex(), "symbols": row})
        for first, qualities, header_quality, ends_set in sets:
            own = header_quality == OWN_QUALITIES
            rows = symbols[4:][: len(qualities)]
            message = None
            for row, quality in zip(rows, qualities, strict=True):
                message = add_image(message, stream_images(prior, row[None], quality, own)[0])
            assert message is not None
            frame = PacketFrame(first, header_quality, end_stream(message, ends_set))
            packets.append(
                {
                    "prior": name,
                    "first": first,
                    "qualities": qualities,
                    "ends_set": ends_set,
                    "packet": pack_packet(frame, bundle_id).hex(),
                    "symbols": rows.tolist(),
                }
            )
    PACKETS.mkdir(exist_ok=True)
    content = {"bundle_id": bundle_id, "latents": latents, "steps": golden["steps"]}
    text = json.dumps({**content, "payloads": payloads, "packets": packets})
    (PACKETS / "files.json").write_text(text + "\n")


if __name__ == "__main__":
    write_vectors()
    write_format_2()
    if not FORMAT_3.exists():
        write_format_3()
    write_packets()
