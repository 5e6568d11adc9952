"""An evaluation compares real files of the shipped bundle with those of other codecs, and its table agrees."""

import json
from dataclasses import replace

import pytest

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes
from fmae_edge.evaluate import evaluation as module
from fmae_edge.evaluate.codec_settings import Ladder
from fmae_edge.evaluate.evaluation import Evaluation, bytes_at, evaluate
from fmae_edge.evaluate.evaluation_files import to_markdown
from fmae_edge.evaluate.pca_codec import fit_pca_codecs
from fmae_edge.evaluate.rate_points import measure_bundle
from tests.evaluate.gray_settings import LOSSLESS_CODECS, LOSSY_CODECS

WEBP = [codec for codec in LOSSY_CODECS if codec.name == "WebP"][::2]


@pytest.fixture(scope="module")
def done(images):
    (png,) = [codec for codec in LOSSLESS_CODECS if codec.name == "PNG"]
    # Trying every PNG setting takes long
    ladders = [Ladder(tuple(WEBP), len(WEBP)), Ladder((replace(png, encode=png_bytes),))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit_pca_codecs", lambda images: fit_pca_codecs(images, (60, 200)))
        patch.setattr("fmae_edge.evaluate.rate_points._IMAGES_TIMED", 5)
        return evaluate(Codec(threads=1), images[100:], images[:100], ladders=ladders)


def test_a_point_has_the_size_of_real_files(done, images):
    codec = Codec(threads=1)
    sizes = [len(codec.compress(image, 3)) for image in images[:100]]
    (single,) = [p for p in done.points if (p.codec, p.setting, p.packing) == ("fmae-edge", "quality 3", "single")]
    assert single.bytes_per_image == sum(sizes) / 100
    assert single.bits_per_pixel == pytest.approx(single.bytes_per_image * 8 / 784)
    (stack,) = [
        p for p in done.points if (p.codec, p.setting, p.packing) == ("fmae-edge", "quality 3", "amortised")
    ]
    assert stack.bytes_per_image == len(codec.compress_batch(images[:100], 3)) / 100
    # 7 bytes per file, against one header and a length per image; pixels differ by at most a level
    assert 5 < single.bytes_per_image - stack.bytes_per_image < 6.5
    assert single.quality.psnr_pooled == pytest.approx(stack.quality.psnr_pooled, abs=0.02)


def test_curves_of_other_images_are_not_compared(done):
    ours = [replace(point, images=7) for point in done.points if point.codec == "fmae-edge"]
    others = [point for point in done.points if point.codec != "fmae-edge"]
    assert any(each.difference for each in done.comparisons())
    assert not any(each.difference for each in replace(done, points=[*ours, *others]).comparisons())


@pytest.mark.parametrize(("limit", "measured"), [(100, 100), (99, 10)])
def test_with_effort_every_tenth_of_many_files_is_measured(images, monkeypatch, limit, measured):
    monkeypatch.setattr("fmae_edge.evaluate.rate_points._MOST_WITH_EFFORT", limit)
    alone, stack = measure_bundle(Codec(threads=1), 3, 1, images[:100])
    assert alone.codec == stack.codec == "fmae-edge, effort 1"
    assert (alone.images, stack.images) == (measured, 100)


def test_the_record_is_json_and_has_every_point_and_comparison(done):
    record = json.loads(json.dumps(done.to_record(), allow_nan=False))
    assert len(record["points"]) == 2 * (9 + 2 + len(WEBP) + 1)
    pairs = {(each["codec"], each["anchor"], each["packing"]) for each in record["comparisons"]}
    assert ("fmae-edge", "WebP", "single") in pairs
    (webp,) = [c for c in done.comparisons() if (c.anchor, c.packing) == ("WebP", "single")]
    assert webp.difference.percent < -60
    (png,) = [c for c in done.comparisons() if (c.anchor, c.packing) == ("PNG", "single")]
    assert png.difference is None


def test_the_table_agrees_with_the_record(done):
    text = to_markdown(done)
    sizes = done.to_record()["bytes_at_reference"]
    assert sizes["single"]["PNG"] is None
    for codec in done.codecs():
        cells = [
            "-" if size is None else f"{size:.1f}" for size in (sizes["single"][codec], sizes["amortised"][codec])
        ]
        assert f"| {codec} | {' | '.join(cells)} |" in text
    assert any(sizes["amortised"].values())
    assert text.count("\n| PNG | lossless |") == 2
    assert "nan" not in text


def test_bytes_at_a_psnr_are_between_those_of_its_neighbours():
    points = [(10.0, 20.0), (40.0, 24.0), (50.0, 23.0)]  # the second point beats the last
    assert bytes_at(points, 22.0) == pytest.approx(20.0)
    assert bytes_at(points, 24.0) == pytest.approx(40.0)
    assert bytes_at(points, 24.1) is None
    assert bytes_at([], 22.0) is None


def test_an_empty_evaluation_compares_nothing():
    nothing = Evaluation("0", {}, [])
    assert nothing.comparisons() == []
    assert nothing.to_record()["bytes_at_reference"] == {"single": {}, "amortised": {}}


@pytest.mark.parametrize(
    ("single", "amortised", "expected"),
    [
        ((20.0, 25.0), (21.0, 24.0), 22.0),
        ((22.5, 25.0), (23.5, 26.0), 23.5),
        ((23.5, 25.0), (22.5, 26.0), 23.5),
        ((18.0, 20.5), (19.0, 21.5), 20.5),
        ((18.0, 21.5), (19.0, 20.5), 20.5),
    ],
)
def test_codecs_are_compared_at_a_psnr_that_both_packings_reach(done, single, amortised, expected):
    def points(packing, ends):
        (like, *_) = [point for point in done.points if point.packing == packing]
        return [replace(like, quality=replace(like.quality, psnr_pooled=psnr)) for psnr in ends]

    both = replace(done, points=[*points("single", single), *points("amortised", amortised)])
    assert both.reference_db == expected


@pytest.mark.parametrize("shift", [0, -3, 3])
def test_codecs_are_compared_at_a_psnr_that_the_bundle_reaches(done, shift):
    def shifted(point):
        quality = replace(point.quality, psnr_pooled=point.quality.psnr_pooled + shift)
        return replace(point, quality=quality) if point.codec == "fmae-edge" else point

    moved = replace(done, points=[shifted(point) for point in done.points])
    ranges = [moved.levels("fmae-edge", packing) for packing in ("single", "amortised")]
    assert all(low <= moved.reference_db <= high for low, high in ranges)
    nearest = min(max(22.0, max(low for low, _ in ranges)), min(high for _, high in ranges))
    assert moved.reference_db == pytest.approx(nearest, abs=0.1)
    record = moved.to_record()
    assert record["bytes_at_reference"]["single"]["fmae-edge"] is not None
    assert record["bytes_at_reference"]["amortised"]["fmae-edge"] is not None
    assert f"bytes at {record['reference_db']} dB" in to_markdown(moved)


def test_the_command_names_a_missing_bundle_as_it_was_typed(cli, monkeypatch):
    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", None)
    done = cli("evaluate", "./nosuch")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "fmae-edge: nosuch: no such bundle folder\n")
