"""Results if names clash, files exist or folders are missing: nothing is lost, and every case is reported."""

import os
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.runtime.atomic_write import write_file
from fmae_edge.runtime.errors import OutputError
from tests.commands.results import found, records
from tests.commands.terminals import terminal
from tests.conftest import COMMAND


def test_files_with_the_same_name_fail_whether_or_not_the_first_exists(cli, folders):
    clash = ["in/one/img.png", "in/two/img.png", "-o", "out"]
    for more in ([], ["--skip-existing"], ["--skip-existing", "--quality", "3"], ["--dry-run", "--skip-existing"]):
        done = cli("compress", *clash, *more)
        assert done.returncode == 1
        assert "in/two/img.png -> out/img." in done.stderr
        assert "in/one/img.png is already written to this path" in done.stderr
    latents = ["out/img.npy", "out/img.fmae", "-o", "back"]
    for more in ([], ["--skip-existing"]):
        done = cli("decompress", *latents, *more)
        assert done.returncode == 1
        assert "out/img.fmae -> back/img.png: out/img.npy is already written to this path" in done.stderr


def test_a_folder_is_not_an_existing_result(cli, folders):
    (folders / "in/one/img.npy").mkdir()
    (folders / "in/one/img.fmae").mkdir()
    for more in ([], ["--quality", "3"]):
        done = cli("compress", "in/one/img.png", "--skip-existing", *more)
        assert done.returncode == 1
        assert "is a folder; expected the path of a file" in done.stderr


def test_rows_of_a_joined_array_are_those_of_the_file(cli, folders, images):
    cli("compress", "in/one/img.png", "-o", "one.fmae")
    cli("compress", "-r", "in", "-o", "two.npy")
    done = cli("decompress", "two.npy", "one.fmae", "two.npy", "-o", "all.npy", "--json")
    assert [each["output"] for each in records(done)] == ["all.npy[0:2]", "all.npy[2]", "all.npy[3:5]"]
    rows = np.load(folders / "all.npy")
    np.testing.assert_array_equal(rows[0:2], rows[3:5])
    assert not np.array_equal(rows[2], rows[1])


def test_the_summary_counts_inputs(cli, folders):
    cli("compress", "-r", "in", "-o", "all.fmae")
    cli("compress", "in/one/img.png", "-o", "one.fmae")
    (folders / "bad.fmae").write_bytes(b"no file")
    done = cli("decompress", "all.fmae", "one.fmae", "bad.fmae", "-o", "out")
    assert done.stdout.count("\n") == 3
    assert "2 done, 0 skipped, 1 failed" in done.stderr


def test_a_pattern_does_not_lead_out_of_its_folder(cli, folders):
    inner = folders / "in/one"
    done = subprocess.run(
        [COMMAND, "compress", "../two/img.png", "-o", "out/{folder}/{stem}.npy"],
        cwd=inner,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "out/../two/img.npy: is not in the folder of out/{folder}/{stem}.npy" in done.stderr
    assert found(folders) == ["in/one/img.png", "in/two/img.png"]


def test_a_name_with_a_slash_is_a_folder(cli, folders):
    for name in ("v1.0/", "x.fmae/"):
        assert cli("compress", "-r", "in", "-o", name).returncode == 0
        assert found(folders / name) == ["one/img.npy", "two/img.npy"]


@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [
        (["in/one/img.png", "bad.png", "in/two/img.png", "-o", "all.npy"], ["skipped", "failed", "skipped"]),
        (["bad.png", "-r", "in", "nowhere.png", "-o", "all.npy"], ["failed", "skipped", "skipped", "failed"]),
        (["bad.png", "-r", "in", "nowhere.png", "-o", "there.npy"], ["failed"] * 4),
        (["bad.png", "-r", "in", "-o", "all.npy", "--keep-going"], ["failed", "done", "done"]),
        (["bad.png", "nowhere.png", "-o", "all.npy"], ["failed"] * 2),
        (["-r", "in", "-o", "there.npy"], ["failed"] * 2),
        (["-r", "in", "-o", "nowhere/all.fmae"], ["failed"] * 2),
        (["-r", "in", "-o", "there.npy", "--skip-existing"], ["skipped"] * 2),
    ],
)
def test_every_input_of_a_joined_file_has_its_outcome(cli, folders, arguments, statuses):
    (folders / "bad.png").write_bytes(b"no image")
    (folders / "there.npy").write_bytes(b"precious")
    done = cli("compress", *arguments, "--json")
    assert [each["status"] for each in records(done)] == statuses
    assert len({each["input"] for each in records(done)}) == len(statuses)
    assert done.returncode == (1 if "failed" in statuses else 0)
    assert (folders / "there.npy").read_bytes() == b"precious"
    assert done.stderr.count("already exists") <= 1


def test_names_are_checked_before_images_are_read(cli, folders, monkeypatch):
    monkeypatch.setattr("fmae_edge.data.image_file.load_image", None)
    done = cli("compress", "in/one/img.png", "in/two/img.png", "-o", "all.fmae", "--names")
    assert done.returncode == 1
    assert "in/one/img.png and in/two/img.png: both would have the name 'img'" in done.stderr


def test_different_paths_of_the_same_output_are_recognised(cli, folders):
    done = cli("compress", "in/one/img.png", "in/one/../one/img.png")
    assert "in/one/../one/img.npy: in/one/img.png is already written to this path" in done.stderr


def test_binary_results_are_not_written_to_a_terminal(folders):
    code, shown = terminal(folders, "compress", "in/one/img.png", "-o", "-")
    assert code == 1
    assert "standard output is a terminal, but the result is binary" in shown
    assert "NUMPY" not in shown


def test_a_stack_of_a_million_needs_one_array(cli, folders, monkeypatch):
    monkeypatch.setattr("fmae_edge.bulk.decompress.MAX_FILES", 3)
    np.save(folders / "four.npy", np.zeros((4, 64), np.float32))
    np.save(folders / "three.npy", np.zeros((3, 64), np.float32))
    cli("compress", "-r", "in", "in/one/img.png", "in/two/img.png", "-o", "four.fmae")
    for name in ("four.npy", "four.fmae"):
        done = cli("decompress", name, "-o", "out")
        assert done.returncode == 1
        assert f"{name}: contains 4 images; at most 3 are written as separate files" in done.stderr
        assert cli("decompress", name, "-o", "all.npy", "--force").returncode == 0
        assert cli("decompress", name, "-o", "one.png", "--index", "3", "--force").returncode == 0
    assert cli("decompress", "three.npy", "-o", "out").returncode == 0
    assert len(found(folders / "out")) == 3


def test_a_file_that_another_process_creates_meanwhile_is_skipped(cli, folders, monkeypatch):
    def write(path, content, force):
        path.write_bytes(b"theirs")
        write_file(path, content, force)

    monkeypatch.setattr("fmae_edge.bulk.outputs.write_file", write)
    done = cli("compress", "-r", "in", "-o", "out", "--skip-existing", "--json")
    assert done.returncode == 0
    assert [(each["status"], each["bytes"]) for each in records(done)] == [("skipped", None)] * 2
    assert (folders / "out/one/img.npy").read_bytes() == b"theirs"
    assert "already exists" in cli("compress", "-r", "in", "-o", "new").stderr
    done = cli("compress", "-r", "in", "-o", "all.fmae", "--skip-existing", "--json")
    assert done.returncode == 0
    assert [(each["status"], each["output"]) for each in records(done)] == [("skipped", "all.fmae")] * 2
    assert (folders / "all.fmae").read_bytes() == b"theirs"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_missing_folder_is_reported_before_files_are_read(cli, folders, monkeypatch, more):
    monkeypatch.setattr("fmae_edge.data.image_file.load_image", None)
    done = cli("compress", "-r", "in", "-o", "nowhere/all.npy", *more)
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: nowhere/all.npy: its folder nowhere does not exist")


@pytest.mark.parametrize("output", ["/dev/null", "pipe", "pipe.npy", "link.npy"])
@pytest.mark.parametrize("more", [[], ["--force"], ["--dry-run"]])
def test_a_pipe_or_device_as_output_is_refused_and_stays(cli, folders, output, more):
    os.mkfifo(folders / "pipe")
    os.mkfifo(folders / "pipe.npy")
    (folders / "link.npy").symlink_to("pipe")
    for command in (("compress", "in/one/img.png"), ("compress", "-r", "in")):
        done = cli(*command, "-o", output, *more)
        assert done.returncode == 1
        assert done.stderr.startswith(f"fmae-edge: {output}: is a pipe, socket or device, not a file; use - ")
    assert stat.S_ISFIFO((folders / "link.npy").stat().st_mode)
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("more", ["--force", "--skip-existing"])
def test_a_pipe_in_the_place_of_a_result_fails_one_input(cli, folders, more):
    os.mkfifo(folders / "in/one/img.npy")
    done = cli("compress", "-r", "in", more)
    assert done.returncode == 1
    assert "in/one/img.png -> in/one/img.npy: is a pipe, socket or device" in done.stderr
    assert (folders / "in/two/img.npy").is_file()


def test_the_device_name_of_standard_output_is_refused(installed, folders):
    done = installed("compress", "in/one/img.png", "-o", "/dev/stdout", "--force")
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: /dev/stdout: is a pipe, socket or device, not a file; use - ")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_name_of_standard_output_is_refused_where_the_shell_writes_to_a_file(folders, name):
    arguments = [COMMAND, "compress", "in/one/img.png", "-o", name, "--force"]
    with (folders / "to.npy").open("wb") as file:
        done = subprocess.run(arguments, cwd=folders, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"fmae-edge: {name}: is a pipe, socket or device, not a file; use - ")
    assert (folders / "to.npy").read_bytes() == b""


def test_force_writes_through_a_link_and_prints_its_name(cli, folders):
    (folders / "kept.npy").write_bytes(b"old")
    (folders / "kept.npy").chmod(0o640)
    (folders / "link.npy").symlink_to("kept.npy")
    done = cli("compress", "in/one/img.png", "-o", "link.npy", "--force")
    assert done.stdout.startswith("in/one/img.png -> link.npy")
    assert (folders / "link.npy").is_symlink()
    assert np.load(folders / "kept.npy").shape == (64,)
    assert stat.S_IMODE((folders / "kept.npy").stat().st_mode) == 0o640


def test_two_links_to_one_file_are_not_both_written(cli, folders, images):
    for name in ("one", "two"):
        (folders / "in" / name / "img.npy").symlink_to("../both.npy")
    done = cli("compress", "-r", "in", "--force")
    assert done.returncode == 1
    assert "in/two/img.npy: in/one/img.png is already written to this path" in done.stderr
    np.testing.assert_array_equal(np.load(folders / "in/both.npy"), Codec().encode(images[0]))


def test_a_link_whose_folder_is_missing_is_reported_before_files_are_read(cli, folders, monkeypatch):
    (folders / "all.npy").symlink_to("nowhere/all.npy")
    monkeypatch.setattr("fmae_edge.data.image_file.load_image", None)
    done = cli("compress", "-r", "in", "-o", "all.npy", "--force")
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: all.npy: ")
    assert "nowhere does not exist" in done.stderr


def test_after_a_failed_file_no_more_files_of_a_stack_are_written(cli, folders, monkeypatch):
    cli("compress", "-r", "in", "-o", "all.fmae")
    tried = []

    def refuse(path, *_):
        tried.append(path)
        raise OutputError(f"{path}: cannot be written")

    monkeypatch.setattr("fmae_edge.bulk.outputs.write_file", refuse)
    done = cli("decompress", "all.fmae", "-o", "out", "--json")
    assert [each["status"] for each in records(done)] == ["failed"]
    assert len(tried) == 1
    assert done.stderr.count("fmae-edge: ") == 1


def test_a_folder_that_another_process_creates_meanwhile_is_not_skipped(cli, folders, monkeypatch):
    def write(path, content, force):
        path.mkdir()
        write_file(path, content, force)

    monkeypatch.setattr("fmae_edge.bulk.outputs.write_file", write)
    done = cli("compress", "in/one/img.png", "--skip-existing", "--json")
    assert done.returncode == 1
    assert [each["status"] for each in records(done)] == ["failed"]
    assert "img.npy: is a folder; expected the path of a file" in done.stderr


def test_the_missing_images_of_a_stack_are_written(cli, folders):
    cli("compress", "-r", "in", "-o", "all.fmae")
    cli("decompress", "all.fmae", "-o", "out")
    before = (folders / "out/all.1.png").read_bytes()
    (folders / "out/all.1.png").unlink()
    done = cli("decompress", "all.fmae", "-o", "out", "--skip-existing", "--json")
    assert [each["status"] for each in records(done)] == ["skipped", "done"]
    assert (folders / "out/all.1.png").read_bytes() == before


def test_a_dry_run_reports_a_missing_folder(cli, folders):
    done = cli("compress", "in/one/img.png", "-o", "nowhere/x.npy", "--dry-run")
    assert done.returncode == 1
    assert "in/one/img.png -> nowhere/x.npy: its folder nowhere does not exist" in done.stderr
