"""Fixtures of the command line: an image on disk, a small data set, folders, and a report."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image

from fmae_edge.data.image_file import png_bytes
from tests.conftest import REPOSITORY
from tests.few_images import replace_fashion_mnist
from tests.invented_bench import bench_of


@pytest.fixture
def picture(tmp_path, images):
    path = tmp_path / "img.png"
    Image.fromarray(images[0]).save(path)
    return path


@pytest.fixture(scope="session")
def few_images(images):
    """A data set of a few test images in place of the complete one."""
    from fmae_edge.data.fashion_mnist import FashionMnist

    pixels = images.copy()
    return FashionMnist(pixels[:100], pixels, Path("few"))


@pytest.fixture(scope="session")
def report_page(tmp_path_factory, few_images):
    """The page that `fmae-edge report --json` writes for the shipped bundle, and the figures that it prints."""
    from fmae_edge.commands.report import report

    folder = tmp_path_factory.mktemp("report")
    bench = folder / "bench.json"
    bench.write_text(json.dumps(bench_of().to_record()))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        replace_fashion_mnist(patch, few_images)
        evaluation = REPOSITORY / "docs" / "evaluation" / "evaluation.json"
        report(output=folder / "report.html", evaluation=evaluation, bench=bench, json=True)
    (line,) = out.getvalue().splitlines()
    return folder / "report.html", json.loads(line)


@pytest.fixture
def folders(tmp_path, images):
    """Pictures with the same name in two folders below `in`, and a folder without pictures."""
    for name, image in zip(("one/img.png", "two/img.png"), images, strict=False):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(png_bytes(image))
    (tmp_path / "bare").mkdir()
    return tmp_path
