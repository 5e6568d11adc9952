"""The lines and the summary that are printed: counts, files passed over, the size of a .fmae file."""

import json
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.pipeline import convert_files
from fmae_edge.bulk.run import BulkRun, Outcome
from fmae_edge.bulk.sources import Source
from fmae_edge.commands.print_outcomes import convert_and_print, print_outcomes
from fmae_edge.data.image_file import png_bytes
from fmae_edge.data.image_limits import SUFFIXES
from fmae_edge.runtime.errors import DiskError
from tests.commands.results import records, summary


def run_of(*inputs, names=("x",)):
    """Return a run over inputs of these names that has the outcomes of `inputs`."""
    sources = [Source(Path(name)) for name in names]
    return BulkRun(lambda _: iter([inputs]), sources, 0, (), Outputs(None, ".npy", sources, (".npy",)))


def test_an_input_with_a_failed_image_counts_as_failed(capsys):
    done, failed = Outcome("x", "y", "done"), Outcome("x", None, "failed", error="x: is full")
    for outcomes in ([done, failed], [failed, done]):
        with pytest.raises(SystemExit, match="1"):
            print_outcomes(run_of(outcomes))


def test_an_input_with_a_skipped_and_a_done_image_counts_as_done(capsys):
    done, skipped = Outcome("x[0]", "y", "done"), Outcome("x[1]", "z", "skipped")
    for outcomes in ([done, skipped], [skipped, done]):
        print_outcomes(run_of(outcomes), json=True)
        counts = json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]
        assert (counts["done"], counts["skipped"]) == (1, 0)


def test_the_first_of_several_full_disk_errors_is_printed(capsys):
    full = [Outcome(name, None, "failed", error=f"{name}: full", cause=DiskError()) for name in ("x", "y")]
    with pytest.raises(SystemExit, match="1"):
        print_outcomes(run_of(*([each] for each in full), names=("x", "y", "z")), advice="go on")
    sentence, counts = capsys.readouterr().err.splitlines()
    assert sentence == "fmae-edge: x: full; 1 of 3 inputs not tried; go on"
    assert counts.startswith("0 done, 0 skipped, 2 failed, 1 not tried")


def test_the_summary_of_one_input(cli, picture):
    done = cli("compress", "img.png", "--json")
    counts = summary(done)
    assert counts.pop("seconds") >= 0
    assert counts == {
        "inputs": 1,
        "done": 1,
        "skipped": 0,
        "failed": 0,
        "planned": 0,
        "not_tried": 0,
        "passed_over": 0,
    }
    for more, status in ((["--skip-existing"], "skipped"), ([], "failed"), (["--dry-run", "--force"], "planned")):
        counts = summary(cli("compress", "img.png", "--json", *more))
        assert [each for each in ("done", "skipped", "failed", "planned") if counts[each]] == [status]


def test_the_summary_goes_to_the_stream_of_the_lines(cli, picture):
    for name, status in (("img.png", "done"), ("nowhere.png", "failed")):
        done = cli("compress", name, "-o", "-", "--json")
        line, last = map(json.loads, done.stderr.splitlines()[-2:])
        assert line["status"] == status
        assert last["summary"][status] == 1
        assert done.stdout.startswith("\\x93NUMPY") is (status == "done")
        assert "summary" not in done.stdout


def test_lines_are_not_mixed_with_the_result_of_standard_input(cli, picture, images):
    done = cli("compress", "-", "img.png", stdin=png_bytes(images[1]))
    assert done.stdout.startswith("\\x93NUMPY")
    assert "img.png" not in done.stdout
    assert "img.png -> img.npy" in done.stderr


def test_after_ctrl_c_the_summary_counts_the_inputs_that_are_left(tmp_path, capsys):
    def load(source):
        if source.path.stem == "3":
            signal.raise_signal(signal.SIGINT)
        raise MemoryError

    sources = [Source(tmp_path / f"{number}.png") for number in range(100)]
    outputs = Outputs(None, ".npy", sources, (".npy",))
    work = partial(convert_files, sources, load, list, outputs, 1, 1)
    with pytest.raises(SystemExit, match="130"):
        convert_and_print(lambda *_, **__: BulkRun(work, sources, 0, (".npy",), outputs), [], json=True)
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    counts = lines.pop()["summary"]
    assert counts["failed"] == len(lines) < 100
    assert counts["not_tried"] == 100 - len(lines)
    assert "to continue, run the same command with --skip-existing" in printed.err


@pytest.fixture
def mixed(folders):
    """Two images and three other files, in folders below `in`."""
    for name in ("note.txt", "one/img.npy", "two/IMG.RAW"):
        (folders / "in" / name).write_bytes(b"x")
    return folders


@pytest.mark.parametrize("arguments", [["-r", "in"], ["-r", "in", "in/one", "in"], ["in/*", "-r"], ["-r", "i*"]])
def test_files_that_are_passed_over_are_counted_once(cli, mixed, arguments):
    count = 2 if arguments[0] == "in/*" else 3  # in/note.txt matches that pattern, so it is an input
    if count == 2:
        (mixed / "in/note.txt").unlink()
    done = cli("compress", *arguments, "-o", "out", "--json")
    assert done.returncode == 0
    assert summary(done)["passed_over"] == count
    assert summary(done)["inputs"] == len(records(done)) == 2


def test_files_that_are_passed_over_are_reported_with_the_suffixes(cli, mixed):
    done = cli("compress", "-r", "in", "-o", "out")
    endings = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    assert done.stderr.endswith(f" s; 3 files passed over: their names do not end in {endings}\n")
    done = cli("compress", "-r", "in/one", "-o", "more")  # one input has no other summary
    assert done.stderr.endswith(f" s; 1 file passed over: its name does not end in {endings}\n")
    done = cli("decompress", "-r", "out", "-o", "back")
    assert "passed over" not in done.stderr
    assert cli("compress", "-r", "in", "-o", "quiet", "--quiet").stderr == ""


def test_a_file_that_is_an_input_too_is_not_passed_over(cli, mixed):
    counts = summary(cli("compress", "in/note.txt", "-r", "in", "in/two/IMG.RAW", "-o", "out", "--json"))
    assert (counts["passed_over"], counts["failed"], counts["done"]) == (1, 2, 2)


def test_an_error_that_inputs_share_is_printed_once(cli, folders):
    done = cli("compress", "-r", "in", "-o", "nowhere/all.npy")
    assert done.stderr.count("nowhere does not exist") == 1
    assert "0 done, 0 skipped, 2 failed" in done.stderr


def test_the_line_of_one_image_has_the_size_of_its_fmae_file(cli, tmp_path, picture, images):
    said = cli("compress", "img.png").stdout
    assert said == f"img.png -> img.npy  (384 bytes; -o img.fmae would take {len(Codec().compress(images[0]))})\n"
    assert (tmp_path / "img.npy").stat().st_size == 384
    cli("compress", "img.png", "-o", "img.fmae")
    assert (tmp_path / "img.fmae").stat().st_size == len(Codec().compress(images[0]))
    assert "; -o out/img.fmae would take" in cli("compress", "img.png", "-o", "out").stdout
    assert "384 bytes; -o img.fmae would take" in cli("compress", "img.png", "--force", "--dry-run").stdout


def test_a_name_that_starts_with_a_hyphen_is_printed_as_an_argument(cli, tmp_path, picture):
    picture.rename(tmp_path / "-bag.png")
    said = cli("compress", "./-bag.png").stdout
    assert said.startswith("./-bag.png -> ./-bag.npy  (384 bytes; -o ./-bag.fmae would take ")
    assert cli("compress", "./-bag.png", "-o", "./-bag.fmae").returncode == 0


def test_a_note_on_conversion_precedes_the_size(cli, tmp_path, images):
    from PIL import Image

    Image.fromarray(np.dstack([images[0]] * 3)).save(tmp_path / "rgb.png")
    assert "(RGB converted to grayscale; 384 bytes; -o rgb.fmae would take" in cli("compress", "rgb.png").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["img.png", "--quiet"],
        ["img.png", "--json"],
        ["img.png", "-o", "x.npy"],
        ["img.png", "--dtype", "int8"],
        ["img.png", "-o", "x.fmae"],
        ["img.png", "-o", "-"],
        ["img.png", "again.png"],
        ["img.png", "again.png", "-o", "out"],
    ],
)
def test_other_calls_do_not_compute_the_size(cli, tmp_path, picture, arguments, monkeypatch):
    (tmp_path / "again.png").write_bytes(picture.read_bytes())
    if "x.fmae" not in arguments:
        monkeypatch.setattr(Codec, "compress", None)
    done = cli("compress", *arguments)
    assert done.returncode == 0
    assert "would take" not in done.stdout + done.stderr


def test_a_bundle_without_a_prior_shows_no_size(cli, picture, monkeypatch):
    from fmae_edge import BundleError

    def refuse(*_):
        raise BundleError("has no prior")

    monkeypatch.setattr(Codec, "compress", refuse)
    done = cli("compress", "img.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "img.png -> img.npy\n", "")
