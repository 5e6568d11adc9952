"""Compare the files of a bundle with those of other codecs: all measured points, and the difference in bytes."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmae_edge.evaluate.bench import describe_machine, read_machine
from fmae_edge.evaluate.bjontegaard import RateDifference, pareto_front, rate_difference
from fmae_edge.evaluate.general_codecs import LOSSLESS_CODECS, LOSSY_CODECS, GeneralCodec
from fmae_edge.evaluate.pca_codec import fit_pca_codecs
from fmae_edge.evaluate.plots import MAX_CURVES, Curve, plot_rate
from fmae_edge.evaluate.rate_points import (
    OURS,
    Packing,
    Pixels,
    RatePoint,
    measure_amortised,
    measure_bundle,
    measure_pca,
    measure_single,
)
from fmae_edge.evaluate.records import read_results, require_same_bundle, text
from fmae_edge.measure.figure import plot_to_png
from fmae_edge.runtime.atomic_write import refuse_existing, write_file
from fmae_edge.runtime.bundle.manifest import QUALITIES
from fmae_edge.runtime.codec import Codec
from fmae_edge.runtime.errors import OutputError

PACKINGS: tuple[Packing, Packing] = ("single", "amortised")
# The bytes of codecs are compared at this PSNR: general codecs reach it, and the bundle can exceed it
REFERENCE_DB = 22.0
RESULTS = ("evaluation.json", "evaluation.md", "evaluation.png")
_PLOT_RANGE = (17.0, 27.0)  # dB


@dataclass(frozen=True)
class CodecComparison:
    """The rate difference of `codec` against `anchor`, None if their curves share no PSNR."""

    codec: str
    anchor: str
    packing: Packing
    difference: RateDifference | None


@dataclass(frozen=True)
class Evaluation:
    """All measured points of one bundle and of the other codecs, and the machine that measured them."""

    bundle_id: str
    machine: dict[str, Any]
    points: list[RatePoint]

    @classmethod
    def from_record(cls, record: Any) -> "Evaluation":
        """Read the result of `to_record`. Raises KeyError, TypeError, ValueError or AttributeError otherwise."""
        points = [RatePoint.from_record(point) for point in record["points"]]
        return cls(text(record["bundle_id"]), read_machine(record["machine"]), points)

    def curve(self, codec: str, packing: Packing) -> Curve:
        """Return the lossy points of a codec, in ascending order of bytes."""
        points = [
            (point.bytes_per_image, point.quality.psnr_pooled)
            for point in self.points
            if (point.codec, point.packing) == (codec, packing) and math.isfinite(point.quality.psnr_pooled)
        ]
        return Curve(codec, sorted(points))

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
    general: Sequence[GeneralCodec] | None = None,
) -> Evaluation:
    """Measure a bundle and other codecs on uint8 test images (N, height, width), N a multiple of 100.

    The bundle is measured at effort 0, and also at `effort` if that is not 0. PCA is fitted to `train_images`.
    `general` are the other codecs to measure, by default all. Raises ValueError for another N.
    """
    efforts = [0, effort] if effort else [0]
    settings = [(quality, each) for each in efforts for quality in range(1, QUALITIES + 1)]
    general = (*LOSSY_CODECS, *LOSSLESS_CODECS) if general is None else general
    pca = fit_pca_codecs(train_images)
    total = len(settings) + len(pca) + len(general)
    points: list[RatePoint] = []

    def add(*measured: RatePoint) -> None:
        points.extend(measured)
        on_progress(len(points) // len(PACKINGS), total)

    for quality, each in settings:
        add(*measure_bundle(codec, quality, each, test_images))
    for fitted in pca:
        add(*measure_pca(fitted, test_images))
    for other in general:
        add(measure_single(other, test_images), measure_amortised(other, test_images))
    return Evaluation(codec.manifest.bundle_id, describe_machine(), points)


def bytes_at(points: Sequence[tuple[float, float]], psnr: float) -> float | None:
    """Return the bytes that a curve of (bytes, PSNR in dB) points needs for `psnr`, None outside its range.

    The logarithm of the bytes is interpolated between neighbours on the Pareto front.
    """
    front = pareto_front(points)
    if not front or not front[0][1] <= psnr <= front[-1][1]:
        return None
    sizes, levels = zip(*front, strict=True)
    return float(np.exp(np.interp(psnr, levels, np.log(sizes))))


def to_markdown(evaluation: Evaluation) -> str:
    """Return the comparison and all points as Markdown tables."""
    record = evaluation.to_record()
    lines = [
        f"Bundle {evaluation.bundle_id}, on {', '.join(f'{n} {v}' for n, v in evaluation.machine.items())}.",
        "",
        "Bytes are those of files, headers included; PSNR is in dB; times are medians on one thread.",
        "",
        f"| codec | bytes at {evaluation.reference_db} dB: one image per file | 100 per file |",
        "| --- | --- | --- |",
    ]
    for codec in evaluation.codecs():
        sizes = (record["bytes_at_reference"][packing][codec] for packing in PACKINGS)
        lines.append(f"| {codec} | {' | '.join(_cell(size, '.1f') for size in sizes)} |")
    lines += ["", "| rate difference (Bjontegaard) | one image per file | 100 per file |", "| --- | --- | --- |"]
    compared = {(each.codec, each.anchor, each.packing): each.difference for each in evaluation.comparisons()}
    for codec, anchor in dict.fromkeys((codec, anchor) for codec, anchor, _ in compared):
        differences = (_difference(compared[codec, anchor, packing]) for packing in PACKINGS)
        lines.append(f"| {codec} against {anchor} | {' | '.join(differences)} |")
    lines += [
        "",
        "| codec | setting | images per file | images | bytes per image | bits per pixel | PSNR pooled "
        "| PSNR per image | SSIM | encode ms | decode ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for point in evaluation.points:
        quality = point.quality
        cells = (
            point.codec,
            point.setting,
            "1" if point.packing == "single" else "100",
            str(point.images),
            f"{point.bytes_per_image:.2f}",
            f"{point.bits_per_pixel:.4f}",
            _cell(quality.psnr_pooled, ".2f"),
            _cell(quality.psnr_per_image, ".2f"),
            f"{quality.ssim:.4f}",
            f"{point.encode_ms:.3f}",
            f"{point.decode_ms:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _difference(difference: RateDifference | None) -> str:
    if difference is None:
        return "-"
    return f"{difference.percent:+.1f} % ({difference.low_db:.1f} to {difference.high_db:.1f} dB)"


def prepare_results(folder: Path, force: bool) -> list[Path]:
    """Create `folder` and return the paths of RESULTS in it.

    Raises OutputError if the folder cannot be created, or if one of the files exists and `force` is not set.
    """
    paths = [folder / name for name in RESULTS]
    for path in paths:
        refuse_existing(path, force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created ({error.strerror})") from None
    return paths


def write_results(evaluation: Evaluation, paths: Sequence[Path], force: bool) -> None:
    """Write the record, the tables and the plot of rate and distortion to `paths`, in the order of RESULTS.

    Raises OutputError as `write_file` does.
    """
    record, tables, plot = paths
    write_file(record, json.dumps(evaluation.to_record(), indent=1, allow_nan=False).encode() + b"\n", force)
    write_file(tables, to_markdown(evaluation).encode(), force)
    single, amortised = (
        [curve for name in evaluation.codecs() if (curve := evaluation.curve(name, packing)).points]
        for packing in PACKINGS
    )
    # The plot comes last, because it can be drawn again from the record
    write_file(plot, plot_to_png(plot_rate(single, amortised, _PLOT_RANGE)), force)
