"""The verdict is right for curves whose answer is known, and says first if another codec is better."""

import json
import math

import numpy as np
import pytest

from fmae_edge.evaluate.advantage import bytes_at_levels, find_advantage
from fmae_edge.evaluate.rate_points import RatePoint
from fmae_edge.evaluate.training_gap import TrainingGap
from fmae_edge.evaluate.verdict import Curves, curves_of, judge
from fmae_edge.measure.quality import Quality

LEVELS = np.linspace(17, 23, 7)


def curve(at_20, levels=LEVELS, per_db=1.2):
    """Return points whose bytes grow by a factor per decibel."""
    return [(at_20 * per_db ** (level - 20), level) for level in levels]


def judged(ours, others, packing="single", training=None):
    return judge({packing: Curves(ours, others)}, 1000, training)


def test_better_everywhere():
    verdict = judged(curve(30), {"WebP": curve(100), "AVIF": curve(400)})
    found = verdict.advantages["single"]
    assert found.larger is None
    assert found.smaller.percent == pytest.approx(-70)
    assert found.smaller.least_percent == pytest.approx(-70)
    assert (found.smaller.low_db, found.smaller.high_db) == found.half == (17, 23)
    assert found.smaller.codecs == ("WebP",)
    said = verdict.sentences()
    assert said[0] == "This bundle needs fewer bytes than every other codec, at every quality that it has."
    assert said[1] == (
        "One image per file: 70 % fewer bytes than the best other codec (WebP) at equal PSNR, from 17.0 to "
        "23.0 dB."
    )
    assert "charged" not in " ".join(said)
    assert "ends at 23.0 dB. For more, use WebP with one image per file (172.8 bytes" in said[2]


def test_worse_everywhere_is_said_first():
    verdict = judged(curve(130), {"WebP": curve(100), "AVIF": curve(400)})
    assert verdict.advantages["single"].smaller is None
    assert verdict.sentences()[:2] == [
        "Another codec is better for these images: use WebP.",
        "One image per file: 30 % more bytes than the best other codec (WebP) at equal PSNR, from 17.0 to "
        "23.0 dB.",
    ]


def test_worse_in_one_packing_is_said_first():
    verdict = judge(
        {
            "single": Curves(curve(30), {"WebP": curve(100)}),
            "amortised": Curves(curve(30), {"WebP": curve(40), "AVIF": curve(20)}),
        },
        1000,
    )
    first, *others = verdict.sentences()
    assert first == "Another codec is better for these images with 100 images per file: use AVIF."
    assert any(sentence.startswith("One image per file: 70 % fewer") for sentence in others)
    assert any(sentence.startswith("100 images per file: 50 % more") for sentence in others)


def test_curves_that_cross_are_compared_on_both_sides():
    # Ours doubles every decibel, the other codec does not: equal at 20 dB
    verdict = judged(curve(50, per_db=2), {"JPEG XL": curve(50, per_db=1)})
    found = verdict.advantages["single"]
    assert found.smaller.low_db == 17
    assert found.smaller.high_db == pytest.approx(20, abs=0.02)
    assert found.smaller.percent == pytest.approx(100 * (2**-1.5 - 1), abs=1)  # the mean exponent is -1.5
    assert found.larger.percent == pytest.approx(100 * (2**1.5 - 1), abs=1)
    assert found.half == (17, pytest.approx(19, abs=0.02))
    first, second, third, *_ = verdict.sentences()
    assert first == (
        "Another codec is better in a part of the quality range: JPEG XL with one image per file, "
        "from 20.0 to 23.0 dB."
    )
    assert second == (
        "One image per file: 65 % fewer bytes than the best other codec (JPEG XL) at equal PSNR, from 17.0 to "
        "20.0 dB; 183 % more bytes than the best other codec (JPEG XL) at equal PSNR, "
        "from 20.0 to 23.0 dB."
    )
    assert third == "One image per file: at least 50 % fewer bytes from 17.0 to 19.0 dB."


def test_the_best_codec_may_change_with_the_quality():
    found = find_advantage(curve(10), {"A": curve(50, per_db=2), "B": curve(50, per_db=1)})
    assert found.smaller.codecs == ("A", "B")
    assert found.smaller.least_percent == pytest.approx(100 * (10 * 1.2**-3 / (50 * 2**-3) - 1))
    assert found.smaller.least_at_db == 17
    assert found.next_codec == "B"


def test_a_codec_that_does_not_go_so_low_is_charged_its_smallest_file():
    high = curve(100, levels=np.linspace(20, 26, 7))
    verdict = judged(curve(30), {"WebP": high})
    found = verdict.advantages["single"]
    assert found.charged == {"WebP": (100.0, 20.0)}
    expected = np.log(0.3) + np.log(1.2) * (np.minimum(np.linspace(17, 23, 601), 20) - 20)
    assert found.smaller.percent == pytest.approx(100 * np.expm1(expected.mean()), abs=0.1)
    assert "One image per file: WebP does not go below 20.0 dB, so its smallest file (100.0 bytes) counts." in (
        verdict.sentences()
    )
    low = judged(curve(30, levels=np.linspace(17, 19.9, 4)), {"WebP": high})
    assert low.sentences()[0] == (
        "This bundle needs fewer bytes than every other codec, but its best quality is below the lowest one of "
        "the best other codec."
    )
    # Its file is smaller and better: then it wins there, although the curves share no PSNR
    verdict = judged(curve(30, levels=np.linspace(17, 19, 3)), {"WebP": [(8.0, 21.0), (12.0, 24.0)]})
    assert verdict.sentences()[0] == "Another codec is better for these images: use WebP."
    assert verdict.advantages["single"].next_bytes == pytest.approx(8)


def test_no_common_psnr():
    verdict = judged(curve(30, levels=np.linspace(40, 44, 5)), {"WebP": curve(100)})
    assert verdict.advantages["single"].stretches == ()
    assert verdict.sentences() == [
        "This bundle could not be compared with other codecs.",
        "One image per file: not compared, because no other codec was measured from 40.0 to 44.0 dB.",
        "The quality of this bundle ends at 44.0 dB. No other codec was measured there.",
        "Measured on 1,000 held-out images with one image per file.",
    ]
    json.dumps(verdict.to_record(), allow_nan=False)


def test_few_images_are_said():
    verdict = judge({"single": Curves(curve(30), {"WebP": curve(100)})}, 60)
    assert verdict.sentences()[-1] == (
        "Measured on 60 held-out images with one image per file; 100 images per file needs at least 100."
    )


def test_only_the_psnr_that_another_codec_reaches_is_compared():
    found = find_advantage(curve(30), {"WebP": curve(100, levels=np.linspace(17, 20, 4))})
    assert (found.smaller.low_db, found.smaller.high_db) == (17, pytest.approx(20, abs=0.02))
    assert found.next_codec is None


def test_one_point_is_compared_at_its_psnr():
    verdict = judged([(30.0, 20.0)], {"WebP": curve(100)})
    assert verdict.advantages["single"].smaller.percent == pytest.approx(-70)
    assert "at equal PSNR, at 20.0 dB." in verdict.sentences()[1]


def test_a_lossless_codec_counts_at_every_psnr():
    others = {"WebP": curve(100), "lossless WebP": [(20.0, math.inf)]}
    verdict = judged(curve(30), others)
    assert verdict.advantages["single"].larger.codecs == ("lossless WebP",)
    assert verdict.sentences()[0].startswith(
        "Another codec is better in a part of the quality range: lossless WebP"
    )
    assert verdict.advantages["single"].charged == {}
    only = judged(curve(10), {"lossless WebP": [(20.0, math.inf)]})
    assert only.advantages["single"].smaller.codecs == ("lossless WebP",)


def test_a_bundle_without_lossy_files_is_not_compared():
    verdict = judged([(500.0, math.inf)], {"WebP": curve(100)})
    assert verdict.advantages["single"] is None
    assert "not compared, because the bundle has no lossy file" in verdict.sentences()[1]
    assert judged([], {"WebP": curve(100)}).to_record()["single"] is None


def test_points_that_another_point_beats_do_not_count():
    assert find_advantage([*curve(30), (500.0, 20.5)], {"WebP": [*curve(100), (500.0, 18.0)]}) == find_advantage(
        curve(30), {"WebP": curve(100)}
    )


def test_bytes_between_points_are_interpolated_over_the_logarithm():
    levels = np.array([9.0, 10, 11, 12, 12.1])
    np.testing.assert_allclose(bytes_at_levels([(10, 10.0), (40, 12.0)], levels), [10, 10, 20, 40, np.inf])
    np.testing.assert_allclose(bytes_at_levels([(10, 10.0), (15, np.inf)], levels), [10, 10, 15, 15, 15])


def gap(train_db, error_db=0.1):
    return TrainingGap(train_db, 20.0, error_db, 30, 31, 500, 4000, 9)


@pytest.mark.parametrize(
    ("training", "size", "words"),
    [
        (
            gap(19.9),
            "large enough",
            "The training set of 4,000 images was large enough for this training: training images reach 19.90",
        ),
        (gap(20.9), "large enough", "held-out images 20.00 dB (500 of each, quality 9)."),
        (gap(21.5), "small", "was somewhat small"),
        (gap(21.5, 1), "large enough", "was large enough"),  # chance alone could explain it
        (gap(23.0), "too small", "more images of the same kind could gain up to 3.0 dB."),
    ],
)
def test_the_size_of_the_training_set(training, size, words):
    assert training.size == size
    verdict = judged(curve(30), {"WebP": curve(100)}, training=training)
    assert words in verdict.sentences()[-2]
    assert verdict.to_record()["training"]["size"] == size


def test_a_verdict_with_effort_takes_the_points_with_effort_and_says_so():
    def points(codec, size):
        quality = Quality(mse=0.01, psnr_pooled=20.0, psnr_per_image=20.0, ssim=0.9)
        return RatePoint(codec, "quality 1", "single", 100, size, 0.1, quality, 1.0, 1.0)

    measured = [points("fmae-edge", 60.0), points("fmae-edge, effort 9", 40.0), points("WebP", 80.0)]
    assert curves_of(measured)["single"].ours == [(60.0, 20.0)]
    curves = curves_of(measured, effort=9)
    assert curves["single"] == Curves([(40.0, 20.0)], {"WebP": [(80.0, 20.0)]})
    verdict = judge(curves, 100, effort=9)
    assert verdict.to_record()["effort"] == 9
    assert verdict.sentences()[-1].startswith("The bundle was used with --effort 9")
    assert not any("effort" in each for each in judge(curves, 100).sentences())
