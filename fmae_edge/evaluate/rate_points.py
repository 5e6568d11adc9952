"""Measure points on the rate-distortion curve of a codec: its file sizes, and the quality of the decoded images.

A file of a small image is mostly header, so each codec is measured twice: "single" has one image per file; in
"amortised" 100 images share one header, in a .fmae file of 100 images or in an atlas of 10x10 tiles.

The first files are coded one after another and timed. The rest is coded on all CPUs at once, which would disturb
the times. Images are coded in chunks, so that memory does not grow with their number.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fmae_edge.evaluate.general_codecs import GeneralCodec
from fmae_edge.evaluate.pca_codec import PcaCodec
from fmae_edge.evaluate.records import chosen, count, number, text
from fmae_edge.measure.quality import Quality, mse_per_image, quality_of, ssim_per_image
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.format.fmae_file import SINGLE_HEADER_BYTES

Pixels = NDArray[np.uint8]
Packing = Literal["single", "amortised"]
PACKINGS: tuple[Packing, Packing] = ("single", "amortised")

OURS = "fmae-edge"
ATLAS_SIDE = 10
IMAGES_IN_ATLAS = ATLAS_SIDE**2

# PCA is charged the overhead of a .fmae file: a header per file if single, otherwise a length per image
_LENGTH_BYTES = 1
_MOST_WITH_EFFORT = 2000  # images, one per file
_IMAGES_TIMED = 100
_ATLASES_TIMED = 3
_NUMBERS_AT_ONCE = 1 << 22  # of pixels and channels


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


@dataclass
class _Sums:
    """What was measured so far: bytes, the error and similarity of each image, seconds of the timed files."""

    file_bytes: int = 0
    mse: list[NDArray[np.float64]] = field(default_factory=list)
    ssim: list[NDArray[np.float64]] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def add(self, originals: Pixels, decoded: Pixels) -> None:
        """Add the quality of decoded images."""
        pair = originals / np.float32(255), decoded / np.float32(255)
        self.mse.append(mse_per_image(*pair))
        self.ssim.append(ssim_per_image(*pair))

    def point(
        self,
        codec: str,
        setting: str,
        packing: Packing,
        images: Pixels,
        images_per_file: int,
        extra_bytes: int = 0,
    ) -> RatePoint:
        """Return the point of all N images (N, height, width[, 3]), whose files have `extra_bytes` more."""
        file_bytes = self.file_bytes + extra_bytes
        encode, decode = (statistics.median(each) * 1e3 for each in zip(*self.seconds, strict=True))
        return RatePoint(
            codec=codec,
            setting=setting,
            packing=packing,
            images=len(images),
            bytes_per_image=file_bytes / len(images),
            bits_per_pixel=8 * file_bytes / math.prod(images.shape[:3]),
            quality=quality_of(np.concatenate(self.mse), np.concatenate(self.ssim)),
            encode_ms=encode / images_per_file,
            decode_ms=decode / images_per_file,
        )


def our_name(effort: int) -> str:
    """Return the name of the bundle in the points that were measured with an effort."""
    return OURS if effort == 0 else f"{OURS}, effort {effort}"


def measure_single(codec: GeneralCodec, images: Pixels) -> RatePoint:
    """Measure one file per image of uint8 images (N, height, width[, 3]).

    Raises ValueError if a lossless codec changes a pixel.
    """
    return _measure(codec, "single", images, 1, lambda chunk: chunk, lambda pictures: pictures)


def measure_amortised(codec: GeneralCodec, images: Pixels) -> RatePoint:
    """Measure one file per 100 images of uint8 images (N, height, width[, 3]), N a multiple of 100.

    Raises ValueError for another N, or if a lossless codec changes a pixel.
    """
    return _measure(codec, "amortised", images, IMAGES_IN_ATLAS, to_atlases, from_atlases)


def measure_bundle(codec: Codec, quality: int, effort: int, images: Pixels) -> list[RatePoint]:
    """Measure .fmae files of one image and of 100, for uint8 images (N, height, width[, 3]).

    With an effort above 0 and more than 2,000 images, files of one image are measured for every tenth image only.
    Fewer than 100 images have only the first point. Raises ValueError if N is above 100 and no multiple of it.
    """
    name, setting = our_name(effort), f"quality {quality}"
    encode = partial(codec.compress, quality=quality, effort=effort)
    alone = GeneralCodec(name, setting, encode, codec.decompress)
    points = [measure_single(alone, images[::10] if effort and len(images) > _MOST_WITH_EFFORT else images)]
    if len(images) >= IMAGES_IN_ATLAS:
        encode = partial(codec.compress_batch, quality=quality, effort=effort)
        stack = GeneralCodec(name, setting, encode, codec.decompress)
        shape = images.shape[1:]
        points.append(
            _measure(
                stack,
                "amortised",
                images,
                IMAGES_IN_ATLAS,
                lambda chunk: chunk.reshape(-1, IMAGES_IN_ATLAS, *shape),
                lambda stacks: stacks.reshape(-1, *shape),
            )
        )
    return points


def measure_pca(codec: PcaCodec, images: Pixels) -> list[RatePoint]:
    """Measure PCA on uint8 images (N, height, width[, 3]): one file per image, and a length byte per payload.

    The first is timed image by image on the first 100 images, the second in calls with many images. Fewer than 100
    images have only the first point.
    """
    single, amortised = _Sums(), _Sums()
    for image in images[:_IMAGES_TIMED]:
        _, _, *seconds = _round_trip(
            lambda one: codec.encode(one[None])[0], lambda file: codec.decode([file]), image
        )
        single.seconds.append((seconds[0], seconds[1]))
    for chunk in _chunks(images, 1):
        started = time.perf_counter()
        payloads = codec.encode(chunk)
        encoded = time.perf_counter()
        decoded = codec.decode(payloads)
        seconds = [(encoded - started) / len(chunk), (time.perf_counter() - encoded) / len(chunk)]
        amortised.seconds.append((seconds[0], seconds[1]))
        single.file_bytes += sum(map(len, payloads))
        single.add(chunk, decoded)
    amortised.file_bytes, amortised.mse, amortised.ssim = single.file_bytes, single.mse, single.ssim
    setting = f"step {codec.step:g}"
    points = [single.point("PCA", setting, "single", images, 1, SINGLE_HEADER_BYTES * len(images))]
    if len(images) >= IMAGES_IN_ATLAS:
        points.append(amortised.point("PCA", setting, "amortised", images, 1, _LENGTH_BYTES * len(images)))
    return points


def to_atlases(images: Pixels) -> Pixels:
    """Arrange images (100 * A, height, width[, 3]) as A atlases of 10x10 tiles, row by row."""
    count, height, width, *channels = images.shape
    if count % IMAGES_IN_ATLAS:
        raise ValueError(f"an atlas has {IMAGES_IN_ATLAS} images; {count} is not a multiple of that")
    tiles = images.reshape(-1, ATLAS_SIDE, ATLAS_SIDE, height, width, *channels)
    return tiles.swapaxes(2, 3).reshape(-1, ATLAS_SIDE * height, ATLAS_SIDE * width, *channels)


def from_atlases(atlases: Pixels) -> Pixels:
    """Cut A atlases of 10x10 tiles into images (100 * A, height, width[, 3]), the inverse of `to_atlases`."""
    height, width = (side // ATLAS_SIDE for side in atlases.shape[1:3])
    channels = atlases.shape[3:]
    rows = atlases.reshape(-1, ATLAS_SIDE, height, ATLAS_SIDE, width, *channels)
    return rows.swapaxes(2, 3).reshape(-1, height, width, *channels)


def _measure(
    codec: GeneralCodec,
    packing: Packing,
    images: Pixels,
    images_per_file: int,
    pack: Callable[[Pixels], Pixels],
    unpack: Callable[[Pixels], Pixels],
) -> RatePoint:
    """Measure files of the pictures that `pack` makes of images; `unpack` is its inverse."""
    sums, timed = _Sums(), _IMAGES_TIMED if images_per_file == 1 else _ATLASES_TIMED
    with ThreadPoolExecutor(available_cpus()) as pool:
        for chunk in _chunks(images, images_per_file):
            pictures = pack(chunk)
            alone = max(timed - len(sums.seconds), 0)
            trip = partial(_round_trip, codec.encode, codec.decode)
            trips = [trip(picture) for picture in pictures[:alone]]
            sums.seconds += [(encode, decode) for _, _, encode, decode in trips]
            trips += pool.map(trip, pictures[alone:])
            decoded = np.stack([pixels for _, pixels, _, _ in trips])
            if codec.lossless and (decoded != pictures).any():
                raise ValueError(f"{codec.name}, {codec.setting}: the decoded pixels differ from the original")
            sums.file_bytes += sum(size for size, _, _, _ in trips)
            sums.add(chunk, unpack(decoded))
    return sums.point(codec.name, codec.setting, packing, images, images_per_file)


def _chunks(images: Pixels, multiple: int) -> Iterator[Pixels]:
    """Yield stacks of a multiple of so many images, with at most 4 million numbers if they are more than one."""
    at_once = max(_NUMBERS_AT_ONCE // math.prod(images.shape[1:]) // multiple, 1) * multiple
    for start in range(0, len(images), at_once):
        yield np.ascontiguousarray(images[start : start + at_once])


def _round_trip(
    encode: Callable[[Pixels], bytes], decode: Callable[[bytes], Pixels], picture: Pixels
) -> tuple[int, Pixels, float, float]:
    """Return the bytes of the file of a picture, the decoded pixels, and the seconds to encode and to decode."""
    started = time.perf_counter()
    file = encode(picture)
    encoded = time.perf_counter()
    decoded = decode(file)
    return len(file), decoded, encoded - started, time.perf_counter() - encoded
