"""`fmae-edge report` writes one file that loads nothing from the network, or says why it cannot."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fmae_edge.runtime.bundle.manifest import Manifest
from tests.conftest import REPOSITORY
from tests.few_images import replace_fashion_mnist
from tests.invented_bench import bench_of
from tests.report_page import Page

EVALUATION = REPOSITORY / "docs" / "evaluation" / "evaluation.json"


@pytest.fixture(scope="module")
def content(report_page):
    return report_page[0].read_bytes()


@pytest.fixture(scope="module")
def page(content):
    return Page(content)


def test_the_page_contains_the_figures_that_the_command_prints(report_page, page):
    _, printed = report_page
    assert json.loads(page.all("script")[0][1]) == printed
    assert printed["measured"]["images"] == 256
    assert printed["rate"]["points"] == json.loads(EVALUATION.read_text())["points"]


def test_nothing_is_fetched(content, page):
    assert b"http:" not in content
    assert b"https:" not in content
    for _, attributes, _ in page.elements:
        for name in ("src", "href", "xlink:href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), attributes
    assert not re.search(rb"url\((?!#)", content)
    (policy,) = [each["content"] for each, _ in page.all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_it_is_accessible_to_screen_readers(page):
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(below - above <= 1 for above, below in pairwise(levels))
    pictures = page.all("img")
    assert len(pictures) > 24
    assert all(len(attributes["alt"]) > 20 for attributes, _ in pictures)
    drawings = page.all("svg")
    assert len(drawings) == 6
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes, _ in drawings)
    assert page.all("html")[0][0]["lang"] == "en"
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = {attributes["for"] for attributes, _ in page.all("label")}
    assert labels == {attributes["id"] for attributes, _ in page.all("input")}


def test_drawings_use_the_text_colour_of_the_page(content):
    drawings = re.findall(rb"<svg.*?</svg>", content, re.DOTALL)
    for drawing in drawings:
        assert b"currentColor" in drawing
        assert b"#000000" not in drawing
        assert b"<style" not in drawing  # it would apply to the complete page
        assert b"mathdefault" not in drawing


@pytest.fixture
def given(tmp_path):
    """Options for the results of earlier commands about the shipped bundle."""
    (tmp_path / "bench.json").write_text(json.dumps(bench_of().to_record()))
    return ("--evaluation", EVALUATION, "--bench", "bench.json")


@pytest.fixture
def data(monkeypatch, few_images):
    replace_fashion_mnist(monkeypatch, few_images)


@pytest.fixture
def nothing_measured(monkeypatch):
    """Fail if a command that must refuse first does any work."""

    def refuse(*_):
        raise AssertionError("work before the refusal")

    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", refuse)


def test_an_existing_page_is_kept_without_force(cli, tmp_path, given, nothing_measured):
    (tmp_path / "report.html").write_text("precious")
    done = cli("report", *given)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fmae-edge: report.html: already exists; use --force to overwrite it\n"
    assert (tmp_path / "report.html").read_text() == "precious"


@pytest.mark.parametrize("output", ["missing/report.html", "-"])
def test_an_output_that_cannot_be_written(cli, tmp_path, output, nothing_measured):
    done = cli("report", "-o", output)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{output}: the report must be a file in an existing folder" in done.stderr


def points(record, **changes):
    return {**record, "points": [{**record["points"][0], **changes}]}


@pytest.mark.parametrize("option", ["--evaluation", "--bench"])
@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "5", "null", "{}", "[" * 100_000, '{"bundle_id": 3}', "\ufffd", '{"bundle_id": NaN}'],
)
def test_files_that_no_command_wrote(cli, tmp_path, option, content, nothing_measured):
    (tmp_path / "given.json").write_text(content)
    done = cli("report", option, "given.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"fmae-edge: given\.json: (is empty|not .*)\n", done.stderr)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"bytes_per_image": 0},
        {"bytes_per_image": float("nan")},
        {"images": True},
        {"codec": ["x"]},
        {"codec": "a\ncodec"},
        {"packing": "loose"},
        {"encode_ms": "3"},
        {"quality": {"mse": 1}},
        {"images": 10**30},
    ],
)
def test_an_evaluation_with_an_invalid_figure(cli, tmp_path, change, nothing_measured):
    (tmp_path / "given.json").write_text(json.dumps(points(json.loads(EVALUATION.read_text()), **change)))
    done = cli("report", "--evaluation", "given.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "given.json: not the evaluation.json of `fmae-edge evaluate`" in done.stderr


def test_an_incomplete_benchmark(cli, tmp_path, nothing_measured):
    record = bench_of().to_record()
    record["speeds"] = [row for row in record["speeds"] if row["batch"] != 1]
    (tmp_path / "given.json").write_text(json.dumps(record))
    done = cli("report", "--bench", "given.json")
    assert done.returncode == 1
    assert "given.json: not the output of `fmae-edge bench --json`" in done.stderr


@pytest.mark.parametrize("option", ["--evaluation", "--bench"])
def test_a_file_whose_name_is_a_dash_is_not_standard_input(cli, tmp_path, option, nothing_measured):
    (tmp_path / "-").write_text("{}")
    done = cli("report", option, "./-", stdin=b"[")
    assert done.returncode == 1
    assert done.stderr.startswith(f"fmae-edge: {tmp_path / '-'}: not ")


def test_figures_of_another_bundle(cli, tmp_path, nothing_measured):
    (tmp_path / "bench.json").write_text(json.dumps(bench_of("0123456789abcdef").to_record()))
    done = cli("report", "--bench", "bench.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"was measured with bundle 0123456789abcdef, but this is {bench_of().bundle_id}" in done.stderr
    done = cli("report", "--evaluation", "nowhere.json")
    assert done.stderr == "fmae-edge: nowhere.json: no such file\n"
    done = cli("report", "nowhere")
    assert "nowhere: no such bundle folder" in done.stderr


def test_a_bundle_without_a_prior_is_measured_by_its_latents(cli, tmp_path, bundle, data):
    path = bundle / "manifest.json"
    plain = replace(Manifest.from_json(path.read_bytes(), "it"), qualities=None)
    path.write_text(plain.to_json())
    (tmp_path / "bench.json").write_text(json.dumps(bench_of(plain.bundle_id).to_record()))
    done = cli("report", bundle, "--bench", "bench.json", "--json")
    assert (done.returncode, done.stderr) == (0, "wrote report.html\n")
    figures = json.loads(done.stdout)
    assert figures["rate"] is None
    assert figures["measured"]["shown"]["bytes_per_image"] is None
    assert len(figures["map"]["psnr"]) == 256


def test_missing_results_are_measured(cli, tmp_path, data, monkeypatch):
    requested = {}

    def evaluate(codec, train, test, effort, on_progress, ladders):
        from fmae_edge.evaluate.evaluation import Evaluation

        requested["images"] = len(test)
        requested["codecs"] = {ladder.name for ladder in ladders}
        return Evaluation.from_record(json.loads(EVALUATION.read_text()))

    monkeypatch.setattr("fmae_edge.evaluate.report.page.evaluate", evaluate)
    monkeypatch.setattr("fmae_edge.evaluate.report.page.run_bench", lambda path, rounds, on_round: bench_of())
    done = cli("report", "-o", "page.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wrote page.html\n")
    assert requested == {"images": 200, "codecs": {"JPEG", "WebP"}}
    assert "without AVIF, JPEG XL and the lossless codecs" in (tmp_path / "page.html").read_text()


def test_the_page_says_that_images_have_another_size(cli, tmp_path, given, monkeypatch, few_images):
    larger = replace(few_images, test=np.repeat(few_images.test, 2, axis=1))
    replace_fashion_mnist(monkeypatch, larger)
    done = cli("report", *given, "--json")
    assert done.returncode == 0
    figures = json.loads(done.stdout)
    assert figures["measured"] is figures["map"] is None
    assert "nothing was measured" in (tmp_path / "report.html").read_text()
