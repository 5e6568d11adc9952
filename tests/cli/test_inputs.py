"""Which files a command takes: folders, patterns, links; and that none is left out without a word."""

import ctypes
import json
import os
import subprocess

import numpy as np
import pytest

from fmae_edge.cli.image_file import png_bytes
from fmae_edge.cli.outcome import Outcome, Tally
from fmae_edge.runtime.output import write_file
from tests.cli.test_faults import CAP_DAC_OVERRIDE, PR_CAPBSET_DROP
from tests.cli.test_many import found, terminal
from tests.conftest import COMMAND

CAP_DAC_READ_SEARCH = 2


@pytest.fixture
def tree(tmp_path, images):
    """Pictures of one name in two folders below `in`, and a folder that has no picture."""
    for name, image in zip(("one/img.png", "two/img.png"), images, strict=False):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(png_bytes(image))
    (tmp_path / "bare").mkdir()
    return tmp_path


def records(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_arguments_that_give_nothing_fail_and_the_rest_go_on(cli, tree):
    done = cli("compress", "no*match.png", "in/one/img.png", "bare", "-r", "-o", "out", "--json")
    assert done.returncode == 1
    assert [(each["input"], each["status"]) for each in records(done)] == [
        ("no*match.png", "failed"),
        ("in/one/img.png", "done"),
        ("bare", "failed"),
    ]
    assert "fmae-edge: no*match.png: no file matches" in done.stderr
    assert "fmae-edge: bare: no file in it ends in .png or" in done.stderr
    assert found(tree / "out") == ["img.npy"]


def test_folders_that_cannot_be_read_are_not_left_out(tree):
    def obey_permissions():
        """As root too, who without these capabilities reads only what permissions let him."""
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability)

    locked = tree / "in/two"
    locked.chmod(0)
    try:
        done = subprocess.run(
            [COMMAND, "compress", "-r", "in", "-o", "out"],
            cwd=tree,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=obey_permissions,
        )
    finally:
        locked.chmod(0o755)
    assert done.returncode == 1
    assert "fmae-edge: in/two: cannot be read (Permission denied)\n" in done.stderr
    assert "1 done, 0 skipped, 1 failed" in done.stderr
    assert found(tree / "out") == ["one/img.npy"]


@pytest.mark.parametrize("arguments", [["in/**/*.png"], ["in/*", "-r"], ["i*", "-r"], ["-r", "in"]])
def test_the_structure_of_folders_is_kept(cli, tree, arguments):
    assert cli("compress", *arguments, "-o", "out").returncode == 0
    prefix = "in/" if arguments[0] == "i*" else ""
    assert found(tree / "out") == [f"{prefix}one/img.npy", f"{prefix}two/img.npy"]


@pytest.mark.parametrize("pattern", ["in/**/*.png", "in/**/img.png"])
def test_links_to_folders_do_not_lead_round(cli, tree, pattern):
    (tree / "in/a").symlink_to(".")
    (tree / "in/two/back").symlink_to("..")
    for arguments in ([pattern], ["-r", "in"], ["in/one/img.png", "-r", "in", pattern]):
        done = cli("compress", *arguments, "--json", "--dry-run")
        assert sorted(each["input"] for each in records(done)) == ["in/one/img.png", "in/two/img.png"]


def test_a_file_is_taken_once_whatever_links_lead_to_it(cli, tree):
    (tree / "in/z").symlink_to("two")
    done = cli("compress", "in/*/img.png", "--json", "--dry-run")
    assert [each["input"] for each in records(done)] == ["in/one/img.png", "in/two/img.png"]


def test_an_input_of_which_one_image_failed_has_failed(capsys):
    done, failed = Outcome("x", "y", "done"), Outcome("x", None, "failed", error="x: is full")
    for outcomes in ([done, failed], [failed, done]):
        counting = Tally(1, json=False, advance=None)
        counting.add([outcomes])
        with pytest.raises(SystemExit, match="1"):
            counting.finish()


def test_patterns_match_as_in_a_shell(cli, tree, images):
    for name in ("in/.hidden.png", "in/.folder/img.png"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(png_bytes(images[0]))
    for pattern, expected in {
        "in/**": ["in/one/img.png", "in/two/img.png"],
        f"{tree}/in/[o]*/*": [f"{tree}/in/one/img.png"],
        "in/*/im?.png": ["in/one/img.png", "in/two/img.png"],
        "in/.*.png": ["in/.hidden.png"],
        "in/one*/../two/*.png": ["in/one/../two/img.png"],
    }.items():
        done = cli("compress", pattern, "--json", "--dry-run")
        assert [each["input"] for each in records(done)] == expected
    assert "in/a**b.png: is no pattern" in cli("compress", "in/a**b.png").stderr


def test_files_of_one_name_fail_whether_or_not_the_first_exists(cli, tree):
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


def test_a_folder_is_no_result_that_exists(cli, tree):
    (tree / "in/one/img.npy").mkdir()
    (tree / "in/one/img.fmae").mkdir()
    for more in ([], ["--quality", "3"]):
        done = cli("compress", "in/one/img.png", "--skip-existing", *more)
        assert done.returncode == 1
        assert "is a folder, so no file is written there" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--json"], ["-o", "out"]])
def test_a_file_without_images_is_not_passed_over(cli, tree, arguments):
    np.save(tree / "none.npy", np.zeros((0, 64), np.float32))
    done = cli("decompress", "none.npy", *arguments)
    assert done.returncode == 1
    assert "fmae-edge: none.npy: holds no images" in done.stderr
    if "--json" in arguments:
        assert records(done)[0]["status"] == "failed"


def test_rows_of_a_joined_array_are_those_of_the_file(cli, tree, images):
    cli("compress", "in/one/img.png", "-o", "one.fmae")
    cli("compress", "-r", "in", "-o", "two.npy")
    done = cli("decompress", "two.npy", "one.fmae", "two.npy", "-o", "all.npy", "--json")
    assert [each["output"] for each in records(done)] == ["all.npy[0:2]", "all.npy[2]", "all.npy[3:5]"]
    rows = np.load(tree / "all.npy")
    np.testing.assert_array_equal(rows[0:2], rows[3:5])
    assert not np.array_equal(rows[2], rows[1])


def test_the_summary_counts_inputs(cli, tree):
    cli("compress", "-r", "in", "-o", "all.fmae")
    cli("compress", "in/one/img.png", "-o", "one.fmae")
    (tree / "bad.fmae").write_bytes(b"no file")
    done = cli("decompress", "all.fmae", "one.fmae", "bad.fmae", "-o", "out")
    assert done.stdout.count("\n") == 3
    assert "2 done, 0 skipped, 1 failed" in done.stderr


def test_a_pattern_does_not_lead_out_of_its_folder(cli, tree):
    inner = tree / "in/one"
    done = subprocess.run(
        [COMMAND, "compress", "../two/img.png", "-o", "out/{folder}/{stem}.npy"],
        cwd=inner,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "out/../two/img.npy: is not in the folder of out/{folder}/{stem}.npy" in done.stderr
    assert found(tree) == ["in/one/img.png", "in/two/img.png"]


def test_a_name_with_a_slash_is_a_folder(cli, tree):
    for name in ("v1.0/", "x.fmae/"):
        assert cli("compress", "-r", "in", "-o", name).returncode == 0
        assert found(tree / name) == ["one/img.npy", "two/img.npy"]


def test_a_file_that_is_larger_than_any_image_is_not_read(cli, tree):
    with (tree / "huge.png").open("wb") as file:
        file.truncate(3 << 30)
    done = cli("compress", "huge.png", "in/one/img.png", "-o", "out")
    assert done.returncode == 1
    assert "fmae-edge: huge.png: has 3221225472 bytes, and no more than" in done.stderr
    assert found(tree / "out") == ["img.npy"]


def test_memory_that_is_not_there_is_the_failure_of_one_input(cli, tree, monkeypatch):
    from fmae_edge.cli import compress
    from fmae_edge.cli.image_file import load_gray

    def load(content, where, size, fit):
        if "one" in where:
            raise MemoryError
        return load_gray(content, where, size, fit)

    monkeypatch.setattr(compress, "load_gray", load)
    done = cli("compress", "-r", "in", "-o", "out")
    assert done.returncode == 1
    assert "fmae-edge: in/one/img.png: takes more memory than there is" in done.stderr
    assert found(tree / "out") == ["two/img.npy"]


def test_standard_input_is_read_no_further_than_any_image_needs(cli, tree, monkeypatch):
    monkeypatch.setattr("fmae_edge.cli.compress.MAX_FILE_BYTES", 100)
    done = cli("compress", "-", "-o", "x.npy", stdin=b"x" * 5000)
    assert done.returncode == 1
    assert "-: has more than 100 bytes, and no more are read" in done.stderr


def test_memory_that_pillow_lacks_is_no_damage(cli, tree, monkeypatch):
    def load(_):
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    assert "in/one/img.png: takes more memory than there is" in cli("compress", "in/one/img.png").stderr


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + "*", "x" * 300 + "/*.png"])
def test_a_name_that_cannot_be_one_stops_nobody_else(cli, tree, name):
    done = cli("compress", "-r", "in/one/img.png", name, "-o", "out", "--json")
    assert done.returncode == 1
    assert [each["status"] for each in records(done)] == ["done", "failed"]


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
def test_every_input_of_a_joined_file_has_its_outcome(cli, tree, arguments, statuses):
    (tree / "bad.png").write_bytes(b"no image")
    (tree / "there.npy").write_bytes(b"precious")
    done = cli("compress", *arguments, "--json")
    assert sorted(each["status"] for each in records(done)) == statuses
    assert len({each["input"] for each in records(done)}) == len(statuses)
    assert done.returncode == (1 if "failed" in statuses else 0)
    assert (tree / "there.npy").read_bytes() == b"precious"
    assert done.stderr.count("exists already") <= 1


def test_names_are_looked_at_before_images_are_read(cli, tree, monkeypatch):
    monkeypatch.setattr("fmae_edge.cli.compress.load_gray", None)
    done = cli("compress", "-r", "in", "-o", "all.fmae", "--names")
    assert done.returncode == 1
    assert "'img' is there twice" in done.stderr


def test_latents_that_cannot_be_decoded_are_named(cli, tree):
    np.save(tree / "good.npy", np.zeros(64, np.float32))
    np.save(tree / "big.npy", np.full(64, 3e38, np.float32))
    done = cli("decompress", "good.npy", "big.npy", "-o", "out", "--precision", "fp32")
    assert "fmae-edge: big.npy: latents are too large" in done.stderr
    assert found(tree / "out") == ["good.png"]


def test_an_output_is_the_same_however_it_is_spelled(cli, tree):
    done = cli("compress", "in/one/img.png", "in/one/../one/img.png")
    assert "in/one/../one/img.npy: is where in/one/img.png goes already" in done.stderr


def test_binary_is_not_for_a_terminal(tree):
    code, shown = terminal(tree, "compress", "in/one/img.png", "-o", "-")
    assert code == 1
    assert "standard output is a terminal, and the result is no text" in shown
    assert "NUMPY" not in shown


def test_a_stack_of_a_million_needs_one_array(cli, tree, monkeypatch):
    monkeypatch.setattr("fmae_edge.cli.decompress._MOST_FILES", 3)
    np.save(tree / "four.npy", np.zeros((4, 64), np.float32))
    np.save(tree / "three.npy", np.zeros((3, 64), np.float32))
    cli("compress", "-r", "in", "in/one/img.png", "in/two/img.png", "-o", "four.fmae")
    for name in ("four.npy", "four.fmae"):
        done = cli("decompress", name, "-o", "out")
        assert done.returncode == 1
        assert f"{name}: holds 4 images, and no more than 3 become files of their own" in done.stderr
        assert cli("decompress", name, "-o", "all.npy", "--force").returncode == 0
        assert cli("decompress", name, "-o", "one.png", "--index", "3", "--force").returncode == 0
    assert cli("decompress", "three.npy", "-o", "out").returncode == 0
    assert len(found(tree / "out")) == 3


def test_what_another_process_makes_meanwhile_is_skipped(cli, tree, monkeypatch):
    def write(path, content, force):
        path.write_bytes(b"theirs")
        write_file(path, content, force)

    monkeypatch.setattr("fmae_edge.cli.outputs.write_file", write)
    done = cli("compress", "-r", "in", "-o", "out", "--skip-existing", "--json")
    assert done.returncode == 0
    assert [each["status"] for each in records(done)] == ["skipped"] * 2
    assert (tree / "out/one/img.npy").read_bytes() == b"theirs"
    assert "exists already" in cli("compress", "-r", "in", "-o", "new").stderr
    done = cli("compress", "-r", "in", "-o", "all.fmae", "--skip-existing", "--json")
    assert done.returncode == 0
    assert [(each["status"], each["output"]) for each in records(done)] == [("skipped", "all.fmae")] * 2
    assert (tree / "all.fmae").read_bytes() == b"theirs"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_folder_that_is_missing_is_seen_before_files_are_read(cli, tree, monkeypatch, more):
    monkeypatch.setattr("fmae_edge.cli.compress.load_gray", None)
    done = cli("compress", "-r", "in", "-o", "nowhere/all.npy", *more)
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: nowhere/all.npy: its folder nowhere does not exist")


def test_compressed_files_are_not_taken_for_images(cli, tree):
    cli("compress", "in/one/img.png", "-o", "x.npy")
    assert "x.npy: is no image but something compressed" in cli("compress", "x.npy", "-o", "y.npy").stderr


def test_images_are_not_taken_for_latents(cli, tree):
    done = cli("decompress", "in/one/img.png")
    assert "in/one/img.png: is neither a .fmae nor a .npy file; compress takes images" in done.stderr


def test_pipes_are_refused_with_a_way_out(cli, tree):
    os.mkfifo(tree / "pipe.png")
    assert "pipe.png: is no regular file; - reads standard input" in cli("compress", "pipe.png").stderr
