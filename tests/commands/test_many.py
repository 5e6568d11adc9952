"""Many files in one call: outputs, skipped files and messages; the results are the same as one by one."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec
from fmae_edge.data.image_file import png_bytes
from tests.commands.results import found, pixels, records

PICTURES = ("a.png", "deeper/b.png", "deeper/still/c.png")


@pytest.fixture
def tree(tmp_path, images):
    """Three pictures in folders below `in`."""
    for name, image in zip(PICTURES, images, strict=False):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(image))
    return tmp_path


@pytest.mark.parametrize("count", [2, 64, 65, 200])
@pytest.mark.parametrize("suffix", ["npy", "fmae"])
def test_many_files_are_the_same_as_one_by_one(cli, tmp_path, images, count, suffix):
    names = [f"{index:03d}" for index in range(count)]
    for name, image in zip(names, images, strict=False):
        (tmp_path / f"{name}.png").write_bytes(png_bytes(image))
    done = cli("compress", *[f"{name}.png" for name in names], "-o", f"{{stem}}.{suffix}", "--jobs", "3")
    assert done.returncode == 0
    assert [line.split(" -> ")[0] for line in done.stdout.splitlines()] == [f"{name}.png" for name in names]
    codec = Codec()
    for name, image in list(zip(names, images, strict=False))[:: max(1, count // 20)]:
        content = (tmp_path / f"{name}.{suffix}").read_bytes()
        if suffix == "fmae":
            assert content == codec.compress(image)
        else:
            np.testing.assert_array_equal(np.load(io.BytesIO(content)), codec.encode(image))
    done = cli("decompress", *[f"{name}.{suffix}" for name in names], "-o", "out")
    assert done.returncode == 0
    assert len(found(tmp_path / "out")) == count
    latents = Codec().encode(images[:count])
    if suffix == "npy":
        np.testing.assert_array_equal(pixels(tmp_path / "out" / f"{names[-1]}.png"), Codec().decode(latents[-1]))


def test_a_folder_keeps_its_structure_and_is_created(cli, tree):
    assert cli("compress", "-r", "in", "-o", "latents").returncode == 0
    assert found(tree / "latents") == ["a.npy", "deeper/b.npy", "deeper/still/c.npy"]
    assert cli("decompress", "-r", "latents", "-o", "out/images").returncode == 0
    assert found(tree / "out/images") == list(PICTURES)


def test_a_failed_command_creates_no_folder(cli, tmp_path):
    assert cli("compress", "nowhere.png", "-o", "out").returncode == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("out/{path}.fmae", ["a.fmae", "deeper/b.fmae", "deeper/still/c.fmae"]),
        ("out/x-{stem}.npy", ["x-a.npy", "x-b.npy", "x-c.npy"]),
        ("out/{folder}/{stem}.fmae", ["in/a.fmae", "in/deeper/b.fmae", "in/deeper/still/c.fmae"]),
    ],
)
def test_patterns(cli, tree, pattern, expected):
    assert cli("compress", "-r", "in", "-o", pattern).returncode == 0
    assert found(tree / "out") == expected


@pytest.mark.parametrize("field", ["{name}", "{}", "{0}"])
def test_an_unknown_field_is_refused(cli, tree, field):
    done = cli("compress", "-r", "in", "-o", f"out/{field}.fmae")
    assert done.returncode == 2
    assert f"unknown field {field}; use {{folder}}, {{path}}, {{stem}}" in done.stderr
    assert found(tree) == [f"in/{name}" for name in PICTURES]


def test_quoted_globs_are_expanded(cli, tree):
    done = cli("compress", "in/**/*.png", "-o", "out")
    assert done.returncode == 0
    assert found(tree / "out") == ["a.npy", "deeper/b.npy", "deeper/still/c.npy"]
    assert cli("compress", "in/*.jpg").stderr == "fmae-edge: in/*.jpg: no file matches\n"
    (tree / "in/a.png").rename(tree / "in/[a].png")
    assert cli("compress", "in/[a].png").stdout.startswith("in/[a].png -> in/[a].npy")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".npy"])
def test_images_come_back_in_the_format_of_the_output(cli, tmp_path, picture, images, suffix):
    cli("compress", "img.png", "-o", "x.npy")
    assert cli("decompress", "x.npy", "-o", f"out{suffix}").returncode == 0
    expected = Codec().decode(Codec().encode(images[0]))
    path = tmp_path / f"out{suffix}"
    if suffix == ".npy":
        decoded = np.load(path)
        assert decoded.dtype == np.uint8
    else:
        with Image.open(path) as image:
            decoded = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(decoded, expected)


def test_arrays_of_images(cli, tree, images):
    cli("compress", "-r", "in", "-o", "all.fmae")
    cli("compress", "-r", "in", "-o", "each/{path}.fmae")
    assert cli("decompress", "all.fmae", "-o", "stack.npy").returncode == 0
    stack = np.load(tree / "stack.npy")
    np.testing.assert_array_equal(stack, Codec().decompress((tree / "all.fmae").read_bytes()))
    assert cli("decompress", "-r", "each", "-o", "joined.npy").returncode == 0
    np.testing.assert_array_equal(np.load(tree / "joined.npy"), stack)
    assert cli("decompress", "all.fmae", "all.fmae", "-o", "twice.npy").returncode == 0
    assert np.load(tree / "twice.npy").shape == (6, 28, 28)


def test_skip_existing_continues_a_run(cli, tree):
    assert cli("compress", "in/a.png", "-o", "out").returncode == 0
    before = (tree / "out/a.npy").stat()
    done = cli("compress", "-r", "in", "-o", "out", "--skip-existing")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "in/a.png -> out/a.npy  (exists, skipped)"
    assert done.stderr.startswith("2 done, 1 skipped, 0 failed in ")
    assert (tree / "out/a.npy").stat().st_mtime_ns == before.st_mtime_ns
    assert cli("compress", "-r", "in", "-o", "out").stderr.count("already exists") == 3
    assert "use only one" in cli("compress", "-r", "in", "--force", "--skip-existing").stderr


def test_skip_existing_next_to_originals_and_next_to_results(cli, tree):
    """img.png next to img.npy may be the original, or the result of an interrupted run."""
    (tree / "alone").mkdir()
    cli("compress", "-r", "in", "-o", "alone")
    cli("compress", "-r", "in")
    first = cli("decompress", "-r", "in", "--skip-existing")
    assert first.stderr.startswith("3 done, 0 skipped")
    assert cli("decompress", "-r", "in", "--skip-existing").stderr.startswith("0 done, 3 skipped")
    assert cli("decompress", "-r", "alone", "--skip-existing").stderr.startswith("3 done, 0 skipped")
    assert cli("decompress", "-r", "alone", "--skip-existing").stderr.startswith("0 done, 3 skipped")
    assert len(found(tree / "alone")) == 6


@pytest.mark.parametrize("arguments", [(), ("-o", "out"), ("-o", "all.npy"), ("-o", "all.fmae")])
def test_a_dry_run_writes_nothing_and_reports_all_errors(cli, tree, arguments):
    (tree / "in/bad.png").write_text("no image")
    before = found(tree)
    done = cli("compress", "-r", "in", "--dry-run", *arguments)
    assert done.returncode == 1
    assert "bad.png: not an image" in done.stderr
    (tree / "in/bad.png").unlink()
    done = cli("compress", "-r", "in", "--dry-run", *arguments)
    assert done.returncode == 0
    assert done.stderr.startswith("3 would be done, 0 skipped, 0 failed")
    assert len(done.stdout.splitlines()) == 3
    assert found(tree) == [name for name in before if "bad" not in name]
    assert not (tree / "out").exists()


def test_one_file_of_all_inputs_is_written_completely_or_not_at_all(cli, tree):
    (tree / "in/bad.png").write_text("no image")
    (tree / "in/worse.png").write_text("no image")
    done = cli("compress", "-r", "in", "-o", "all.npy")
    assert done.returncode == 1
    assert done.stderr.count("not an image file") == 2
    assert "all.npy: not written, because 2 of its 5 inputs failed; --keep-going writes the others" in done.stderr
    assert "0 done, 3 skipped, 2 failed" in done.stderr
    assert not (tree / "all.npy").exists()
    (tree / "all.npy").write_bytes(b"old")
    assert cli("compress", "-r", "in", "-o", "all.npy", "--skip-existing").returncode == 0
    assert (tree / "all.npy").read_bytes() == b"old"


def test_standard_input_among_files(cli, tree, images):
    stdin = png_bytes(images[5])
    assert cli("compress", "-", "in/a.png", "-o", "out", stdin=stdin).returncode == 0
    np.testing.assert_array_equal(np.load(tree / "out/stdin.npy"), Codec().encode(images[5]))
    assert cli("compress", "in/a.png", "-", "-o", "both.npy", stdin=stdin).returncode == 0
    np.testing.assert_array_equal(np.load(tree / "both.npy"), Codec().encode(images[[0, 5]]))


def test_quiet_and_json(cli, tree):
    (tree / "in/bad.png").write_text("no image")
    done = cli("compress", "-r", "in", "-o", "out", "--quiet")
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "fmae-edge: in/bad.png: not an image file of a known format, or its start is damaged"
    ]
    done = cli("compress", "-r", "in", "-o", "out", "--quiet", "--json", "--skip-existing")
    assert [record["status"] for record in records(done)] == ["skipped", "failed", "skipped", "skipped"]
    assert done.returncode == 1


def test_a_group_that_takes_too_much_memory_is_converted_one_by_one(cli, tree, monkeypatch):
    encode = Codec.encode

    def encode_one(codec, images, dtype="float32"):
        if len(images) > 1:
            raise MemoryError
        return encode(codec, images, dtype)

    monkeypatch.setattr(Codec, "encode", encode_one)
    assert cli("compress", "-r", "in", "-o", "out").returncode == 0
    assert len(found(tree / "out")) == 3
