"""Compare the files of a bundle with those of other codecs: all measured points, and the difference in bytes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fmae_edge.evaluate.advantage import bytes_at_levels
from fmae_edge.evaluate.bench import describe_machine, read_machine
from fmae_edge.evaluate.bjontegaard import RateDifference, pareto_front, rate_difference
from fmae_edge.evaluate.codec_settings import Ladder, general_ladders
from fmae_edge.evaluate.image_choice import with_at_most
from fmae_edge.evaluate.pca_codec import fit_pca_codecs
from fmae_edge.evaluate.plots import MAX_CURVES, Curve
from fmae_edge.evaluate.rate_points import (
    IMAGES_IN_ATLAS,
    OURS,
    PACKINGS,
    Packing,
    Pixels,
    RatePoint,
    measure_amortised,
    measure_bundle,
    measure_pca,
    measure_single,
)
from fmae_edge.evaluate.records import read_results, require_same_bundle, text, verdict_sentences
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.codec import Codec

# The bytes of codecs are compared at this PSNR: general codecs reach it, and the bundle can exceed it
REFERENCE_DB = 22.0
# The settings of a general codec end this many dB above the best quality of the bundle
_ABOVE_OURS = 2.0
# or where the next one gains less: the quality of subsampled chroma is limited
_LEAST_GAIN = 0.2
# PCA is left out for larger images, whose covariances need minutes, and is fitted to at most so many numbers
MAX_PCA_NUMBERS = 3072
_MOST_FITTED = 60_000 * 28 * 28


@dataclass(frozen=True)
class CodecComparison:
    """The rate difference of `codec` against `anchor`, None if their curves share no PSNR."""

    codec: str
    anchor: str
    packing: Packing
    difference: RateDifference | None


@dataclass(frozen=True)
class Evaluation:
    """All measured points of one bundle and of the other codecs, and the machine that measured them.

    `verdict` is the JSON of the verdict; evaluations of earlier versions have none.
    """

    bundle_id: str
    machine: dict[str, Any]
    points: list[RatePoint]
    verdict: dict[str, Any] | None = None

    @classmethod
    def from_record(cls, record: Any) -> "Evaluation":
        """Read the result of `to_record`. Raises KeyError, TypeError, ValueError or AttributeError otherwise."""
        points = [RatePoint.from_record(point) for point in record["points"]]
        verdict = record.get("verdict")
        if verdict is not None:
            verdict_sentences(verdict)
        return cls(text(record["bundle_id"]), read_machine(record["machine"]), points, verdict)

    def curve(self, codec: str, packing: Packing) -> Curve:
        """Return the lossy points of a codec, in ascending order of bytes.

        Those of a general codec are its Pareto front: for RGB it is measured with several subsamplings.
        """
        points = [
            (point.bytes_per_image, point.quality.psnr_pooled)
            for point in self.points
            if (point.codec, point.packing) == (codec, packing) and math.isfinite(point.quality.psnr_pooled)
        ]
        return Curve(codec, sorted(points) if codec.startswith(OURS) else pareto_front(points))

    def _images(self, codec: str, packing: Packing) -> set[int]:
        return {point.images for point in self.points if (point.codec, point.packing) == (codec, packing)}

    def codecs(self) -> list[str]:
        """Return the names of the codecs, ours first."""
        return list(dict.fromkeys(point.codec for point in self.points))

    def levels(self, codec: str, packing: Packing) -> tuple[float, float] | None:
        """Return the lowest and highest pooled PSNR in dB of the lossy points of a codec, None without points."""
        levels = [psnr for _, psnr in self.curve(codec, packing).points]
        return (min(levels), max(levels)) if levels else None

    @property
    def reference_db(self) -> float:
        """Return the PSNR in dB at which bytes are compared: 22.0, or the nearest one that the bundle reaches."""
        ranges = [self.levels(codec, packing) for codec in self.codecs()[:1] for packing in PACKINGS]
        reached = [levels for levels in ranges if levels]
        if not reached:
            return REFERENCE_DB
        lowest, highest = max(low for low, _ in reached), min(high for _, high in reached)
        if highest < REFERENCE_DB:
            return math.floor(10 * highest) / 10
        return max(REFERENCE_DB, math.ceil(10 * lowest) / 10)

    def comparisons(self) -> list[CodecComparison]:
        """Compare the bundle with each other codec in both packings; both must be measured on the same images."""
        ours = [codec for codec in self.codecs() if codec.startswith(OURS)]
        others = [codec for codec in self.codecs() if not codec.startswith(OURS)]
        compared = []
        for packing in PACKINGS:
            for codec in ours:
                for anchor in others:
                    curves = [self.curve(name, packing).points for name in (anchor, codec)]
                    try:
                        same = self._images(codec, packing) == self._images(anchor, packing)
                        difference = rate_difference(*curves) if same else None
                    except ValueError:  # too few lossy points, or no PSNR in common
                        difference = None
                    compared.append(CodecComparison(codec, anchor, packing, difference))
        return compared

    def to_record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        reference = self.reference_db
        return {
            "bundle_id": self.bundle_id,
            "machine": self.machine,
            "points": [point.to_record() for point in self.points],
            "comparisons": [asdict(comparison) for comparison in self.comparisons()],
            "bytes_at_reference": {
                packing: {codec: bytes_at(self.curve(codec, packing).points, reference) for codec in self.codecs()}
                for packing in PACKINGS
            },
            "reference_db": reference,
            **({} if self.verdict is None else {"verdict": self.verdict}),
        }


def read_evaluation(content: bytes, where: str, bundle_id: str) -> Evaluation:
    """Read the evaluation.json of `fmae-edge evaluate` for this bundle; `where` names the file in messages.

    Raises InputError if the content is incomplete, was measured with another bundle, or does not fit in a plot.
    """

    def build(record: Any) -> Evaluation:
        evaluation = Evaluation.from_record(record)
        drawn = [
            name for name in evaluation.codecs() if any(evaluation.curve(name, each).points for each in PACKINGS)
        ]
        if not 1 <= len(drawn) <= MAX_CURVES:
            raise ValueError(f"it has {len(drawn)} lossy codecs; expected 1 to {MAX_CURVES}")
        return evaluation

    evaluation = read_results(content, where, "evaluation.json of `fmae-edge evaluate`", build)
    require_same_bundle(evaluation.bundle_id, bundle_id, where)
    return evaluation


def evaluate(
    codec: Codec,
    train_images: Pixels,
    test_images: Pixels,
    effort: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    ladders: Sequence[Ladder] | None = None,
) -> Evaluation:
    """Measure a bundle and other codecs on uint8 test images (N, height, width[, 3]), N a multiple of 100.

    The bundle is measured at effort 0, and also at `effort` if that is not 0. PCA is fitted to `train_images`,
    unless an image has more than 3,072 numbers. `ladders` are the other codecs to measure, by default all. If N is
    below 100, only files of one image are measured. Raises ValueError for another N.
    """
    if len(test_images) > IMAGES_IN_ATLAS and len(test_images) % IMAGES_IN_ATLAS:
        raise ValueError(f"{len(test_images)} images are not a multiple of {IMAGES_IN_ATLAS}")
    efforts = [0, effort] if effort else [0]
    settings = [(quality, each) for each in efforts for quality in range(1, QUALITIES + 1)]
    ladders = general_ladders(test_images.shape[1:]) if ladders is None else ladders
    has_pca = math.prod(test_images.shape[1:]) <= MAX_PCA_NUMBERS
    pca = fit_pca_codecs(with_at_most(train_images, _MOST_FITTED)) if has_pca else []
    total = len(settings) + len(pca) + sum(len(ladder.rungs) for ladder in ladders)
    points: list[RatePoint] = []
    done = 0

    def add(measured: list[RatePoint], steps: int = 1) -> None:
        nonlocal done
        points.extend(measured)
        done += steps
        on_progress(done, total)

    with threadpool_limits(1):  # the many small products of the prior are slower with two
        for quality, each in settings:
            add(measure_bundle(codec, quality, each, test_images))
        enough = max(point.quality.psnr_pooled for point in points) + _ABOVE_OURS
        for fitted in pca:
            add(measure_pca(fitted, test_images))
        for ladder in ladders:
            before = -math.inf
            for number, other in enumerate(ladder.rungs, 1):
                measured = [measure_single(other, test_images)]
                if len(test_images) >= IMAGES_IN_ATLAS:
                    measured.append(measure_amortised(other, test_images))
                reached = min(point.quality.psnr_pooled for point in measured)
                if number >= ladder.fewest and (reached >= enough or reached - before < _LEAST_GAIN):
                    add(measured, 1 + len(ladder.rungs) - number)
                    break
                add(measured)
                before = reached
    return Evaluation(codec.manifest.bundle_id, describe_machine(), points)


def bytes_at(points: Sequence[tuple[float, float]], psnr: float) -> float | None:
    """Return the bytes that a curve of (bytes, PSNR in dB) points needs for `psnr`, None outside its range."""
    front = pareto_front(points)
    if not front or not front[0][1] <= psnr <= front[-1][1]:
        return None
    return float(bytes_at_levels(front, np.array([psnr]))[0])
