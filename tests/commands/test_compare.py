"""`compare` shows the images in real files: in a picture, in the terminal, as a table and as JSON."""

import fcntl
import io
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec
from fmae_edge.commands.compare import compare
from fmae_edge.commands.console import ClosedOutput
from fmae_edge.measure.comparison import enlarged_difference
from fmae_edge.measure.quality import mse_per_image, psnr, ssim_per_image
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME
from tests.commands.results import pixels
from tests.commands.terminals import read_to_end
from tests.conftest import COMMAND
from tests.half_block_decoder import decode
from tests.manifest_changes import rewrite

COUNT = 3
SCALE, MARGIN, LABELS = 5, 12, 100
SIDE = 28 * SCALE


@pytest.fixture
def pictures(tmp_path, images):
    names = [f"{index}.png" for index in range(COUNT)]
    for name, image in zip(names, images, strict=False):
        Image.fromarray(image).save(tmp_path / name)
    return names


def drawn(path, column, rows=3):
    """Return original, reconstruction and difference in a column of the picture, for each bundle."""
    figure, left = pixels(path), MARGIN + LABELS + column * (SIDE + MARGIN)
    tops = [MARGIN + line * (SIDE + MARGIN) for line in range(rows)]
    return [figure[top : top + SIDE : SCALE, left : left + SIDE : SCALE] for top in tops]


def test_the_picture_shows_the_images_that_the_file_gives(cli, tmp_path, pictures, images):
    done = cli("compare", *pictures, "--quality", "3", "--effort", "1")
    assert (done.returncode, done.stderr) == (0, "")
    header, _, *rows, last = done.stdout.splitlines()
    assert header.split() == ["image", "bytes", "PSNR", "SSIM"]
    assert last == "wrote comparison.png"
    cli("compress", *pictures, "--quality", "3", "--effort", "1")
    for index, (name, row) in enumerate(zip(pictures, rows, strict=True)):
        file = (tmp_path / name).with_suffix(".fmae")
        decoded = Codec().decompress(file.read_bytes())
        expected = (images[index], decoded, enlarged_difference(images[index], decoded))
        for shown, image in zip(drawn(tmp_path / "comparison.png", index), expected, strict=True):
            np.testing.assert_array_equal(shown, image)
        before, after = images[[index]] / 255, decoded[None] / 255
        measured = (psnr(mse_per_image(before, after)[0]), ssim_per_image(before, after)[0])
        assert row.split() == [name, str(file.stat().st_size), f"{measured[0]:.2f}", "dB", f"{measured[1]:.4f}"]


def test_the_options_reach_the_codec(cli, tmp_path, pictures, bundle):
    def said(*options):
        return cli("compare", *pictures, "--json", "--force", *options).stdout

    def size(said):
        return sum(json.loads(line)["bytes"] for line in said.splitlines())

    assert size(said("--quality", "1")) < size(said()) < size(said("--quality", "9"))
    usual = said("--quality", "5", "--effort", "0", "--precision", "int8", "--bundle", bundle)
    assert usual.replace(str(bundle), "default") == said()
    assert said("--precision", "fp32") != said() != said("--effort", "1")


def test_json_is_one_line_per_image(cli, tmp_path, pictures, monkeypatch, images):
    done = cli("compare", *pictures, "--json", "-o", "out.png")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["image"] for record in records] == pictures
    assert all(set(record) == {"image", "bundle", "bytes", "psnr", "ssim", "output"} for record in records)
    assert {record["output"] for record in records} == {"out.png"}
    monkeypatch.setattr(Codec, "decompress_iter", lambda *_: iter(images[:1]))
    done = cli("compare", "0.png", "--json", "-o", "exact.png")
    assert (json.loads(done.stdout)["psnr"], json.loads(done.stdout)["ssim"]) == (None, pytest.approx(1))


def test_each_bundle_is_compared(cli, tmp_path, pictures, images):
    bundles = ("default", "detail")
    arguments = ("compare", *pictures, *(word for each in bundles for word in ("--bundle", each)))
    records = [json.loads(line) for line in cli(*arguments, "--json").stdout.splitlines()]
    assert [(each["image"], each["bundle"]) for each in records] == [(n, b) for n in pictures for b in bundles]
    files = [Codec(each).compress(image) for image in images[:COUNT] for each in bundles]
    assert [each["bytes"] for each in records] == list(map(len, files))
    for index in range(COUNT):
        rows = drawn(tmp_path / "comparison.png", index, 5)
        np.testing.assert_array_equal(rows[0], images[index])
        for row, bundle in ((1, "default"), (3, "detail")):
            np.testing.assert_array_equal(rows[row], Codec(bundle).decompress(files[2 * index + row // 2]))
            np.testing.assert_array_equal(rows[row + 1], enlarged_difference(images[index], rows[row]))
    header, _, *table, _ = cli(*arguments, "--force").stdout.splitlines()
    assert header.split() == ["image", "bundle", "bytes", "PSNR", "SSIM"]
    assert [row.split()[:3] for row in table] == [[r["image"], r["bundle"], str(r["bytes"])] for r in records]
    shown = cli("compare", "0.png", *arguments[-4:], "--show").stdout
    assert shown.startswith("0.png, default: ")
    assert "\n0.png, detail: " in shown


def test_bundles_for_images_of_other_sizes_cannot_be_compared(cli, tmp_path, pictures, rgb_bundle):
    done = cli("compare", "0.png", "--bundle", "default", "--bundle", rgb_bundle)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fmae-edge: bundle default is for images of shape (28, 28) and bundle ")
    assert sorted(os.listdir(tmp_path)) == pictures


def test_nothing_is_overwritten(cli, tmp_path, pictures):
    before = (tmp_path / "0.png").read_bytes()
    for output, message in (("comparison.png", "already exists; use --force"), ("0.png", "is an input")):
        cli("compare", "0.png")
        done = cli("compare", "0.png", "-o", output)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr
    assert cli("compare", "0.png", "--force").returncode == 0
    assert cli("compare", "0.png", "-o", "0.png", "--force").returncode == 1
    assert (tmp_path / "0.png").read_bytes() == before


@pytest.mark.parametrize("command", ["compare", "reconstruct"])
def test_braces_in_the_name_of_the_picture_are_not_a_pattern(cli, tmp_path, pictures, command):
    for name in ("{stem}.png", "{x}.png", "a{b.png"):
        assert cli(command, pictures[0], "-o", name).returncode == 0
        assert (tmp_path / name).is_file()


def test_a_bad_file_does_not_stop_the_others(cli, tmp_path, pictures, images):
    (tmp_path / "bad.png").write_text("hello")
    done = cli("compare", "0.png", "bad.png", "2.png", "missing.png")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in said] == ["bad.png", "missing.png"]
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["0.png", "2.png", "wrote"]
    np.testing.assert_array_equal(drawn(tmp_path / "comparison.png", 1)[0], images[2])


def test_without_a_prior_there_is_one_error_and_no_picture(cli, tmp_path, pictures, bundle):
    def as_version_2(content):
        content["format_version"] = 2
        del content["qualities"], content["files"][PRIOR_NAME]

    rewrite(bundle, as_version_2)
    done = cli("compare", *pictures, "--bundle", bundle)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "has no prior, which .fmae files need" in done.stderr
    assert not (tmp_path / "comparison.png").exists()


def test_conversions_are_printed(cli, tmp_path, images):
    Image.fromarray(images[0]).convert("RGB").save(tmp_path / "colour.png")
    Image.fromarray(images[0]).resize((56, 56)).save(tmp_path / "large.png")
    done = cli("compare", "colour.png", "large.png", "--fit", "resize")
    assert done.returncode == 0
    notes = ["colour.png: RGB converted to grayscale", "large.png: resized from 56x56 to 28x28"]
    assert done.stderr.splitlines() == notes


def test_folders_and_streams(cli, installed, tmp_path, pictures):
    (tmp_path / "folder").mkdir()
    for name in pictures:
        (tmp_path / name).rename(tmp_path / "folder" / name)
    done = cli("compare", "-r", "folder", "--json")
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [f"folder/{n}" for n in pictures]
    done = subprocess.run(
        [COMMAND, "compare", "-", "-o", "-"],
        input=(tmp_path / "folder" / "0.png").read_bytes(),
        capture_output=True,
        check=True,
    )
    np.testing.assert_array_equal(pixels(io.BytesIO(done.stdout)), pixels(_one(cli, tmp_path, "folder/0.png")))
    assert "wrote" not in done.stderr.decode()


def _one(cli, tmp_path, name):
    """Return the picture of an image from standard input."""
    cli("compare", "-", "-o", "one.png", stdin=(tmp_path / name).read_bytes())
    return tmp_path / "one.png"


def test_show_without_an_output_writes_no_file(cli, tmp_path, pictures, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    done = cli("compare", "0.png", "--show")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path)) == pictures
    caption, *block = done.stdout.rstrip().splitlines()
    file_bytes = len(Codec().compress(pixels(tmp_path / "0.png")))
    assert caption.startswith(f"0.png: {file_bytes} bytes, PSNR ")
    assert len(block) == 14 + 1
    assert block[-1].split("  ")[0] == "original"
    assert set("".join(block[:-1])) == set(" ░▒▓█")  # not a terminal, so no codes
    both = cli("compare", *pictures, "--show", "-o", "out.png")
    assert [line.split()[0] for line in both.stdout.splitlines()[-4:-1]] == pictures  # the table of several images
    assert both.stdout.startswith(done.stdout)
    assert both.stdout.splitlines()[-1] == "wrote out.png"
    assert (tmp_path / "out.png").exists()


def test_the_picture_names_quality_and_effort(cli, pictures, monkeypatch):
    said = []

    def note(comparisons, text):
        said.append(text)
        return Image.new("L", (1, 1))

    monkeypatch.setattr("fmae_edge.measure.comparison.draw_comparisons", note)
    cli("compare", "0.png")
    cli("compare", "0.png", "--quality", "2", "--effort", "1", "--force")
    assert said == ["quality 5", "quality 2, effort 1"]


@pytest.mark.parametrize("command", ["compare", "reconstruct"])
@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("missing/x.png", 1, "its folder missing does not exist"),
        ("folder.png", 2, "must go to a file whose name ends in .png"),
    ],
)
def test_the_output_is_checked_before_the_bundle_is_read(
    cli, tmp_path, pictures, monkeypatch, command, output, code, message
):
    (tmp_path / "folder.png").mkdir()
    monkeypatch.setattr("fmae_edge.bulk.image_input.open_codec", None)
    done = cli(command, "0.png", "-o", output)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_a_terminal_of_unknown_width_gets_no_line_break(monkeypatch, tmp_path, pictures):
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((0, 0)))
    monkeypatch.setattr(Terminal, "fileno", lambda _: 1)
    text = shown(monkeypatch, tmp_path / "0.png")
    assert decode("\n".join(text.splitlines()[1:15])).shape[1] >= 3 * 28


def test_with_standard_output_closed_the_table_goes_to_standard_error(monkeypatch, capsys, tmp_path, pictures):
    monkeypatch.setattr(sys, "stdout", ClosedOutput())
    compare([tmp_path / "0.png"], output=tmp_path / "c.png")
    assert (tmp_path / "c.png").exists()
    assert capsys.readouterr().err.startswith("image ")


def test_reconstruct_fails_where_its_figures_cannot_be_printed(tmp_path, pictures):
    for options in ([], ["--json"]):
        command = '"$@" >&-; echo $?'
        done = subprocess.run(
            ["sh", "-c", command, "sh", COMMAND, "reconstruct", pictures[0], "--force", *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("1\n", "fmae-edge: standard output is closed\n")


def test_show_does_not_mix_with_json(cli, tmp_path, pictures):
    done = cli("compare", "0.png", "--show", "--json")
    assert json.loads(done.stdout)["output"] is None
    assert "░" in done.stderr


class Terminal(io.TextIOWrapper):
    """Standard output that claims to be a terminal."""

    def isatty(self):
        return True


def shown(monkeypatch, path, encoding="utf-8", **environment):
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    stream = Terminal(io.BytesIO(), encoding)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        compare([path], show=True)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_a_terminal_shows_the_pixels(monkeypatch, tmp_path, pictures, images):
    decoded = Codec().decompress(Codec().compress(images[0]))
    expected = (images[0], decoded, enlarged_difference(images[0], decoded))
    text = shown(monkeypatch, tmp_path / "0.png", COLUMNS="88")
    grays = decode("\n".join(text.splitlines()[1:15]))
    for index, image in enumerate(expected):
        np.testing.assert_array_equal(grays[:, 30 * index : 30 * index + 28], image)
    narrow = shown(monkeypatch, tmp_path / "0.png", COLUMNS="40").splitlines()
    for index, image in enumerate(expected):
        np.testing.assert_array_equal(decode("\n".join(narrow[1 + 15 * index : 15 + 15 * index])), image)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_codes_if_the_user_wants_none(monkeypatch, tmp_path, pictures, environment):
    text = shown(monkeypatch, tmp_path / "0.png", **environment)
    assert "\x1b" not in text
    assert "▓" in text
    assert "\x1b" in shown(monkeypatch, tmp_path / "0.png", NO_COLOR="")  # empty: not set


def test_an_encoding_without_block_characters(monkeypatch, tmp_path, pictures):
    text = shown(monkeypatch, tmp_path / "0.png", encoding="ascii")
    assert "++++" in text
    assert "\\u" not in text


def test_the_width_comes_from_the_terminal(tmp_path, pictures, images):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 60, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")} | {"TERM": "xterm"}
    started = subprocess.Popen(
        [COMMAND, "compare", Path("0.png"), "--show"], stdout=theirs, cwd=tmp_path, env=environment
    )
    os.close(theirs)
    shown = read_to_end(ours)
    assert started.wait() == 0
    lines = shown.decode().replace("\r\n", "\n").splitlines()
    np.testing.assert_array_equal(decode("\n".join(lines[1:15]))[:, :28], images[0])
    assert lines[15].split() == ["original", "reconstruction"]  # two side by side in 60 columns
    assert lines[30].startswith("difference")
