"""Inputs in folders, by patterns and through links. Each input that cannot be read fails."""

import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.format.npy_file import dump_latents
from tests.commands.permissions import obey_permissions
from tests.commands.results import found, records
from tests.conftest import COMMAND


def test_arguments_without_files_fail_and_the_others_are_converted(cli, folders):
    done = cli("compress", "no*match.png", "in/one/img.png", "bare", "-r", "-o", "out", "--json")
    assert done.returncode == 1
    assert [(each["input"], each["status"]) for each in records(done)] == [
        ("no*match.png", "failed"),
        ("in/one/img.png", "done"),
        ("bare", "failed"),
    ]
    assert "fmae-edge: no*match.png: no file matches" in done.stderr
    assert "fmae-edge: bare: no file in it ends in .png or" in done.stderr
    assert found(folders / "out") == ["img.npy"]


def test_folders_that_cannot_be_read_are_reported(folders):
    locked = folders / "in/two"
    locked.chmod(0)
    try:
        done = subprocess.run(
            [COMMAND, "compress", "-r", "in", "-o", "out"],
            cwd=folders,
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
    assert found(folders / "out") == ["one/img.npy"]


@pytest.mark.parametrize("arguments", [["in/**/*.png"], ["in/*", "-r"], ["i*", "-r"], ["-r", "in"]])
def test_the_structure_of_folders_is_kept(cli, folders, arguments):
    assert cli("compress", *arguments, "-o", "out").returncode == 0
    prefix = "in/" if arguments[0] == "i*" else ""
    assert found(folders / "out") == [f"{prefix}one/img.npy", f"{prefix}two/img.npy"]


@pytest.mark.parametrize("pattern", ["in/**/*.png", "in/**/img.png"])
def test_links_to_folders_do_not_lead_in_circles(cli, folders, pattern):
    (folders / "in/a").symlink_to(".")
    (folders / "in/two/back").symlink_to("..")
    for arguments in ([pattern], ["-r", "in"], ["in/one/img.png", "-r", "in", pattern]):
        done = cli("compress", *arguments, "--json", "--dry-run")
        assert sorted(each["input"] for each in records(done)) == ["in/one/img.png", "in/two/img.png"]


def test_a_file_is_converted_once_for_all_its_links(cli, folders):
    (folders / "in/z").symlink_to("two")
    done = cli("compress", "in/*/img.png", "--json", "--dry-run")
    assert [each["input"] for each in records(done)] == ["in/one/img.png", "in/two/img.png"]


def test_patterns_match_as_in_a_shell(cli, folders, images):
    for name in ("in/.hidden.png", "in/.folder/img.png"):
        (folders / name).parent.mkdir(exist_ok=True)
        (folders / name).write_bytes(png_bytes(images[0]))
    for pattern, expected in {
        "in/**": ["in/one/img.png", "in/two/img.png"],
        f"{folders}/in/[o]*/*": [f"{folders}/in/one/img.png"],
        "in/*/im?.png": ["in/one/img.png", "in/two/img.png"],
        "in/.*.png": ["in/.hidden.png"],
        "in/one*/../two/*.png": ["in/one/../two/img.png"],
    }.items():
        done = cli("compress", pattern, "--json", "--dry-run")
        assert [each["input"] for each in records(done)] == expected
    assert "in/a**b.png: is not a valid pattern" in cli("compress", "in/a**b.png").stderr


@pytest.mark.parametrize("arguments", [[], ["--json"], ["-o", "out"]])
def test_a_file_without_images_is_not_passed_over(cli, folders, arguments):
    np.save(folders / "none.npy", np.zeros((0, 64), np.float32))
    done = cli("decompress", "none.npy", *arguments)
    assert done.returncode == 1
    assert "fmae-edge: none.npy: contains no images" in done.stderr
    if "--json" in arguments:
        assert records(done)[0]["status"] == "failed"


def test_a_file_that_is_larger_than_any_image_is_not_read(cli, folders):
    with (folders / "huge.png").open("wb") as file:
        file.truncate(3 << 30)
    done = cli("compress", "huge.png", "in/one/img.png", "-o", "out")
    assert done.returncode == 1
    assert "fmae-edge: huge.png: has 3221225472 bytes, more than the limit" in done.stderr
    assert "--fit resize allows larger images" in done.stderr
    assert found(folders / "out") == ["img.npy"]


def _add_a_chunk(path):
    """Make a PNG one that Pillow opens: a plain one is read in another way."""
    image = Image.open(path)
    image.load()
    image.save(path, dpi=(72, 72))


def test_an_image_that_takes_too_much_memory_fails_alone(cli, folders, monkeypatch):
    from fmae_edge.data import image_file
    from fmae_edge.data.image_file import load_image

    def load(content, where, size, channels, fit):
        if "one" in where:
            raise MemoryError
        return load_image(content, where, size, channels, fit)

    _add_a_chunk(folders / "in/one/img.png")
    monkeypatch.setattr(image_file, "load_image", load)
    done = cli("compress", "-r", "in", "-o", "out")
    assert done.returncode == 1
    assert "fmae-edge: in/one/img.png: needs more memory than is available" in done.stderr
    assert found(folders / "out") == ["two/img.npy"]


def test_standard_input_is_read_no_further_than_any_image_needs(cli, folders, monkeypatch):
    monkeypatch.setattr("fmae_edge.bulk.image_input.max_image_bytes", lambda size, fit: 100)
    done = cli("compress", "-", "-o", "x.npy", stdin=b"x" * 5000)
    assert done.returncode == 1
    assert "-: is larger than the limit of 100 bytes" in done.stderr


def test_a_lack_of_memory_in_pillow_is_not_reported_as_damage(cli, folders, monkeypatch):
    def load(_):
        raise MemoryError

    _add_a_chunk(folders / "in/one/img.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    done = cli("compress", "-r", "in", "-o", "out")
    assert "in/one/img.png: needs more memory than is available" in done.stderr


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + "*", "x" * 300 + "/*.png"])
def test_an_impossible_name_fails_alone(cli, folders, name):
    done = cli("compress", "-r", "in/one/img.png", name, "-o", "out", "--json")
    assert done.returncode == 1
    assert [each["status"] for each in records(done)] == ["done", "failed"]


def test_latents_that_cannot_be_decoded_are_named(cli, folders):
    np.save(folders / "good.npy", np.zeros(64, np.float32))
    np.save(folders / "big.npy", np.full(64, 3e38, np.float32))
    done = cli("decompress", "good.npy", "big.npy", "-o", "out", "--precision", "fp32")
    assert "fmae-edge: big.npy: latents are too large" in done.stderr
    assert found(folders / "out") == ["good.png"]


def test_compressed_files_are_not_mistaken_for_images(cli, folders):
    cli("compress", "in/one/img.png", "-o", "x.npy")
    done = cli("compress", "x.npy", "-o", "y.npy")
    assert "x.npy: is a compressed file, not an image; use fmae-edge decompress" in done.stderr


def test_images_are_not_mistaken_for_latents(cli, folders):
    done = cli("decompress", "in/one/img.png")
    assert "in/one/img.png: neither a .fmae nor a .npy file; use fmae-edge compress for images" in done.stderr


def test_only_a_single_dash_is_standard_input(cli, folders, images):
    (folders / "-").write_bytes(png_bytes(images[0]))
    expected = dump_latents(Codec().encode(images[0]))
    for number, name in enumerate(("./-", ".//-", "[-]", str(folders / "-"))):
        done = cli("compress", name, "-o", f"{number}.npy", stdin=b"not read")
        assert (done.returncode, done.stderr) == (0, "")
        assert (folders / f"{number}.npy").read_bytes() == expected
    assert cli("compress", "-", "./-", "-o", "out/", "--json", stdin=png_bytes(images[1])).returncode == 0
    assert found(folders / "out") == ["-.npy", "stdin.npy"]
    assert cli("compare", "./-", "-o", "c.png", stdin=b"not read").returncode == 0
    assert cli("compare", "in/one/img.png", "-o", "./-").returncode == 2  # not a .png, and not standard output
    (folders / "-").unlink()
    assert cli("compress", "in/one/img.png", "-o", "./-").returncode == 0
    assert found(folders / "-") == ["img.npy"]


def test_pipes_are_refused_with_advice(cli, folders):
    os.mkfifo(folders / "pipe.png")
    assert "pipe.png: is not a regular file; - reads standard input" in cli("compress", "pipe.png").stderr
