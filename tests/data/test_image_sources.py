"""Inputs mean the files that a person expects, each once; what is missing or not an image is one sentence."""

import os
import zipfile

import numpy as np
import pytest

from fmae_edge.data.errors import DataError
from fmae_edge.data.image_sources import find_files, stored_arrays


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(found, folder):
    return [os.path.relpath(file.path, folder) for file in found.images]


def test_folders_are_searched_below_sorted_and_without_hidden_and_other_files(tmp_path):
    touch(
        tmp_path, "b/2.png", "b/1.JPG", "a/x/3.webp", "a.png", ".hidden/4.png", "b/.5.png", "notes.txt", "b/l.npy"
    )
    found = find_files([tmp_path])
    assert names(found, tmp_path) == ["a.png", "a/x/3.webp", "b/1.JPG", "b/2.png"]
    assert found.passed_over == 2
    assert found.arrays == []


def test_a_file_that_several_inputs_name_is_found_once(tmp_path):
    touch(tmp_path, "a/1.png", "a/b/2.png")
    (tmp_path / "list.txt").write_text("a/1.png\n")
    inputs = [tmp_path / "a" / "b", tmp_path / "a", tmp_path / "list.txt", tmp_path / "a" / ".." / "a" / "1.png"]
    assert sorted(names(find_files(inputs), tmp_path)) == ["a/1.png", "a/b/2.png"]


def test_links_are_followed_but_never_in_a_circle(tmp_path):
    touch(tmp_path, "real/1.png", "elsewhere/2.png")
    (tmp_path / "real" / "up").symlink_to("..")
    (tmp_path / "real" / "self.png").symlink_to("self.png")
    (tmp_path / "real" / "gone.png").symlink_to("nowhere")
    (tmp_path / "real" / "other").symlink_to(tmp_path / "elsewhere")
    found = names(find_files([tmp_path / "real"]), tmp_path)
    assert [name for name in found if name.endswith("1.png")] == ["real/1.png"]
    assert sum(name.endswith("2.png") for name in found) == 1
    assert {"real/gone.png", "real/self.png"} <= set(found)  # counted as unreadable when they are read


def test_a_named_pipe_is_passed_over(tmp_path):
    touch(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    assert names(find_files([tmp_path]), tmp_path) == ["1.png"]


def test_a_list_has_any_paths_relative_to_its_folder(tmp_path):
    touch(tmp_path, "sub/a b.png", "sub/no suffix", "x.npy")
    (tmp_path / "sub" / "list.txt").write_text(f"a b.png\n\n  no suffix  \r\n{tmp_path / 'x.npy'}")
    found = find_files([tmp_path / "sub" / "list.txt"])
    assert names(found, tmp_path / "sub") == ["a b.png", "no suffix"]
    assert [file.path for file in found.arrays] == [str(tmp_path / "x.npy")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.png\nb.png\nc.png", "2 of the 3 files that it lists do not exist, such as .*b.png"),
        (b"\n\n", "is empty; expected a list of paths"),
        (b"\0\xff" * 5000, "1 of the 1 files that it lists do not exist"),
    ],
)
def test_lists_with_missing_paths(tmp_path, content, message):
    touch(tmp_path, "a.png")
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        find_files([tmp_path / "list.txt"])


def test_missing_inputs_and_folders_without_images(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        find_files([tmp_path / "nowhere"])
    touch(tmp_path, "data.npy", "notes.md")
    with pytest.raises(DataError, match=r"contains no images; their names must end in \.png.*\.npy"):
        find_files([tmp_path])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    touch(tmp_path, "a/1.png")
    (tmp_path / "a").chmod(0)
    with pytest.raises(DataError, match="a: cannot be read"):
        find_files([tmp_path])


def test_arrays_of_images_are_found_by_their_headers(tmp_path):
    images = np.zeros((5, 8, 9, 3), np.uint8)
    np.save(tmp_path / "x.npy", images)
    np.savez(
        tmp_path / "x.npz", train=images, test=images[:2, ..., 0], labels=np.arange(5), latents=np.ones((5, 64))
    )
    assert [array.shape for array in stored_arrays(str(tmp_path / "x.npy"))] == [(5, 8, 9, 3)]
    assert [array[1:] for array in stored_arrays(str(tmp_path / "x.npz"))] == [
        ("train.npy", (5, 8, 9, 3)),
        ("test.npy", (2, 8, 9)),
    ]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 8, 9), np.float32),
        np.zeros((5, 3, 8, 9), np.uint8),
        np.zeros((5, 64), np.uint8),
        np.zeros((0, 8, 9), np.uint8),
        np.array([{}]),
    ],
)
def test_arrays_that_are_no_images_are_refused_with_what_they_are(tmp_path, array):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=r"x\.npy: contains \w+ \(.*expected images as uint8 \(N, height, width\)"):
        stored_arrays(str(tmp_path / "x.npy"))


def test_damaged_arrays_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((50, 8, 9), np.uint8))
    content = (tmp_path / "x.npy").read_bytes()
    for damaged in (b"", content[:-1], content[:90], b"PK" + content):
        (tmp_path / "x.npy").write_bytes(damaged)
        with pytest.raises(DataError, match=r"x\.npy: not an array that numpy has saved, or damaged"):
            stored_arrays(str(tmp_path / "x.npy"))
    (tmp_path / "x.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match="not an array"):
        stored_arrays(str(tmp_path / "x.npz"))
    with zipfile.ZipFile(tmp_path / "x.npz", "w"):
        pass
    with pytest.raises(DataError, match="contains nothing"):
        stored_arrays(str(tmp_path / "x.npz"))
