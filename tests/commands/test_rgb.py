"""The commands work for a bundle of RGB images as they do for gray ones."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains

from fmae_edge import Codec
from fmae_edge.commands.compare import compare
from fmae_edge.data.image_file import png_bytes
from tests.browser import needs_browser
from tests.invented_bench import bench_of
from tests.page_in_browser import opened


@pytest.fixture
def pictures(tmp_path, rgb_images):
    for index in range(3):
        Image.fromarray(rgb_images[index]).save(tmp_path / f"{index}.png")
    return [f"{index}.png" for index in range(3)]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".npy"])
def test_files_of_every_format_come_back_in_colour(cli, tmp_path, pictures, rgb_bundle, rgb_images, suffix):
    done = cli("compress", *pictures, "-o", "{stem}.fmae", "--bundle", rgb_bundle)
    assert done.returncode == 0, done.stderr
    done = cli(
        "decompress",
        *(f"{index}.fmae" for index in range(3)),
        "-o",
        f"out-{{stem}}{suffix}",
        "--bundle",
        rgb_bundle,
    )
    assert done.returncode == 0, done.stderr
    codec = Codec(rgb_bundle)
    for index in range(3):
        path = tmp_path / f"out-{index}{suffix}"
        if suffix == ".npy":
            found = np.load(path)
        else:
            with Image.open(path) as image:
                assert image.mode == "RGB"
                found = np.asarray(image)
        np.testing.assert_array_equal(found, codec.decompress(codec.compress(rgb_images[index])))


def test_latents_and_stacks(cli, tmp_path, pictures, rgb_bundle, rgb_images):
    assert cli("compress", *pictures, "-o", "all.npy", "--bundle", rgb_bundle).returncode == 0
    assert cli("compress", *pictures, "-o", "all.fmae", "--names", "--bundle", rgb_bundle).returncode == 0
    assert cli("decompress", "all.fmae", "-o", "stack.npy", "--bundle", rgb_bundle).returncode == 0
    assert np.load(tmp_path / "stack.npy").shape == (3, 26, 20, 3)
    assert cli("decompress", "all.npy", "-o", "each", "--bundle", rgb_bundle).returncode == 0
    assert len(list((tmp_path / "each").iterdir())) == 3
    done = cli("info", "all.fmae", "--bundle", rgb_bundle)
    assert done.returncode == 0
    assert "3, as a stack" in done.stdout


def test_gray_images_are_taken_with_a_note(cli, tmp_path, rgb_bundle, rgb_images):
    gray = rgb_images[0, ..., 0]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    done = cli("compress", "gray.png", "-o", "gray.fmae", "--bundle", rgb_bundle)
    assert done.returncode == 0
    assert "grayscale converted to RGB" in done.stdout + done.stderr
    same = np.repeat(gray[..., None], 3, axis=2)
    assert (tmp_path / "gray.fmae").read_bytes() == Codec(rgb_bundle).compress(same)


def test_rgb_images_are_taken_by_the_gray_bundle_with_a_note(cli, tmp_path):
    Image.new("RGB", (28, 28), (200, 90, 10)).save(tmp_path / "colours.png")
    done = cli("compress", "colours.png", "-o", "x.fmae")
    assert done.returncode == 0
    assert "RGB converted to grayscale" in done.stdout + done.stderr


def test_another_size_is_refused_or_resized(cli, tmp_path, rgb_bundle):
    Image.new("RGB", (40, 40)).save(tmp_path / "large.png")
    done = cli("compress", "large.png", "-o", "x.fmae", "--bundle", rgb_bundle)
    assert done.returncode == 1
    assert "the image is 40x40 and must be 20x26 (width x height); --fit resize will resize it" in done.stderr
    for fit in ("resize", "crop", "pad"):
        done = cli("compress", "large.png", "-o", f"{fit}.fmae", "--fit", fit, "--bundle", rgb_bundle)
        assert done.returncode == 0


def test_compare_and_reconstruct_draw_in_colour(cli, tmp_path, pictures, rgb_bundle, rgb_images):
    done = cli("compare", *pictures, "--show", "-o", "c.png", "--bundle", rgb_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert cli("reconstruct", *pictures, "-o", "r.png", "--bundle", rgb_bundle).returncode == 0
    for name, left in (("c.png", 12 + 100), ("r.png", 12)):
        with Image.open(tmp_path / name) as picture:
            assert picture.mode == "RGB"
            drawn = np.asarray(picture)
        scale = round(140 / 26)
        left += max(0, (84 - 20 * scale) // 2)
        np.testing.assert_array_equal(
            drawn[12 : 12 + 26 * scale : scale, left : left + 20 * scale : scale], rgb_images[0]
        )


def test_compare_shows_colours_in_a_terminal(tmp_path, pictures, rgb_bundle, rgb_images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fmae_edge.commands.console.has_colours", lambda stream: True)
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr("sys.stdout", out)
    compare([tmp_path / pictures[0]], show=True, bundle=[rgb_bundle])
    out.flush()
    red, green, blue = rgb_images[0, 0, 0]
    assert f"\x1b[38;2;{red};{green};{blue}m" in out.buffer.getvalue().decode()


def test_test_images_of_another_shape_are_not_reconstructed(cli, tmp_path, rgb_bundle, few_images, monkeypatch):
    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", lambda data: few_images)
    done = cli("reconstruct", "--bundle", rgb_bundle)
    assert done.returncode == 1
    assert "test images have shape (28, 28), but bundle random takes (26, 20, 3); name images" in done.stderr
    assert not list(tmp_path.iterdir())


def test_doctor_and_info_describe_the_bundle(cli, rgb_bundle):
    done = cli("doctor", rgb_bundle, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["problems"]
    assert len(report["self-test"]["checks"]) == 7
    done = cli("info", rgb_bundle)
    assert done.returncode == 0
    assert "20x26 (width x height), 3 channel(s)" in done.stdout


def test_bench_measures_the_bundle(cli, rgb_bundle, monkeypatch):
    monkeypatch.setattr("fmae_edge.evaluate.bench.COLD_STARTS", 1)
    done = cli("bench", rgb_bundle, "--rounds", "1", "--json")
    assert done.returncode == 0
    assert "and 10,000 images, in and out" in json.loads(done.stdout)["memory_mb"]


def test_the_report_says_that_nothing_was_measured(cli, tmp_path, rgb_bundle, few_images, monkeypatch):
    monkeypatch.setattr("fmae_edge.data.fashion_mnist.load_fashion_mnist", lambda data: few_images)
    bench = bench_of(Codec(rgb_bundle).manifest.bundle_id)
    (tmp_path / "bench.json").write_text(json.dumps(bench.to_record()))
    done = cli("report", rgb_bundle, "-o", "page.html", "--bench", "bench.json")
    assert (done.returncode, done.stdout) == (0, "")
    page = (tmp_path / "page.html").read_text()
    assert "nothing was measured" in page


@needs_browser
def test_the_page_in_a_browser(tmp_path, rgb_bundle, rgb_images):
    with opened(rgb_bundle, tmp_path) as page:
        page.give(("waves.png", png_bytes(rgb_images[0])))
        page.require(rgb_images[0])
        page.find("download").click()
        assert page.downloaded("waves.fmae") == page.codec.compress(rgb_images[0])
        page.settle(page.find("draw").click)
        page.settle(ActionChains(page.driver, duration=0).click(page.find("original")).perform)
        red, green, blue = page.pixels("original")[13, 10].tolist()
        assert red > green > blue > 0
        page.require(page.pixels("original"))
