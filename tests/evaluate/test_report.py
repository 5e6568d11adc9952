"""The figures of a report agree with an independent computation, and its page names missing parts."""

import base64
import io
import json
import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec
from fmae_edge.evaluate.bench import describe_machine
from fmae_edge.evaluate.evaluation import Evaluation, read_evaluation
from fmae_edge.evaluate.records import recorded_figures
from fmae_edge.evaluate.report.charts import rate_charts, training_charts
from fmae_edge.evaluate.report.data_uris import strip
from fmae_edge.evaluate.report.latent_map import CELLS, cell_of, draw_map, map_latents, shown_on_map
from fmae_edge.evaluate.report.page import make_report, render_page
from fmae_edge.evaluate.report.page_data import IN_GALLERY, build_figures
from fmae_edge.evaluate.report.reconstructions import Measured, absolute_error, by_psnr, measure_reconstructions
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.errors import InputError
from tests.conftest import REPOSITORY
from tests.invented_bench import bench_of
from tests.random_bundle import smooth_images
from tests.report_page import Page, at

SOURCES = {"rate": "fmae-edge evaluate", "speed": "fmae-edge bench"}
MANIFEST = read_bundle(DEFAULT_BUNDLE, only=()).manifest


@pytest.fixture(scope="module")
def measured(images):
    return measure_reconstructions(Codec(threads=1), images)


@pytest.fixture(scope="module")
def latent_map(measured):
    return map_latents(measured.latents)


@pytest.fixture(scope="module")
def evaluation():
    return Evaluation.from_record(json.loads((REPOSITORY / "docs/evaluation/evaluation.json").read_text()))


@pytest.fixture(scope="module")
def figures(measured, latent_map, evaluation):
    return build_figures(MANIFEST, measured, latent_map, evaluation, bench_of())


def render(manifest=MANIFEST, measured=None, latent_map=None, evaluation=None):
    figures = build_figures(manifest, measured, latent_map, evaluation, bench_of())
    return render_page(figures, measured, latent_map, evaluation, SOURCES)


def test_an_image_is_measured_through_its_own_file(measured, images):
    codec = Codec(threads=1)
    files = [codec.compress(image) for image in images[:5]]
    assert [len(file) for file in files] == measured.shown.file_bytes[:5].tolist()
    decoded = np.stack([codec.decompress(file) for file in files])
    errors = np.square((decoded / 255.0) - (images[:5] / 255.0)).mean(axis=(1, 2))
    # A pixel may be rounded differently in a batch than alone
    np.testing.assert_allclose(measured.shown.psnr[:5], -10 * np.log10(errors), atol=0.02)
    assert [done.file_bytes is None for done in measured.passes] == [True, False]


def test_the_histogram_counts_every_image(figures, measured):
    histogram = figures["measured"]["histogram"]
    psnr = measured.shown.psnr
    assert sum(histogram["counts"]) == len(psnr) == 256
    for low, high, count in zip(
        histogram["edges"][:-2], histogram["edges"][1:-1], histogram["counts"], strict=False
    ):
        assert count == ((psnr >= low) & (psnr < high)).sum()
    assert histogram["pooled"] < histogram["mean"] == pytest.approx(psnr.mean())
    assert histogram["pooled"] == pytest.approx(-10 * np.log10(measured.shown.mse.mean()))
    assert (
        psnr.min() == histogram["worst"] < histogram["p05"] < histogram["median"] < histogram["best"] == psnr.max()
    )
    for name, share in (("p05", 0.05), ("median", 0.5), ("p95", 0.95)):
        assert (psnr <= histogram[name]).mean() == pytest.approx(share, abs=0.01)


def test_the_gallery_goes_from_best_to_worst(figures, measured):
    best, median, worst = ([image["psnr"] for image in row["images"]] for row in figures["measured"]["gallery"])
    assert len(best) == len(median) == len(worst) == 8
    assert best == sorted(measured.shown.psnr)[::-1][:8]
    assert worst == sorted(measured.shown.psnr)[:8]
    assert max(worst) < min(median) <= np.median(measured.shown.psnr) <= max(median) < min(best)
    for row in figures["measured"]["gallery"]:
        for image in row["images"]:
            assert image["psnr"] == measured.shown.psnr[image["index"]]
            assert image["bytes"] == measured.shown.file_bytes[image["index"]]


def test_the_error_map_is_the_mean_absolute_error(figures, measured, images):
    expected = np.abs(images.astype(float) - measured.shown.decoded.astype(float)).mean(axis=0)
    np.testing.assert_allclose(figures["measured"]["error_map"]["mean_absolute"], expected)
    assert figures["measured"]["error_map"]["largest"] == pytest.approx(expected.max())
    white, black = np.full((1, 2, 2), 255, np.uint8), np.zeros((1, 2, 2), np.uint8)
    assert (absolute_error(black, white) == 255).all()


def test_the_map_puts_similar_images_together_and_is_deterministic(measured, latent_map):
    places = latent_map.places
    assert places.shape == (256, 2)
    assert 0 <= places.min() <= places.max() <= 1
    np.testing.assert_array_equal(map_latents(measured.latents).places, places)

    def gaps(points):
        return np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(len(points), np.inf))

    neighbours = gaps(measured.latents.astype(float)).argmin(axis=1)
    near = np.linalg.norm(places - places[neighbours], axis=1)
    others = np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)
    assert np.median(near) < np.median(others) / 4


def test_the_map_draws_the_image_nearest_to_the_centre_of_each_cell(images, latent_map):
    places, colours = latent_map.places, np.ones((256, 3))
    shown = shown_on_map(places)
    cells = [tuple(cell) for cell in cell_of(places)]
    assert len(shown) == len(set(cells))
    picture = draw_map(images, places, colours)
    for index in shown[:20]:
        column, row = cell_of(places[index]) * 28
        tile = picture[row : row + 28, column : column + 28, 0]
        assert ((tile > 0) == (images[index] > 0)).mean() > 0.95
        middle = (np.array(cells[index]) + 0.5) / CELLS
        rivals = [other for other in range(256) if cells[other] == cells[index]]
        assert index == min(rivals, key=lambda other: np.linalg.norm(places[other] - middle))


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_a_few_images_are_enough_for_a_page(measured, count):
    few = Measured(
        measured.images[:count],
        measured.latents[:count],
        tuple(
            replace(
                done,
                **{
                    name: None if value is None else value[:count]
                    for name, value in vars(done).items()
                    if name != "name"
                },
            )
            for done in measured.passes
        ),
    )
    latent_map = map_latents(few.latents)
    assert latent_map.method.startswith("PCA")
    page = Page(render(measured=few, latent_map=latent_map))
    assert len(page.all("li")) == len(contents(page)) + 3 * min(count, 8)


def test_exact_reconstructions_have_no_finite_psnr(measured, images):
    exact = replace(
        measured.shown, decoded=images, mse=np.zeros(256), psnr=np.full(256, np.inf), ssim=np.ones(256)
    )
    perfect = replace(measured, passes=(exact,))
    places = map_latents(measured.latents[:50]).places
    latent_map = replace(map_latents(measured.latents[:50]), places=np.resize(places, (256, 2)))
    figures = build_figures(MANIFEST, perfect, latent_map, None, bench_of())
    assert figures["measured"]["shown"]["psnr_pooled"] is None
    assert figures["measured"]["histogram"]["exact"] == 256
    assert b"PSNR infinite" in render(measured=perfect, latent_map=latent_map)
    assert by_psnr(exact).tolist() == list(range(256))


def without(*names):
    return {name: part for name, part in MANIFEST.record.items() if name not in names}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (without("training"), "no record of the training"),
        (without("parity"), "no record of parity"),
        (without("rate"), "does not record the bytes of .fmae files"),
        (without("quality"), "does not record the quality"),
        (without("quantisation"), "does not record which layers run in int8"),
        ({}, "no record of the training"),
        (
            {"training": 5, "parity": [], "rate": {"a": 1}, "quality": "x", "tools": {"a": 3}},
            "no record of parity",
        ),
        ({**MANIFEST.record, "training": {"metrics": []}}, "no record of the training"),
        ({**MANIFEST.record, "training": {"metrics": [{"epoch": 1}]}}, "does not record the widths"),
        (
            {**MANIFEST.record, "parity": {**MANIFEST.record["parity"], "failures": ["int8 lost it"]}},
            "int8 lost it",
        ),
    ],
)
def test_the_page_says_what_the_record_lacks(record, said):
    content = render(replace(MANIFEST, record=record))
    assert said in content.decode()
    assert json.loads(Page(content).all("script")[0][1])["bundle"]["name"] == "fashion-mnist"


def contents(page):
    return [attributes["href"].removeprefix("#") for attributes, _ in page.all("a")]


def test_the_contents_list_the_sections_that_are_not_empty(measured, latent_map, evaluation):
    page = Page(render(MANIFEST, measured, latent_map, evaluation))
    sections = [attributes["id"] for attributes, _ in page.all("section")]
    assert contents(page) == sections
    assert contents(Page(render(replace(MANIFEST, record={})))) == ["model", "speed"]
    others = ["model", "training", "quality", "rate", "parity", "speed"]
    assert contents(Page(render(MANIFEST, evaluation=replace(evaluation, verdict=None)))) == others
    assert contents(Page(render(MANIFEST, evaluation=evaluation))) == ["verdict", *others]


def test_a_codec_that_does_not_reach_the_psnr_of_the_table_shows_its_nearest(evaluation):
    def shifted(point):
        shift = {"fmae-edge": -2.5, "PCA": -6, "WebP": 6}.get(point.codec, 0)
        return replace(point, quality=replace(point.quality, psnr_pooled=point.quality.psnr_pooled + shift))

    moved = replace(evaluation, points=[shifted(point) for point in evaluation.points])
    text = " ".join(render(evaluation=moved).decode().split())
    assert "of pooled PSNR" in text
    reference = moved.reference_db
    assert reference == pytest.approx(moved.levels("fmae-edge", "single")[1], abs=0.1)
    table = re.search(r'aria-label="Bytes at equal quality".*?</table>', text)[0]
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in table.split("<tr")[2:]]
    rows = {name: said for name, *said in ([re.sub("<.*?>", "", cell).strip() for cell in row] for row in cells)}
    assert float(rows["fmae-edge"][0]) > 0
    assert rows["WebP"][0] == f"from {moved.levels('WebP', 'single')[0]:.1f} dB"
    assert rows["PNG"] == ["lossless", "lossless"]


def test_epochs_are_whole_numbers_even_if_there_are_few():
    for count in (1, 2, 3, 32):
        training = recorded_figures(MANIFEST.record)["training"]
        training["metrics"] = training["metrics"][:count]
        for name, svg in training_charts(training).items():
            ticks = re.findall(r">([\d.]+)</text>", svg.split(">epoch<")[0])
            assert ticks, name
            assert all(tick.isdigit() and 1 <= int(tick) <= count for tick in ticks), (name, ticks)


def own_run(with_rate):
    """Return a manifest of 12 epochs in half an hour, of which the eighth is the best on validation images."""
    measured = {"val_mse": 0.02, "val_psnr_pooled": 17.0, "val_psnr_per_image": 18.0, "val_ssim": 0.5}
    rows = [
        {"epoch": epoch, "train_loss": 0.03, **measured, "val_mse": 0.02 + abs(epoch - 8) * 0.002}
        for epoch in range(1, 13)
    ]
    if with_rate:  # what the run minimises is the loss, and not the error
        for row in rows:
            row |= {"train_bytes": 20.0, "val_bytes": 21.0, "val_loss": 0.05 + abs(row["epoch"] - 9) * 0.01}
    recipe = {**MANIFEST.record["training"]["recipe"], "epochs": None, "minutes": 30.0}
    training = {**MANIFEST.record["training"], "recipe": recipe, "metrics": rows}
    return replace(MANIFEST, record={**MANIFEST.record, "training": training})


@pytest.mark.parametrize(
    ("with_rate", "kept", "mse", "charts"), [(True, 9, "0.02200", 4), (False, 8, "0.02000", 2)]
)
def test_the_training_of_own_images_is_shown_on_their_validation_images(with_rate, kept, mse, charts):
    page = render(own_run(with_rate)).decode()
    section = re.search(r'<section id="training".*?</section>', page, re.DOTALL)[0]
    text = " ".join(re.sub("<[^>]*>", "", re.sub("<svg.*?</svg>", "", section, flags=re.DOTALL)).split())
    assert "12 epochs in 30 minutes, batches" in text
    assert f"kept the weights of epoch {kept}, the best on its validation images" in text
    assert "on the validation images of the training run" in text
    assert "test" not in text
    assert f"SSIM {kept}0.03000{mse}17.0018.000.5000" in text  # the cells of the row of this epoch
    titles = re.findall("<title>(.*?)</title>", section)
    assert len(titles) == charts
    assert all(title.endswith(f"Epoch {kept} was kept.") for title in titles)
    assert titles[0].startswith("Mean squared error over 12 epochs: training images from 0.03 to 0.03; validation")
    assert titles[1].startswith("PSNR on the validation images")
    assert section.count(f">kept: epoch {kept}<") == charts


def test_files_of_100_images_are_not_shown_if_they_were_not_measured(evaluation):
    def section(points):
        page = render(evaluation=replace(evaluation, points=points)).decode()
        return re.search(r'<section id="rate".*?</section>', page, re.DOTALL)[0]

    assert section(evaluation.points).count("100 per file</th>") == 2
    single = section([point for point in evaluation.points if point.packing == "single"])
    assert "100 per file" not in single
    assert "Files of 100 images were not measured" in single
    assert single.count("<svg") == 1
    assert "lossless" not in re.search(r">WebP</span></th>(.*?)</tr>", single)[1]


def test_the_chart_shows_the_low_ends_of_codecs_that_begin_above_the_bundle(evaluation):
    points = [
        replace(point, quality=replace(point.quality, psnr_pooled=point.quality.psnr_pooled + 10))
        if point.codec == "WebP"
        else point
        for point in evaluation.points
    ]
    assert all(">WebP</text>" in svg for svg in rate_charts(replace(evaluation, points=points)))


def test_equal_rows_of_parity_are_merged(measured):
    text = render(MANIFEST, measured).decode()
    rows = re.search(r'aria-label="Parity with PyTorch".*?</table>', text, re.DOTALL)[0].split("<tr>")[2:]
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in rows]
    assert len({tuple(row[3:]) + tuple(row[:1]) for row in cells}) == len(cells) < 12
    runs = [(row[0], batch, on) for row in cells for batch in row[1].split(", ") for on in row[2].split(", ")]
    recorded = recorded_figures(MANIFEST.record)["parity"]["rows"]
    assert sorted(runs) == sorted((each["precision"], str(each["batch"]), each["optimised"]) for each in recorded)


def test_a_bundle_without_a_prior(measured):
    plain = replace(measured, passes=measured.passes[:1])
    manifest = replace(MANIFEST, qualities=None)
    text = render(manifest, plain, map_latents(plain.latents)).decode()
    assert "has no prior, so it cannot write .fmae files" in text
    assert "float32 latents, not quantised" in text


def test_a_bundle_of_another_size_is_not_measured():
    text = render(replace(MANIFEST, image_height=18)).decode()
    assert "nothing was measured" in text
    assert "<img" not in text


def test_recorded_figures_are_those_of_the_manifest():
    found = recorded_figures(MANIFEST.record)
    assert [row["test_mse"] for row in found["training"]["metrics"]] == [
        row.get("test_mse") for row in MANIFEST.record["training"]["metrics"]
    ]
    assert len(found["parity"]["rows"]) == len(MANIFEST.record["parity"]["comparisons"])
    assert found["rate"][4]["bytes_per_image"] == MANIFEST.record["rate"]["quality 5"]["bytes_per_image"]
    assert len(found["layers"]) == len(MANIFEST.record["quantisation"]["layers"])


def test_equal_figures_make_equal_pages(measured, latent_map, evaluation):
    assert render(MANIFEST, measured, latent_map, evaluation) == render(MANIFEST, measured, latent_map, evaluation)


def test_every_number_is_a_figure_of_the_data(measured, latent_map, evaluation, figures):
    page = Page(render(MANIFEST, measured, latent_map, evaluation))
    marked = [(attributes, text) for attributes, text in page.all("span") if "data-figure" in attributes]
    assert len(marked) > 700
    for attributes, text in marked:
        value = at(figures, attributes["data-figure"])
        assert json.loads(attributes["data-value"]) == value
        if isinstance(value, int | float):
            number = text.split()[0].replace(",", "")
            decimals = len(number.partition(".")[2])
            expected = (
                pytest.approx(value, rel=0.06) if "e" in number else pytest.approx(value, abs=0.51 / 10**decimals)
            )
            assert float(number) == expected
    assert json.loads(page.all("script")[0][1]) == figures


def test_a_name_is_escaped(measured):
    name = "</script><script>alert(1)</script><img src=x>\udc80"
    content = render(replace(MANIFEST, name=name))
    page = Page(content)
    assert [attributes for attributes, _ in page.all("script")] == [
        {"type": "application/json", "id": "figures"},
        {},
    ]
    assert page.all("img") == []
    assert json.loads(page.all("script")[0][1])["bundle"]["name"] == name


def test_an_evaluation_with_effort_fits_on_a_page(evaluation):
    ours = [
        replace(point, codec="fmae-edge, effort 9") for point in evaluation.points if point.codec == "fmae-edge"
    ]
    record = Evaluation(MANIFEST.bundle_id, describe_machine(), [*evaluation.points, *ours]).to_record()
    read = read_evaluation(json.dumps(record).encode(), "it", MANIFEST.bundle_id)
    assert len(read.codecs()) == 8  # PNG has no curve
    assert "fmae-edge, effort 9</span>, with" in render(evaluation=read).decode()
    one_more = [replace(point, codec="another") for point in ours]
    record = Evaluation(MANIFEST.bundle_id, describe_machine(), [*read.points, *one_more]).to_record()
    with pytest.raises(InputError, match="it: not the evaluation.json.*8 lossy codecs"):
        read_evaluation(json.dumps(record).encode(), "it", MANIFEST.bundle_id)


def test_records_are_read_as_they_were_written(evaluation):
    written = (REPOSITORY / "docs/evaluation/evaluation.json").read_text()
    assert evaluation.to_record() == json.loads(written)
    bench = bench_of()
    assert type(bench).from_record(json.loads(json.dumps(bench.to_record()))) == bench


def test_rgb_images_are_measured_and_shown_in_colour(rgb_bundle):
    images = smooth_images(95, 26, 20, 3)
    manifest = read_bundle(rgb_bundle).manifest
    bench = bench_of(manifest.bundle_id)

    @contextmanager
    def progress_bar(_):
        yield lambda *_: None

    found, page = make_report(rgb_bundle, manifest, images, images, None, bench, progress_bar)
    assert found["measured"]["images"] == 95
    assert np.shape(found["measured"]["error_map"]["mean_absolute"]) == (26, 20)
    assert found["rate"] is None  # fewer images than an atlas has
    uris = re.findall(rb'src="data:image/png;base64,([^"]+)"', page)
    strips = [each for each in map(opened, uris) if each.shape == (26, 3 * 20 + 4, 4)]
    assert len(strips) == 3 * IN_GALLERY
    originals = {image.tobytes() for image in images}
    assert all(strip[:, :20, :3].tobytes() in originals for strip in strips)


def test_the_verdict_is_near_the_top():
    evaluation = Evaluation(MANIFEST.bundle_id, describe_machine(), [])  # drawing curves takes seconds
    verdict = {"sentences": ["Another codec is better <here>.", "One image per file: 30 % more bytes."]}
    kept = replace(MANIFEST, record={**MANIFEST.record, "verdict": {"sentences": ["An older one."]}})
    for manifest, measured, expected in (
        (MANIFEST, replace(evaluation, verdict=verdict), verdict["sentences"]),
        (kept, None, ["An older one."]),
        (kept, evaluation, ["An older one."]),
        (kept, replace(evaluation, verdict=verdict), verdict["sentences"]),
    ):
        page = Page(render(manifest, evaluation=measured))
        assert page.all("section")[0][0]["id"] == contents(page)[0] == "verdict"
        shown = [text for given, text in page.all("span") if given.get("data-figure", "").startswith("verdict.")]
        assert shown == expected
    assert contents(Page(render(MANIFEST, evaluation=evaluation)))[0] == "model"


def test_a_verdict_that_no_command_wrote_is_not_shown():
    for verdict in (5, {"sentences": "text"}, {"sentences": ["a\nb"]}, {"sentences": ["x"] * 51}):
        record = {**MANIFEST.record, "verdict": verdict}
        assert build_figures(replace(MANIFEST, record=record), None, None, None, bench_of())["verdict"] is None


def test_pictures_of_large_images_are_bounded():
    """A page has to open in a browser, whatever the size of the images."""
    images = np.random.default_rng(0).integers(0, 256, (4, 200, 256, 3), np.uint8)
    places = np.array([[0.0, 0.0], [0.5, 0.5], [0.9, 0.1], [1.0, 1.0]])
    picture = draw_map(images, places, np.ones((4, 3)))
    assert picture.shape[0] <= 36 * 48
    assert picture.shape[0] % CELLS == 0
    tile = picture.shape[0] // CELLS
    np.testing.assert_array_equal(picture[: -(-200 // 6), :tile], images[0, ::6, ::6])
    assert len(strip(images[0], images[1])) < 400_000  # as PNG of noise: 700,000
    small = images[:, :28, :28]
    assert "image/png" in strip(small[0], small[1])[:20]


def opened(uri):
    with Image.open(io.BytesIO(base64.b64decode(uri))) as image:
        return np.asarray(image)
