"""Measure points on the rate-distortion curve of a codec: its file sizes, and the quality of the decoded images.

At 28x28 pixels a file is mostly header, so each codec is measured twice: "single" has one image per file; in
"amortised" 100 images share one header, in a .fmae file of 100 images or in an atlas of 10x10 tiles.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fmae_edge.evaluate.general_codecs import GeneralCodec
from fmae_edge.evaluate.pca_codec import PcaCodec
from fmae_edge.evaluate.records import chosen, count, number, text
from fmae_edge.measure.quality import Quality, measure_quality
from fmae_edge.runtime.codec import Codec

Pixels = NDArray[np.uint8]
Packing = Literal["single", "amortised"]

OURS = "fmae-edge"
ATLAS_SIDE = 10
IMAGES_IN_ATLAS = ATLAS_SIDE**2

# PCA is charged the overhead of a .fmae file: a header per file if single, otherwise a length per image
_HEADER_BYTES = 7
_LENGTH_BYTES = 1
_IMAGES_TIMED = 100


@dataclass(frozen=True)
class RatePoint:
    """A codec at one setting, measured on `images` images: mean file size, quality, median times per image.

    `bytes_per_image` counts complete files, including headers.
    """

    codec: str
    setting: str
    packing: Packing
    images: int
    bytes_per_image: float
    bits_per_pixel: float
    quality: Quality
    encode_ms: float
    decode_ms: float

    def to_record(self) -> dict[str, Any]:
        """Return everything as JSON values, with None for the infinite PSNR of a lossless codec."""
        record = asdict(self)
        record["quality"] = {
            name: value if math.isfinite(value) else None for name, value in record["quality"].items()
        }
        return record

    @classmethod
    def from_record(cls, record: Any) -> "RatePoint":
        """Read the result of `to_record`. Raises KeyError, TypeError, ValueError or AttributeError otherwise."""
        quality = {name: math.inf if value is None else number(value) for name, value in record["quality"].items()}
        return cls(
            codec=text(record["codec"]),
            setting=text(record["setting"]),
            packing=chosen(record["packing"], get_args(Packing)),
            images=count(record["images"]),
            bytes_per_image=number(record["bytes_per_image"], above=0),
            bits_per_pixel=number(record["bits_per_pixel"], above=0),
            quality=Quality(**quality),
            encode_ms=number(record["encode_ms"]),
            decode_ms=number(record["decode_ms"]),
        )


def measure_single(codec: GeneralCodec, images: Pixels) -> RatePoint:
    """Measure one file per image of (N, height, width) uint8 images.

    Raises ValueError if a lossless codec changes a pixel.
    """
    return _measure(codec, "single", images)


def measure_amortised(codec: GeneralCodec, images: Pixels) -> RatePoint:
    """Measure one file per 100 images of (N, height, width) uint8 images, N a multiple of 100.

    Raises ValueError for another N, or if a lossless codec changes a pixel.
    """
    return _measure(codec, "amortised", images)


def measure_bundle(codec: Codec, quality: int, effort: int, images: Pixels) -> tuple[RatePoint, RatePoint]:
    """Measure .fmae files of one image and of 100, for (N, height, width) uint8 images, N a multiple of 100.

    With an effort above 0, files of one image are measured for every tenth image only.
    """
    name = OURS if effort == 0 else f"{OURS}, effort {effort}"
    alone = GeneralCodec(
        name,
        f"quality {quality}",
        partial(codec.compress, quality=quality, effort=effort),
        codec.decompress,
    )
    stacks = images.reshape(-1, IMAGES_IN_ATLAS, *images.shape[1:])
    encode = partial(codec.compress_batch, quality=quality, effort=effort)
    file_bytes, decoded, *seconds = _round_trip(encode, codec.decompress, stacks)
    times = (_median_ms(seconds[0], IMAGES_IN_ATLAS), _median_ms(seconds[1], IMAGES_IN_ATLAS))
    amortised = rate_point(
        name, alone.setting, "amortised", images, decoded.reshape(images.shape), file_bytes, times
    )
    return measure_single(alone, images[::10] if effort else images), amortised


def measure_pca(codec: PcaCodec, images: Pixels) -> tuple[RatePoint, RatePoint]:
    """Measure PCA on (N, height, width) uint8 images: one file per image, and payloads with a length byte each.

    The first is timed image by image on the first 100 images, the second in one call with all images.
    """
    started = time.perf_counter()
    payloads = codec.encode(images)
    encoded = time.perf_counter()
    decoded = codec.decode(payloads)
    batch_ms = ((encoded - started) * 1e3 / len(images), (time.perf_counter() - encoded) * 1e3 / len(images))
    _, _, encode_seconds, decode_seconds = _round_trip(
        lambda image: codec.encode(image[None])[0],
        lambda payload: codec.decode([payload])[0],
        images[:_IMAGES_TIMED],
    )
    single_ms = (_median_ms(encode_seconds, 1), _median_ms(decode_seconds, 1))
    payload_bytes = sum(map(len, payloads))
    single_bytes, amortised_bytes = (payload_bytes + each * len(images) for each in (_HEADER_BYTES, _LENGTH_BYTES))
    setting = f"step {codec.step:g}"
    return (
        rate_point("PCA", setting, "single", images, decoded, single_bytes, single_ms),
        rate_point("PCA", setting, "amortised", images, decoded, amortised_bytes, batch_ms),
    )


def to_atlases(images: Pixels) -> Pixels:
    """Arrange (100 * A, height, width) images as A atlases of 10x10 tiles, row by row."""
    count, height, width = images.shape
    if count % IMAGES_IN_ATLAS:
        raise ValueError(f"an atlas has {IMAGES_IN_ATLAS} images; {count} is not a multiple of that")
    tiles = images.reshape(-1, ATLAS_SIDE, ATLAS_SIDE, height, width)
    return tiles.swapaxes(2, 3).reshape(-1, ATLAS_SIDE * height, ATLAS_SIDE * width)


def from_atlases(atlases: Pixels) -> Pixels:
    """Cut A atlases of 10x10 tiles into (100 * A, height, width) images, the inverse of `to_atlases`."""
    height, width = (side // ATLAS_SIDE for side in atlases.shape[1:])
    rows = atlases.reshape(-1, ATLAS_SIDE, height, ATLAS_SIDE, width)
    return rows.swapaxes(2, 3).reshape(-1, height, width)


def rate_point(
    codec: str,
    setting: str,
    packing: Packing,
    originals: Pixels,
    decoded: Pixels,
    file_bytes: int,
    milliseconds: tuple[float, float],
) -> RatePoint:
    """Return the point of a codec whose files of N (height, width) uint8 `originals` have `file_bytes` in total.

    `milliseconds` are the times per image to encode and to decode.
    """
    return RatePoint(
        codec=codec,
        setting=setting,
        packing=packing,
        images=len(originals),
        bytes_per_image=file_bytes / len(originals),
        bits_per_pixel=8 * file_bytes / originals.size,
        quality=measure_quality(originals / np.float32(255), decoded / np.float32(255)),
        encode_ms=milliseconds[0],
        decode_ms=milliseconds[1],
    )


def _measure(codec: GeneralCodec, packing: Packing, originals: Pixels) -> RatePoint:
    pictures = to_atlases(originals) if packing == "amortised" else originals
    file_bytes, decoded, encode_seconds, decode_seconds = _round_trip(codec.encode, codec.decode, pictures)
    if codec.lossless and (decoded != pictures).any():
        raise ValueError(f"{codec.name}, {codec.setting}: the decoded pixels differ from the original")
    if packing == "amortised":
        decoded = from_atlases(decoded)
    images_per_file = len(originals) // len(pictures)
    times = (_median_ms(encode_seconds, images_per_file), _median_ms(decode_seconds, images_per_file))
    return rate_point(codec.name, codec.setting, packing, originals, decoded, file_bytes, times)


def _round_trip(
    encode: Callable[[Pixels], bytes], decode: Callable[[bytes], Pixels], pictures: Pixels
) -> tuple[int, Pixels, list[float], list[float]]:
    """Return the total bytes of the files, the decoded pictures, and the seconds per file to encode and decode."""
    file_bytes, decoded, encode_seconds, decode_seconds = 0, np.empty_like(pictures), [], []
    for picture, slot in zip(pictures, decoded, strict=True):
        started = time.perf_counter()
        file = encode(picture)
        encoded = time.perf_counter()
        slot[:] = decode(file)
        decode_seconds.append(time.perf_counter() - encoded)
        encode_seconds.append(encoded - started)
        file_bytes += len(file)
    return file_bytes, decoded, encode_seconds, decode_seconds


def _median_ms(seconds: Sequence[float], images: int) -> float:
    return statistics.median(seconds) * 1e3 / images
