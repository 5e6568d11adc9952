"""The scripts of docs/own-images.md keep everything that is alike on one side, and draw images of one size."""

import importlib.util
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[1] / "scripts"
FONTS = sorted(Path("/usr/share/fonts").rglob("*.ttf"))


def load(name):
    specification = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run(name, *arguments):
    command = [sys.executable, SCRIPTS / f"{name}.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def package(path, vendor, names):
    """Write a package with pictures of 64x64: a red square on a transparent ground."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (255, 0, 0, 255)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"package/img/{vendor}/64/{name}.png")
            member.size = len(stream.getvalue())
            archive.addfile(member, io.BytesIO(stream.getvalue()))


def test_all_skin_tones_of_an_emoji_are_on_one_side():
    script = load("make_emoji")
    for code_points in ("1f44b", "1f469-200d-1f4bb", "1f91d"):
        first, *rest = code_points.split("-")
        sides = {script.is_held_out("-".join([first, *tone, *rest])) for tone in ([], ["1f3fb"], ["1f3ff"])}
        assert len(sides) == 1
    shares = np.mean([script.is_held_out(f"{number:x}") for number in range(5000)])
    assert shares == pytest.approx(0.1, abs=0.02)


def test_emoji_of_several_packages(tmp_path):
    names = [f"{number:x}" for number in range(0x1F400, 0x1F440)]
    package(tmp_path / "one.tgz", "one", names)
    package(tmp_path / "two.tgz", "two", names)
    out = tmp_path / "emoji"
    done = run("make_emoji", out, tmp_path / "one.tgz", tmp_path / "two.tgz")
    assert done.returncode == 0, done.stderr
    found = {side: sorted(path.name for path in (out / side).rglob("*.png")) for side in ("train", "holdout")}
    assert len(found["train"]) + len(found["holdout"]) == 2 * len(names)
    assert not set(found["train"]) & set(found["holdout"])
    with Image.open(next((out / "train").rglob("*.png"))) as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
        assert image.getpixel((0, 0)) == (255, 255, 255)
        assert image.getpixel((16, 16)) == (255, 0, 0)
    assert "already exists" in run("make_emoji", out, tmp_path / "one.tgz").stderr


def test_fonts_of_one_foundry_are_on_one_side():
    script = load("make_letters")
    assert (
        len({script.is_held_out(f"Noto {kind}") for kind in ("Sans", "Serif", "Sans Mono", "Naskh Arabic")}) == 1
    )
    assert np.mean([script.is_held_out(f"{number} Sans") for number in range(5000)]) == pytest.approx(
        0.1, abs=0.02
    )


@pytest.mark.skipif(not FONTS, reason="needs a TrueType font in /usr/share/fonts")
def test_letters_fill_28_pixels_and_differ():
    script = load("make_letters")
    letters = next((found[1] for path in FONTS if (found := script.letters_of(path))), None)
    if letters is None:
        pytest.skip("needs a font with Latin letters")
    assert len(letters) == 52
    for letter in letters:
        left, top, right, bottom = letter.getbbox()
        assert letter.size == (32, 32)
        assert max(right - left, bottom - top) in (27, 28)
