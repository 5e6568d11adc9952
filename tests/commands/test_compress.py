"""The main commands as a user types them: img.png -> img.npy -> a PNG again."""

import json

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec
from tests.commands.results import pixels


def test_without_an_original_the_plain_name_is_used(cli, tmp_path, picture):
    cli("compress", "img.png", "-o", "latent.npy")
    assert cli("decompress", "latent.npy").stdout == "latent.npy -> latent.png\n"
    assert cli("decompress", "latent.npy").stdout == "latent.npy -> latent.decoded.png\n"
    done = cli("decompress", "latent.npy")
    assert done.returncode == 1
    assert "latent.decoded.png: already exists; use --force" in done.stderr


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize(("dtype", "size"), [("float32", 256), ("float16", 128), ("int8", 64)])
def test_dtypes_and_precisions(cli, tmp_path, picture, images, dtype, size, precision):
    assert cli("compress", "img.png", "--dtype", dtype, "--precision", precision).returncode == 0
    latent = np.load(tmp_path / "img.npy")
    assert (latent.dtype, latent.nbytes, latent.shape) == (dtype, size, (64,))
    np.testing.assert_array_equal(latent, Codec(precision=precision).encode(images[0], dtype=dtype))
    assert cli("decompress", "img.npy", "--precision", precision).returncode == 0
    np.testing.assert_array_equal(pixels(tmp_path / "img.decoded.png"), Codec(precision=precision).decode(latent))


def test_nothing_is_overwritten_without_force(cli, tmp_path, picture):
    (tmp_path / "img.npy").write_bytes(b"precious")
    done = cli("compress", "img.png")
    assert done.returncode == 1
    assert done.stderr == "fmae-edge: img.png -> img.npy: already exists; use --force to overwrite it\n"
    assert (tmp_path / "img.npy").read_bytes() == b"precious"
    assert cli("compress", "img.png", "--force").returncode == 0
    assert np.load(tmp_path / "img.npy").shape == (64,)


def test_an_input_is_not_overwritten_even_with_force(cli, tmp_path, picture):
    before = picture.read_bytes()
    (tmp_path / "img.npy").symlink_to(picture)
    done = cli("compress", "img.png", "--force")
    assert done.returncode == 1
    assert "img.npy: is an input" in done.stderr
    assert picture.read_bytes() == before


def test_several_images_one_bad(cli, tmp_path, picture, images):
    Image.fromarray(images[1]).save(tmp_path / "b.png")
    (tmp_path / "bad.png").write_text("no image")
    done = cli("compress", "img.png", "bad.png", "b.png")
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["img.png -> img.npy", "b.png -> b.npy"]
    error, summary = done.stderr.splitlines()
    assert error.startswith("fmae-edge: bad.png: ")
    assert summary.startswith("2 done, 0 skipped, 1 failed in ")


def test_folders(cli, tmp_path, images):
    for name in ("in/a.png", "in/deeper/b.PNG", "in/note.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[0]).save(path, "PNG")
    done = cli("compress", "in")
    assert done.returncode == 1
    assert "is a folder; use --recursive (-r)" in done.stderr
    done = cli("compress", "-r", "in")
    assert done.stdout.splitlines() == ["in/a.png -> in/a.npy", "in/deeper/b.PNG -> in/deeper/b.npy"]
    (tmp_path / "out").mkdir()
    done = cli("decompress", "-r", "in", "-o", "out")
    assert done.stdout.splitlines() == ["in/a.npy -> out/a.png", "in/deeper/b.npy -> out/deeper/b.png"]
    (tmp_path / "empty").mkdir()
    assert "no file in it ends in" in cli("compress", "-r", "empty").stderr


def test_two_inputs_with_the_same_name_do_not_overwrite_each_other(cli, tmp_path, images):
    for folder in ("one", "two", "out"):
        (tmp_path / folder).mkdir()
    for index, folder in enumerate(("one", "two")):
        Image.fromarray(images[index]).save(tmp_path / folder / "img.png")
    done = cli("compress", "one/img.png", "two/img.png", "-o", "out", "--force")
    assert done.returncode == 1
    assert "two/img.png -> out/img.npy: one/img.png is already written to this path" in done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out/img.npy"), Codec().encode(images[0]))


def test_many_images_in_one_file(cli, tmp_path, images):
    for index in range(11):
        Image.fromarray(images[index]).save(tmp_path / f"{index:02d}.png")
    names = [f"{index:02d}.png" for index in range(11)]
    done = cli("compress", *names, "-o", "all.npy", "--dtype", "int8")
    assert done.returncode == 0
    assert done.stdout.splitlines()[10] == "10.png -> all.npy[10]"
    symbols = np.load(tmp_path / "all.npy")
    np.testing.assert_array_equal(symbols, Codec().encode(images[:11], dtype="int8"))
    done = cli("decompress", "all.npy")
    assert done.stdout.splitlines()[3] == "all.npy[3] -> all.03.png"
    np.testing.assert_array_equal(pixels(tmp_path / "all.03.png"), Codec().decode(symbols)[3])
    done = cli("decompress", "all.npy", "-o", "one.png")
    assert done.returncode == 1
    assert "11 images" in done.stderr
    (tmp_path / "all.00.png").unlink()
    assert cli("decompress", "all.npy").returncode == 1
    assert not (tmp_path / "all.00.png").exists()  # all or none
    assert cli("compress", *names, "nowhere.png", "-o", "more.npy").returncode == 1
    assert not (tmp_path / "more.npy").exists()


def test_json(cli, tmp_path, picture):
    done = cli("compress", "img.png", "--json")
    line, _ = done.stdout.splitlines()
    assert json.loads(line) == {
        "input": "img.png",
        "output": "img.npy",
        "status": "done",
        "bytes": (tmp_path / "img.npy").stat().st_size,
        "notes": [],
        "error": None,
    }


@pytest.mark.parametrize("name", ["img.jpg", "img.webp", "img.bmp", "img.gif", "img.tiff", "img.pgm"])
def test_other_formats(cli, tmp_path, images, name):
    Image.fromarray(images[0]).save(tmp_path / name)
    assert cli("compress", name).returncode == 0
    assert (tmp_path / "img.npy").exists()
