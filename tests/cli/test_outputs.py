"""Where results go when names clash, files exist, folders are missing: nothing is lost, and all is told."""

import subprocess

import numpy as np
import pytest

from fmae_edge.cli.outcome import Outcome, Tally
from fmae_edge.runtime.output import write_file
from tests.cli.test_inputs import records
from tests.cli.test_many import found
from tests.cli.test_terminal import terminal
from tests.conftest import COMMAND


def test_an_input_of_which_one_image_failed_has_failed(capsys):
    done, failed = Outcome("x", "y", "done"), Outcome("x", None, "failed", error="x: is full")
    for outcomes in ([done, failed], [failed, done]):
        counting = Tally(1, json=False, advance=None)
        counting.add([outcomes])
        with pytest.raises(SystemExit, match="1"):
            counting.finish()


def test_files_of_one_name_fail_whether_or_not_the_first_exists(cli, folders):
    clash = ["in/one/img.png", "in/two/img.png", "-o", "out"]
    for more in ([], ["--skip-existing"], ["--skip-existing", "--quality", "3"], ["--dry-run", "--skip-existing"]):
        done = cli("compress", *clash, *more)
        assert done.returncode == 1
        assert "in/two/img.png -> out/img." in done.stderr
        assert "is where in/one/img.png goes already" in done.stderr
    latents = ["out/img.npy", "out/img.fmae", "-o", "back"]
    for more in ([], ["--skip-existing"]):
        done = cli("decompress", *latents, *more)
        assert done.returncode == 1
        assert "out/img.fmae -> back/img.png: is where out/img.npy goes already" in done.stderr


def test_a_folder_is_no_result_that_exists(cli, folders):
    (folders / "in/one/img.npy").mkdir()
    (folders / "in/one/img.fmae").mkdir()
    for more in ([], ["--quality", "3"]):
        done = cli("compress", "in/one/img.png", "--skip-existing", *more)
        assert done.returncode == 1
        assert "is a folder, so no file is written there" in done.stderr


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
        (["in/one/img.png", "bad.png", "in/two/img.png", "-o", "all.npy"], ["failed"] * 3),
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
    assert sorted(each["status"] for each in records(done)) == statuses
    assert len({each["input"] for each in records(done)}) == len(statuses)
    assert done.returncode == (1 if "failed" in statuses else 0)
    assert (folders / "there.npy").read_bytes() == b"precious"
    assert done.stderr.count("exists already") <= 1


def test_names_are_looked_at_before_images_are_read(cli, folders, monkeypatch):
    monkeypatch.setattr("fmae_edge.cli.compress.load_gray", None)
    done = cli("compress", "-r", "in", "-o", "all.fmae", "--names")
    assert done.returncode == 1
    assert "'img' is the name of two images" in done.stderr


def test_an_output_is_the_same_however_it_is_spelled(cli, folders):
    done = cli("compress", "in/one/img.png", "in/one/../one/img.png")
    assert "in/one/../one/img.npy: is where in/one/img.png goes already" in done.stderr


def test_binary_is_not_for_a_terminal(folders):
    code, shown = terminal(folders, "compress", "in/one/img.png", "-o", "-")
    assert code == 1
    assert "standard output is a terminal, and the result is no text" in shown
    assert "NUMPY" not in shown


def test_a_stack_of_a_million_needs_one_array(cli, folders, monkeypatch):
    monkeypatch.setattr("fmae_edge.cli.decompress._MOST_FILES", 3)
    np.save(folders / "four.npy", np.zeros((4, 64), np.float32))
    np.save(folders / "three.npy", np.zeros((3, 64), np.float32))
    cli("compress", "-r", "in", "in/one/img.png", "in/two/img.png", "-o", "four.fmae")
    for name in ("four.npy", "four.fmae"):
        done = cli("decompress", name, "-o", "out")
        assert done.returncode == 1
        assert f"{name}: holds 4 images, and no more than 3 become files of their own" in done.stderr
        assert cli("decompress", name, "-o", "all.npy", "--force").returncode == 0
        assert cli("decompress", name, "-o", "one.png", "--index", "3", "--force").returncode == 0
    assert cli("decompress", "three.npy", "-o", "out").returncode == 0
    assert len(found(folders / "out")) == 3


def test_what_another_process_makes_meanwhile_is_skipped(cli, folders, monkeypatch):
    def write(path, content, force):
        path.write_bytes(b"theirs")
        write_file(path, content, force)

    monkeypatch.setattr("fmae_edge.cli.outputs.write_file", write)
    done = cli("compress", "-r", "in", "-o", "out", "--skip-existing", "--json")
    assert done.returncode == 0
    assert [each["status"] for each in records(done)] == ["skipped"] * 2
    assert (folders / "out/one/img.npy").read_bytes() == b"theirs"
    assert "exists already" in cli("compress", "-r", "in", "-o", "new").stderr
    done = cli("compress", "-r", "in", "-o", "all.fmae", "--skip-existing", "--json")
    assert done.returncode == 0
    assert [(each["status"], each["output"]) for each in records(done)] == [("skipped", "all.fmae")] * 2
    assert (folders / "all.fmae").read_bytes() == b"theirs"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_folder_that_is_missing_is_seen_before_files_are_read(cli, folders, monkeypatch, more):
    monkeypatch.setattr("fmae_edge.cli.compress.load_gray", None)
    done = cli("compress", "-r", "in", "-o", "nowhere/all.npy", *more)
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: nowhere/all.npy: its folder nowhere does not exist")
