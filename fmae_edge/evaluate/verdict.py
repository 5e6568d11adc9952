"""Judge a bundle: plain sentences, and the same as JSON, that say whether it beats the other codecs and where."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmae_edge.evaluate.advantage import Advantage, Point, Stretch, find_advantage
from fmae_edge.evaluate.rate_points import IMAGES_IN_ATLAS, OURS, PACKINGS, Packing, RatePoint, our_name
from fmae_edge.evaluate.training_gap import LARGE_ENOUGH_DB, TrainingGap

_WORDS: dict[Packing, str] = {"single": "one image per file", "amortised": f"{IMAGES_IN_ATLAS} images per file"}


@dataclass(frozen=True)
class Curves:
    """(bytes per image, pooled PSNR in dB) points of a bundle and of other codecs; a lossless PSNR is infinite."""

    ours: Sequence[Point]
    others: Mapping[str, Sequence[Point]]


@dataclass(frozen=True)
class Verdict:
    """The result of `judge` for `images` held-out images; a packing that was not measured is missing.

    `effort` is that of the bundle's encoder.
    """

    images: int
    advantages: Mapping[Packing, Advantage | None]
    training: TrainingGap | None
    effort: int = 0

    def sentences(self) -> list[str]:
        """Return the verdict for people. If another codec is better, the first sentence says so."""
        said = [_headline(self.advantages)]
        for packing, advantage in self.advantages.items():
            said += _about(_WORDS[packing], advantage)
        said += _above(self.advantages)
        if self.training is not None:
            said.append(_about_training(self.training))
        said.append(_about_images(self.images, "amortised" in self.advantages))
        if self.effort:
            said.append(f"The bundle was used with --effort {self.effort}.")
        return [each for each in said if each]

    def to_record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "sentences": self.sentences(),
            "images": self.images,
            "effort": self.effort,
            **{
                packing: advantage.to_record() if (advantage := self.advantages.get(packing)) else None
                for packing in PACKINGS
            },
            "training": None if self.training is None else self.training.to_record(),
        }


def judge(
    curves: Mapping[Packing, Curves], images: int, training: TrainingGap | None = None, effort: int = 0
) -> Verdict:
    """Compare a bundle with the best other codec in each packing, measured on `images` held-out images."""
    advantages = {
        packing: find_advantage(curves[packing].ours, curves[packing].others)
        for packing in PACKINGS
        if packing in curves
    }
    return Verdict(images, advantages, training, effort)


def curves_of(points: Sequence[RatePoint], effort: int = 0) -> dict[Packing, Curves]:
    """Return the curves of an evaluation that `judge` compares: the bundle at `effort`, and the general codecs.

    PCA is a baseline, not a codec that people can choose, so it is left out.
    """
    found: dict[Packing, Curves] = {}
    for packing in PACKINGS:
        ours: list[Point] = []
        others: dict[str, list[Point]] = {}
        for point in points:
            if point.packing == packing:
                measured = point.bytes_per_image, point.quality.psnr_pooled
                if point.codec == our_name(effort):
                    ours.append(measured)
                elif point.codec != "PCA" and not point.codec.startswith(OURS):
                    lossless = "lossless " if math.isinf(measured[1]) else ""
                    others.setdefault(lossless + point.codec, []).append(measured)
        if ours:
            found[packing] = Curves(ours, others)
    return found


def _headline(advantages: Mapping[Packing, Advantage | None]) -> str:
    """Return the first sentence: which codec is better, or that none is."""
    found = {packing: each for packing, each in advantages.items() if each is not None and each.stretches}
    worse = {packing: each.larger for packing, each in found.items() if each.smaller is None and each.larger}
    partly = {packing: each.larger for packing, each in found.items() if each.smaller and each.larger}
    if worse:
        where = " and ".join(_WORDS[packing] for packing in worse)
        codecs = _either(dict.fromkeys(each.codecs[0] for each in worse.values()))
        only = "" if len(worse) == len(advantages) else f" with {where}"
        return f"Another codec is better for these images{only}: use {codecs}."
    if partly:
        ranges = (
            f"{_either(each.codecs)} with {_WORDS[packing]}, {_range(each.low_db, each.high_db)}"
            for packing, each in partly.items()
        )
        return f"Another codec is better in a part of the quality range: {'; '.join(ranges)}."
    if found and all(each.is_below_others for each in found.values()):
        return (
            "This bundle needs fewer bytes than every other codec, but its best quality is below the lowest one "
            "of the best other codec."
        )
    if found:
        return "This bundle needs fewer bytes than every other codec, at every quality that it has."
    return "This bundle could not be compared with other codecs."


def _about(words: str, advantage: Advantage | None) -> list[str]:
    """Return sentences about one packing."""
    packing = words[0].upper() + words[1:]
    if advantage is None:
        return [f"{packing}: not compared, because the bundle has no lossy file."]
    if not advantage.stretches:
        reached = _range(advantage.low_db, advantage.high_db)
        return [f"{packing}: not compared, because no other codec was measured {reached}."]
    parts = [
        f"{_difference(each.percent)} than the best other codec ({_either(each.codecs)}) at equal PSNR, "
        f"{_range(each.low_db, each.high_db)}{_least(each) if len(advantage.stretches) == 1 else ''}"
        for each in advantage.stretches
    ]
    said = [f"{packing}: {'; '.join(parts)}."]
    whole = advantage.smaller is not None and advantage.smaller.least_percent <= -50
    if advantage.half is not None and not (whole and len(advantage.stretches) == 1):
        said.append(f"{packing}: at least 50 % fewer bytes {_range(*advantage.half)}.")
    return said + [
        f"{packing}: {codec} does not go below {psnr:.1f} dB, so its smallest file ({size:.1f} bytes) counts."
        for codec, (size, psnr) in advantage.charged.items()
    ]


def _above(advantages: Mapping[Packing, Advantage | None]) -> list[str]:
    """Return the sentence about the end of the bundle's quality."""
    found = {packing: each for packing, each in advantages.items() if each is not None}
    if not found:
        return []
    end = max(each.high_db for each in found.values())
    next_codecs = [
        f"{each.next_codec} with {_WORDS[packing]} ({each.next_bytes:.1f} bytes per image at {each.high_db:.1f} "
        f"dB, this bundle {each.own_bytes:.1f})"
        for packing, each in found.items()
        if each.next_codec is not None
    ]
    advice = f"For more, use {' or '.join(next_codecs)}." if next_codecs else "No other codec was measured there."
    return [f"The quality of this bundle ends at {end:.1f} dB. {advice}"]


def _about_training(gap: TrainingGap) -> str:
    measured = (
        f"training images reach {gap.train_db:.2f} dB, held-out images {gap.held_out_db:.2f} dB "
        f"({gap.images} of each, quality {gap.quality})"
    )
    number = f"{gap.training_images:,} images"
    if gap.size == "large enough":
        return f"The training set of {number} was large enough for this training: {measured}."
    gain = f"more images of the same kind could gain up to {gap.gap_db:.1f} dB"
    if gap.size == "small":
        return f"The training set of {number} was somewhat small: {measured}; {gain}."
    return (
        f"The training set of {number} was too small, so the model has memorised it: {measured}; {gain}. "
        f"A gap below {LARGE_ENOUGH_DB:.0f} dB is usual."
    )


def _about_images(images: int, amortised: bool) -> str:
    if amortised:
        return f"Measured on {images:,} held-out images."
    said = f"Measured on {images:,} held-out images with one image per file"
    if images < IMAGES_IN_ATLAS:
        said += f"; {IMAGES_IN_ATLAS} images per file needs at least {IMAGES_IN_ATLAS}"
    return f"{said}."


def _difference(percent: float) -> str:
    return f"{abs(percent):.0f} % {'fewer' if percent < 0 else 'more'} bytes"


def _least(each: Stretch) -> str:
    if each.high_db == each.low_db or round(each.percent) == round(each.least_percent):
        return ""
    return f" (at least {abs(each.least_percent):.0f} %, at {each.least_at_db:.1f} dB)"


def _range(low: float, high: float) -> str:
    return f"at {low:.1f} dB" if f"{low:.1f}" == f"{high:.1f}" else f"from {low:.1f} to {high:.1f} dB"


def _either(codecs: Sequence[str] | Mapping[str, None]) -> str:
    *others, last = codecs
    return f"{', '.join(others)} or {last}" if others else last
