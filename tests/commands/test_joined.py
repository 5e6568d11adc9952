"""One file of several inputs: its rows and names are those of the good inputs, and bad inputs are reported."""

import json
import os
import re
import signal
import sys
import types
from functools import partial

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec
from fmae_edge.bulk.join import OneFile, join_files
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.run import BulkRun
from fmae_edge.bulk.sources import Source
from fmae_edge.commands.print_outcomes import convert_and_print
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.errors import DiskError
from tests.commands.results import found, records, summary


@pytest.fixture
def folder(tmp_path, images):
    """Three images, and two files between them that are not images."""
    (tmp_path / "in/deeper").mkdir(parents=True)
    for name, image in zip(("a", "c", "deeper/e"), images, strict=False):
        (tmp_path / f"in/{name}.png").write_bytes(png_bytes(image))
    for name in ("b", "deeper/d"):
        (tmp_path / f"in/{name}.png").write_text("no image")
    return tmp_path


INPUTS = ["in/a.png", "in/b.png", "in/c.png", "in/deeper/d.png", "in/deeper/e.png"]


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_keep_going_leaves_bad_inputs_out(cli, folder, images, jobs):
    done = cli("compress", "-r", "in", "-o", "all.fmae", "--keep-going", "--jobs", jobs, "--json")
    assert done.returncode == 1
    assert [(each["input"], each["status"], each["output"]) for each in records(done)] == [
        ("in/a.png", "done", "all.fmae[0]"),
        ("in/b.png", "failed", None),
        ("in/c.png", "done", "all.fmae[1]"),
        ("in/deeper/d.png", "failed", None),
        ("in/deeper/e.png", "done", "all.fmae[2]"),
    ]
    assert (summary(done)["done"], summary(done)["failed"]) == (3, 2)
    assert [line.partition(".png")[0] for line in done.stderr.splitlines()] == [
        "fmae-edge: in/b",
        "fmae-edge: in/deeper/d",
    ]
    assert (folder / "all.fmae").read_bytes() == Codec().compress_batch(images[:3])


def test_text_output_names_the_inputs_that_are_left_out(cli, folder):
    done = cli("compress", "-r", "in", "-o", "all.npy", "--keep-going")
    assert done.stdout.splitlines() == [
        "in/a.png -> all.npy[0]",
        "in/c.png -> all.npy[1]",
        "in/deeper/e.png -> all.npy[2]",
    ]
    bad, worse, counts = done.stderr.splitlines()
    assert bad.startswith("fmae-edge: in/b.png: ")
    assert worse.startswith("fmae-edge: in/deeper/d.png: ")
    assert counts.startswith("3 done, 0 skipped, 2 failed in ")


def test_names_are_those_of_the_inputs_that_are_left(cli, folder, images):
    done = cli("compress", "-r", "in", "-o", "all.fmae", "--keep-going", "--names")
    assert done.returncode == 1
    content = (folder / "all.fmae").read_bytes()
    assert content == Codec().compress_batch(images[:3], names=["a", "c", "deeper/e"])


def test_without_keep_going_no_file_is_written_and_only_bad_inputs_fail(cli, folder):
    done = cli("compress", "-r", "in", "-o", "all.npy", "--json")
    assert done.returncode == 1
    statuses = ["skipped", "failed", "skipped", "failed", "skipped"]
    assert [(each["input"], each["status"]) for each in records(done)] == list(zip(INPUTS, statuses, strict=True))
    assert all(each["output"] is None for each in records(done))
    assert (summary(done)["skipped"], summary(done)["failed"], summary(done)["not_tried"]) == (3, 2, 0)
    *_, last = done.stderr.splitlines()
    reason = "all.npy: not written, because 2 of its 5 inputs failed; --keep-going writes the others"
    assert last == f"fmae-edge: {reason}"
    assert found(folder) == sorted(INPUTS)


def test_a_file_without_any_input_is_not_written(cli, folder):
    done = cli("compress", "in/b.png", "in/deeper/d.png", "-o", "all.npy", "--keep-going")
    assert done.returncode == 1
    assert "fmae-edge: all.npy: not written, because 2 of its 2 inputs failed\n" in done.stderr
    assert "0 done, 0 skipped, 2 failed" in done.stderr
    assert done.stdout == ""
    assert not (folder / "all.npy").exists()


def test_a_dry_run_reports_the_same_rows_and_writes_nothing(cli, folder):
    done = cli("compress", "-r", "in", "-o", "all.npy", "--keep-going", "--dry-run", "--json")
    assert done.returncode == 1
    assert [each["output"] for each in records(done)] == ["all.npy[0]", None, "all.npy[1]", None, "all.npy[2]"]
    assert (summary(done)["planned"], summary(done)["failed"]) == (3, 2)
    assert found(folder) == sorted(INPUTS)


def test_rows_of_stacks_that_are_left(cli, folder, images):
    cli("compress", "in/a.png", "in/c.png", "-o", "two.fmae")
    cli("compress", "in/deeper/e.png", "-o", "one.fmae")
    (folder / "bad.fmae").write_bytes(b"no file")
    files = ["two.fmae", "bad.fmae", "one.fmae", "two.fmae"]
    done = cli("decompress", *files, "-o", "all.npy", "--keep-going", "--json")
    assert done.returncode == 1
    assert [each["output"] for each in records(done)] == ["all.npy[0:2]", None, "all.npy[2]", "all.npy[3:5]"]
    codec = Codec()
    decoded = [codec.decompress(codec.compress(image)) for image in images[:3]]
    np.testing.assert_array_equal(np.load(folder / "all.npy"), [*decoded, *decoded[:2]])


def test_separate_files_need_no_keep_going(cli, folder):
    for more in ([], ["--keep-going"]):
        done = cli("compress", "-r", "in", "-o", "out", "--json", "--force", *more)
        assert (summary(done)["done"], summary(done)["failed"]) == (3, 2)


@pytest.mark.parametrize("arguments", [["-r", "in"], ["in/**/*.png"], ["in/*.png", "in/d*", "-r"]])
def test_names_are_paths_below_the_searched_folder(cli, folder, arguments):
    for bad in ("in/b.png", "in/deeper/d.png"):
        (folder / bad).unlink()
    assert cli("compress", *arguments, "-o", "all.fmae", "--names").returncode == 0
    assert Codec().names((folder / "all.fmae").read_bytes()) == ("a", "c", "deeper/e")
    assert cli("decompress", "all.fmae", "-o", "out").returncode == 0
    assert found(folder / "out") == ["a.png", "c.png", "deeper/e.png"]
    assert cli("decompress", "all.fmae", "-o", "x/{stem}.webp").returncode == 0
    assert found(folder / "x") == ["a.webp", "c.webp", "deeper/e.webp"]
    (folder / "alone").mkdir()
    (folder / "all.fmae").rename(folder / "alone/all.fmae")
    assert cli("decompress", "alone/all.fmae").returncode == 0
    assert found(folder / "alone") == ["a.png", "all.fmae", "c.png", "deeper/e.png"]


def test_files_on_the_command_line_are_named_without_their_folders(cli, folder):
    cli("compress", "in/a.png", "in/deeper/e.png", "-o", "all.fmae", "--names")
    assert Codec().names((folder / "all.fmae").read_bytes()) == ("a", "e")


def test_the_error_names_both_inputs_with_the_same_name(cli, folder, images):
    (folder / "in/a.webp").write_bytes(png_bytes(images[5]))
    done = cli("compress", "-r", "in", "-o", "all.fmae", "--names")
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: in/a.png and in/a.webp: both would have the name 'a'; rename one")
    assert not (folder / "all.fmae").exists()


@pytest.mark.parametrize(
    ("bad", "arguments", "reason"),
    [
        (
            "in/a.webp",
            [],
            "in/a.png and in/a.webp: both would have the name 'a'; rename one, leave out --names, or ",
        ),
        (
            "in/?.png",
            [],
            "in/?.png: '?' cannot be the name of an image: it contains U+003F; rename it, or leave out ",
        ),
        (
            "in/a/f.png",
            [],
            "in/a.png: its name 'a' is a folder in the name of in/a/f.png; rename it, or leave out ",
        ),
        ("in/a/f.png", ["in/a.png"], "in/a/f.png: 'a' in its name is the name of in/a.png; rename it, or leave "),
    ],
)
def test_an_input_whose_name_cannot_be_kept_is_a_bad_input(cli, folder, images, bad, arguments, reason):
    for name in ("in/b.png", "in/deeper/d.png"):
        (folder / name).unlink()
    (folder / bad).parent.mkdir(exist_ok=True)
    (folder / bad).write_bytes(png_bytes(images[2]))
    done = cli("compress", *arguments, "-r", "in", "-o", "all.fmae", "--names", "--json")
    assert done.returncode == 1
    assert done.stderr.startswith(f"fmae-edge: {reason}")
    assert not (folder / "all.fmae").exists()
    done = cli("compress", *arguments, "-r", "in", "-o", "all.fmae", "--names", "--json", "--keep-going")
    assert (done.returncode, summary(done)["failed"], summary(done)["done"]) == (1, 1, 3)
    assert done.stderr.startswith(f"fmae-edge: {reason}")
    assert len(Codec().names((folder / "all.fmae").read_bytes())) == 3


@pytest.mark.parametrize("again", ["in/a.png", "./in/a.png"])
def test_one_input_cannot_have_two_names(cli, folder, again):
    done = cli("compress", "in/a.png", again, "-o", "all.fmae", "--names")
    assert (done.returncode, done.stderr) == (1, "fmae-edge: in/a.png is in the list of inputs twice\n")


def test_conversions_are_noted_next_to_the_row(cli, folder, images):
    Image.fromarray(np.dstack([images[0]] * 3)).save(folder / "rgb.png")
    done = cli("compress", "in/a.png", "rgb.png", "-o", "all.npy")
    assert done.stdout.splitlines()[1] == "rgb.png -> all.npy[1]  (RGB converted to grayscale)"
    done = cli("compress", "in/a.png", "rgb.png", "-o", "all.npy", "--force", "--json")
    assert [each["notes"] for each in records(done)] == [[], ["RGB converted to grayscale"]]


def test_a_lack_of_memory_for_all_inputs_is_reported(cli, folder, monkeypatch):
    def encode(*_):
        raise MemoryError

    monkeypatch.setattr(Codec, "encode", encode)
    done = cli("compress", "in/a.png", "in/c.png", "-o", "all.npy")
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: out of memory\n0 done, 0 skipped, 2 failed")


def test_ctrl_c_while_files_are_read_writes_nothing(tmp_path, capsys, monkeypatch):
    def load(source):
        if source.path.stem == "10":
            signal.raise_signal(signal.SIGINT)
        return np.zeros((1, 28, 28), np.uint8), []

    monkeypatch.setattr("fmae_edge.bulk.join.FILES_AT_ONCE", 1)
    target, sources = tmp_path / "all.npy", [Source(tmp_path / f"{number}.png") for number in range(100)]
    outputs = Outputs(target, ".npy", sources, (".npy",), join=True)
    work = partial(join_files, sources, load, OneFile(outputs, lambda _: b"all"), 1, False)
    with pytest.raises(SystemExit, match="130"):
        convert_and_print(lambda *_, **__: BulkRun(work, sources, 0, (".npy",), outputs), [], json=True)
    printed = capsys.readouterr()
    assert re.match(
        r"fmae-edge: interrupted after ([1-9]|[1-4]\d) of 100 inputs; nothing was written\n", printed.err
    )
    assert json.loads(printed.out)["summary"]["not_tried"] == 100
    assert found(tmp_path) == []


def test_a_full_disk_does_not_fail_the_inputs(cli, folder, monkeypatch):
    def full(path, *_):
        raise DiskError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr("fmae_edge.bulk.outputs.write_file", full)
    done = cli("compress", "in/a.png", "in/c.png", "-o", "all.npy")
    assert done.returncode == 1
    sentence, counts = done.stderr.splitlines()
    reason = "all.npy: cannot be written (No space left on device); to continue, run the same command"
    assert sentence == f"fmae-edge: {reason}"
    assert counts.startswith("0 done, 2 skipped, 0 failed in ")
    assert done.stdout.splitlines() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no os.statvfs")
@pytest.mark.parametrize(("flag", "reason"), [(os.ST_RDONLY, "Read-only file system"), (0, "Permission denied")])
def test_the_error_gives_the_reason_why_a_folder_is_not_writable(cli, folder, monkeypatch, flag, reason):
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: types.SimpleNamespace(f_flag=flag))
    done = cli("compress", "in/a.png", "in/c.png", "-o", "all.npy")
    assert done.returncode == 1
    assert done.stderr.startswith(f"fmae-edge: all.npy: . cannot be written to ({reason})")
