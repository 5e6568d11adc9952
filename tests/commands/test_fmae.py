""".fmae files on the command line, as a user types it."""

import shutil

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec
from fmae_edge.runtime.format.fmae_file import pack_many, unpack
from tests.commands.results import records
from tests.conftest import REPOSITORY

CODEC = Codec()
SAMPLES = sorted((REPOSITORY / "samples").glob("*.png"))


@pytest.fixture
def folder(tmp_path):
    for sample in SAMPLES[:3]:
        shutil.copy(sample, tmp_path)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(cli, folder):
    done = cli("compress", "bag.png", "-o", "bag.fmae")
    assert done.returncode == 0
    size = (folder / "bag.fmae").stat().st_size
    assert size < 40
    assert done.stdout == f"bag.png -> bag.fmae  ({size} bytes)\n"
    done = cli("decompress", "bag.fmae")
    assert done.stdout == "bag.fmae -> bag.decoded.png\n"
    images = [np.asarray(Image.open(folder / name), float) for name in ("bag.png", "bag.decoded.png")]
    assert np.sqrt(np.square(images[0] - images[1]).mean()) < 40


def test_an_option_for_fmae_files_selects_the_format(cli, folder):
    sizes = []
    for quality in ("1", "9"):
        assert cli("compress", "coat.png", "--quality", quality, "--force").returncode == 0
        sizes.append((folder / "coat.fmae").stat().st_size)
    assert sizes[0] < sizes[1]
    assert "coat.npy" not in names(folder)
    cli("compress", "coat.png", "--quality", "9", "--effort", "1", "-o", "better.fmae")
    assert (folder / "better.fmae").exists()


def test_max_bytes(cli, folder):
    assert cli("compress", "coat.png", "--max-bytes", "30").returncode == 0
    assert (folder / "coat.fmae").stat().st_size <= 30
    done = cli("compress", "bag.png", "--max-bytes", "3")
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: bag.png: --max-bytes is 3, but the lowest quality takes")
    assert "bag.fmae" not in names(folder)


def test_many_images_in_one_file(cli, folder):
    images = [f"{sample.stem}.png" for sample in SAMPLES[:3]]
    assert cli("compress", *images, "-o", "all.fmae").returncode == 0
    (folder / "out").mkdir()
    cli("decompress", "all.fmae", "-o", "out")
    assert names(folder / "out") == ["all.0.png", "all.1.png", "all.2.png"]
    done = cli("decompress", "all.fmae", "--index", "1", "-o", "one.png")
    assert done.returncode == 0
    assert (folder / "one.png").read_bytes() == (folder / "out" / "all.1.png").read_bytes()
    assert cli("decompress", "all.fmae", "--index", "2").stdout == "all.fmae -> all.2.png\n"
    done = cli("decompress", "all.fmae", "--index", "3")
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: all.fmae: has no image 3; its 3 images are numbered 0 to 2")


def test_names_are_stored_with_the_option(cli, folder):
    images = [f"{sample.stem}.png" for sample in SAMPLES[:3]]
    assert cli("compress", *images, "-o", "all.fmae", "--names").returncode == 0
    (folder / "out").mkdir()
    cli("decompress", "all.fmae", "-o", "out")
    assert names(folder / "out") == images
    cli("decompress", "all.fmae")  # next to the originals, which stay
    assert {f"{sample.stem}.decoded.png" for sample in SAMPLES[:3]} <= set(names(folder))


def test_a_name_that_is_not_printable_text_is_refused(cli, folder):
    for name in ("line\nbreak", "esc\x1b[31m", b"\xff".decode(errors="surrogateescape")):
        shutil.copy(folder / "bag.png", folder / f"{name}.png")
        done = cli("compress", "bag.png", f"{name}.png", "-o", "all.fmae", "--names")
        assert done.returncode == 1
        assert "cannot be the name of an image" in done.stderr
        assert not (folder / "all.fmae").exists()


def pack(folder, images, names):
    """Write stack.fmae with unchecked names."""
    payloads = unpack(CODEC.compress_batch(images), CODEC.manifest.bundle_id).payloads
    (folder / "stack.fmae").write_bytes(pack_many(payloads, 5, CODEC.manifest.bundle_id, names))


@pytest.mark.parametrize("beside", [True, False])
def test_names_that_are_paths_are_written_below_the_output_folder(cli, tmp_path, images, beside):
    (tmp_path / "in").mkdir()
    pack(tmp_path / "in", images[:4], ["x", "a/b", "a/c/d", "e.f/g"])
    done = cli("decompress", "in/stack.fmae", *([] if beside else ["-o", "out/"]))
    assert (done.returncode, done.stderr) == (0, "")
    top = tmp_path / ("in" if beside else "out")
    found = sorted(str(path.relative_to(top)) for path in top.rglob("*.png"))
    assert found == ["a/b.png", "a/c/d.png", "e.f/g.png", "x.png"]
    expected = CODEC.decompress((tmp_path / "in/stack.fmae").read_bytes())
    np.testing.assert_array_equal(np.asarray(Image.open(top / "a/c/d.png")), expected[2])
    assert cli("decompress", "in/stack.fmae", "--index", "1", "-o", "one/").returncode == 0
    assert (tmp_path / "one/a/b.png").read_bytes() == (top / "a/b.png").read_bytes()
    done = cli("decompress", "in/stack.fmae", "-o", "planned/{stem}.png", "--dry-run")
    assert "in/stack.fmae[2] -> planned/a/c/d.png" in done.stdout
    assert not (tmp_path / "planned").exists()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "../b"], "'../b' cannot be the name of an image: .. is a folder on every system"),
        (["a", "/etc/b"], "'/etc/b' cannot be the name of an image: it has an empty part"),
        (["a", "b\x1b[2J"], r"'b\x1b[2J' cannot be the name of an image: it contains U+001B"),
        (["a"], "expected a list of 2 names, one per image, got 1"),
        (["a", "a"], "'a' is the name of two images; names must be different"),
    ],
)
def test_images_whose_names_are_refused_are_numbered(cli, tmp_path, images, names, reason):
    pack(tmp_path, images[:2], names)
    done = cli("decompress", "stack.fmae")
    note = f"numbered, because the file contains invalid image names: {reason}"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"stack.fmae[{number}] -> stack.{number}.png  ({note})" for number in range(2)
    ]
    done = cli("decompress", "stack.fmae", "--index", "1", "--force", "--json")
    (record,) = records(done)
    assert (record["output"], record["notes"]) == ("stack.1.png", [note])
    done = cli("decompress", "stack.fmae", "-o", "all.npy")
    assert (done.returncode, done.stdout) == (0, "stack.fmae -> all.npy\n")


@pytest.mark.parametrize(("count", "last"), [(10, "stack.9.png"), (11, "stack.10.png")])
def test_numbers_have_the_same_number_of_digits(cli, tmp_path, images, count, last):
    pack(tmp_path, images[:count], None)
    assert cli("decompress", "stack.fmae").returncode == 0
    found = names(tmp_path)
    assert last in found
    assert {len(name) for name in found if name.endswith(".png")} == {len(last)}


def test_pipes(cli, folder):
    done = cli("compress", "-", "--quality", "5", "-o", "piped.fmae", stdin=(folder / "bag.png").read_bytes())
    assert done.returncode == 0
    done = cli("decompress", "-", "-o", "back.png", stdin=(folder / "piped.fmae").read_bytes())
    assert done.returncode == 0
    assert Image.open(folder / "back.png").size == (28, 28)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["-o", "x.npy", "--quality", "3"],
            "--quality needs an output that ends in .fmae, got x.npy",
        ),
        (["-o", "x.fmae", "--dtype", "int8"], "--dtype needs an output that ends in .npy"),
        (["--names"], "--names needs an output FILE.fmae that holds all images"),
    ],
)
def test_options_that_contradict_each_other(cli, folder, arguments, sentence):
    done = cli("compress", "bag.png", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert names(folder) == [sample.name for sample in SAMPLES[:3]]


def test_quality_and_max_bytes_exclude_each_other(cli, folder):
    done = cli("compress", "bag.png", "--quality", "3", "--max-bytes", "30")
    assert done.returncode == 2
    assert "not both" in done.stderr


def test_damaged_files_are_named_and_the_others_are_converted(cli, folder):
    for name in ("bag", "coat"):
        cli("compress", f"{name}.png", "-o", f"{name}.fmae")
    whole = (folder / "bag.fmae").read_bytes()
    (folder / "cut.fmae").write_bytes(whole[:-1])
    (folder / "flipped.fmae").write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))
    (folder / "text.fmae").write_bytes(b"hello, world")
    done = cli("decompress", "cut.fmae", "flipped.fmae", "text.fmae", "coat.fmae", "--json")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith("fmae-edge: cut.fmae: truncated")
    assert lines[1].startswith("fmae-edge: flipped.fmae: corrupted")
    assert lines[2] == "fmae-edge: text.fmae: not a .fmae file"
    outcomes = records(done)
    assert [record["status"] for record in outcomes] == ["failed", "failed", "failed", "done"]
    assert outcomes[0]["error"].startswith("cut.fmae: truncated")
    assert outcomes[3]["output"] == "coat.decoded.png"
