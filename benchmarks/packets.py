"""Measure the images per packet and the bytes of bare payloads: `python benchmarks/packets.py [--fill]`.

The images are the test images of Fashion-MNIST, in sets of at most 4,096. The table has the images per packet and
the pooled PSNR of the decoded packets at some qualities, and the images per packet at a PSNR, interpolated between
the nine qualities. With --fill, a packet with room gets a higher quality. The last line has the bytes of a bare
payload and of a .fmae file of one image at that PSNR.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmae_edge import Codec
from fmae_edge.data.fashion_mnist import load_fashion_mnist
from fmae_edge.evaluate.advantage import bytes_at_levels
from fmae_edge.measure.quality import pooled_psnr
from fmae_edge.runtime.arguments import slices
from fmae_edge.runtime.format.fmae_file import SINGLE_HEADER_BYTES
from fmae_edge.runtime.format.packet import MAX_SET_IMAGES
from fmae_edge.runtime.packet_writer import ImagesTooLargeError

PACKETS = {"LoRa DR0": 51, "LoRa DR5": 222, "Iridium SBD": 340}
SHOWN = (1, 3, 5)
LEVEL = 22.0  # dB


def main() -> None:
    """Measure and print the tables as Markdown."""
    parser = argparse.ArgumentParser(description="Measure the images per packet.")
    parser.add_argument("--effort", type=int, default=0)
    parser.add_argument("--fill", action="store_true", help="fill packets with quality")
    parser.add_argument("--images", type=int, default=10_000, help="the first ones; fewer take less time")
    parser.add_argument("--quality", type=int, action="append", help="may be repeated (default: all nine)")
    parser.add_argument("--bundle", type=Path, help="default: the built-in one")
    options = parser.parse_args()
    codec = Codec(options.bundle)
    images = load_fashion_mnist(None).test[: options.images]
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in (*PACKETS, "payload")}
    rows = []
    for quality in options.quality or range(1, 10):
        payloads = codec.compress_batch(images, quality, options.effort, bare=True)
        psnr = pooled_psnr(images / 255, codec.decompress_batch(payloads, bare=True, quality=quality) / 255)
        points["payload"].append((float(np.mean([len(payload) for payload in payloads])), psnr))
        wanted = (quality, options.effort, options.fill)
        sets = {name: measure(codec, images, size, *wanted) for name, size in PACKETS.items()}
        for name, packed in sets.items():
            if not packed.too_large:
                points[name].append((packed.packets / packed.images, packed.psnr))
        if quality in SHOWN:
            rows.append((f"quality {quality}", *(shown(packed) for packed in sets.values())))
        print(f"quality {quality} measured", file=sys.stderr)
    at_level = {name: float(bytes_at_levels(each, np.array([LEVEL]))[0]) for name, each in points.items()}
    level = f"{LEVEL} dB"
    if any(each[0][1] > LEVEL for each in points.values()):
        level += ", or at quality 1 if that has more"
    rows.append((f"at {level}", *(f"{1 / at_level[name]:.2f}" for name in PACKETS)))
    header = ("images per packet", *(f"{name}, {size} bytes" for name, size in PACKETS.items()))
    filled = ", filled" * options.fill
    print(f"Bundle {codec.manifest.bundle_id}, effort {options.effort}{filled}, {len(images)} images.\n")
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")
    payload = at_level["payload"]
    print(
        f"\nAt {level}, a bare payload has {payload:.2f} bytes, a file {payload + SINGLE_HEADER_BYTES:.2f} bytes."
    )


@dataclass
class Packed:
    """The packets of a number of images, the pooled PSNR, and the number of other images, which are too large."""

    images: int
    packets: int
    psnr: float
    too_large: int


def measure(codec: Codec, images: NDArray[np.uint8], size: int, quality: int, effort: int, fill: bool) -> Packed:
    """Return the packets of at most `size` bytes of the images that fit into one, and their PSNR when decoded."""
    packets, kept, decoded = 0, [], []
    for part in slices(len(images), MAX_SET_IMAGES):
        some = images[part]
        try:
            packed = codec.packets.compress(some, size, quality, effort, fill=fill)
        except ImagesTooLargeError as error:
            some = np.delete(some, list(error.errors), axis=0)
            packed = codec.packets.compress(some, size, quality, effort, fill=fill)
        packets += len(packed)
        kept.append(some)
        decoded.append(codec.packets.decompress(packed).images)
    originals = np.concatenate(kept)
    psnr = pooled_psnr(originals / 255, np.concatenate(decoded) / 255)
    return Packed(len(originals), packets, psnr, len(images) - len(originals))


def shown(packed: Packed) -> str:
    """Return the images per packet for the table."""
    most = f" (without {packed.too_large} that do not fit)" if packed.too_large else ""
    return f"{packed.images / packed.packets:.2f} at {packed.psnr:.2f} dB{most}"


if __name__ == "__main__":
    main()
