"""Write an evaluation: its record as JSON, tables as Markdown and a plot, and its verdict into the manifest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmae_edge.evaluate.bjontegaard import RateDifference
from fmae_edge.evaluate.evaluation import Evaluation
from fmae_edge.evaluate.plots import plot_rate, psnr_window
from fmae_edge.evaluate.rate_points import OURS, PACKINGS
from fmae_edge.evaluate.records import verdict_sentences
from fmae_edge.measure.figure import plot_to_png
from fmae_edge.runtime.atomic_write import refuse_existing, write_file
from fmae_edge.runtime.bundle.built_in import is_built_in
from fmae_edge.runtime.bundle.bundle import MAX_MANIFEST_BYTES, read_bundle
from fmae_edge.runtime.bundle.manifest import MANIFEST_NAME, manifest_checksum
from fmae_edge.runtime.errors import OutputError

RESULTS = ("evaluation.json", "evaluation.md", "evaluation.png")


def to_markdown(evaluation: Evaluation) -> str:
    """Return the comparison and all points as Markdown tables, and then the verdict."""
    record = evaluation.to_record()
    said = [] if evaluation.verdict is None else verdict_sentences(evaluation.verdict)
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
    lines += [line for sentence in said for line in ("", sentence)]
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
    write_file(plot, plot_to_png(plot_rate(single, amortised, psnr_window([*single, *amortised], OURS))), force)


def keep_verdict(bundle: Path, bundle_id: str, verdict: dict[str, Any]) -> None:
    """Write `verdict` to the record in the manifest of the bundle in a folder, with a new checksum.

    The file is replaced at once. All other fields stay, and with them the bundle id. Raises OutputError if it
    cannot be written, if the folder now has another bundle, or if it is a built-in one; BundleError if it is
    damaged.
    """
    if is_built_in(bundle):
        raise OutputError(f"{bundle}: is a built-in bundle, which is not changed")
    read = read_bundle(bundle, only=())
    if read.manifest.bundle_id != bundle_id:
        raise OutputError(f"{bundle}: now has another bundle than the one that was measured")
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_bytes())
    content["record"]["verdict"] = verdict
    content["checksum"] = manifest_checksum(content)
    changed = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
    if len(changed) > MAX_MANIFEST_BYTES:
        raise OutputError(f"{path}: would have more than {MAX_MANIFEST_BYTES} bytes with the verdict")
    write_file(path, changed, force=True)
