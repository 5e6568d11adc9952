"""The last lines of `fmae-edge train`: the finished model on images that training never saw."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmae_edge.train.held_out import HeldOut

_LARGE_GAP_DB = 1.0  # at which a model knows its training images clearly better
_EXTRA = "evaluate"


def describe_model(measured: "HeldOut", training_images: int) -> list[str]:
    """Return sentences about the model alone."""
    said = [f"on {measured.images} held-out images: {measured.psnr:.2f} dB without quantising, pooled"]
    if measured.points:
        points = ", ".join(
            f"{point.bytes_per_image:.1f} bytes and {point.psnr:.2f} dB at quality {point.quality}"
            for point in measured.points
        )
        said.append(f"one image per file: {points}; the bytes are by the prior, as about in real files")
    gap = f"training images have {measured.train_psnr:.2f} dB, {measured.gap:+.2f} dB"
    if measured.gap > _LARGE_GAP_DB:
        gap += f"; {training_images:,} images are few for this model: more images or --augment can help"
    said.append(gap)
    return said


def compare_quickly(
    measured: "HeldOut", held_out: "NDArray[np.uint8]", on_progress: Callable[..., None]
) -> tuple[list[str], dict[str, Any] | None]:
    """Return the verdict against other codecs as sentences and JSON, for uint8 images (N, height, width[, 3]).

    Without a rate in training there is none, and without the packages of the extra there is a sentence about them.
    """
    if not measured.points:
        return [], None
    try:
        from fmae_edge.evaluate.quick_verdict import judge_quickly
    except ModuleNotFoundError as error:
        return [
            f"not compared with WebP and others: this needs {error.name}; install fmae-edge with [{_EXTRA}], "
            f"as in pip install '.[{_EXTRA}]' in a clone"
        ], None
    ours = [(point.bytes_per_image, point.psnr) for point in measured.points]
    verdict = judge_quickly(ours, held_out, on_progress)
    return verdict.sentences(), verdict.to_record()
