"""Named data sets are read from the files that torchvision downloads, as it reads them, without running code.

The files have the real formats and names, and invented images.
"""

import gzip
import pickle
import struct

import numpy as np
import pytest

from fmae_edge.data.errors import DataError
from fmae_edge.data.image_data import find_image_data
from fmae_edge.data.named_data_sets import DATA_SETS, find_named, read_named
from tests.data.image_folders import all_images, load, pictures, recipe_of

COUNTS = 250, 60  # training and test images


def write_idx(path, images):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(">HBB3I", 0, 8, 3, *images.shape) + images.tobytes())


def write_cifar(path, images):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    with path.open("wb") as file:
        pickle.dump({"data": np.ascontiguousarray(rows), "labels": [0] * len(images), "batch_label": "x"}, file, 2)


def write_set(name, folder, train, test):
    """Write images as torchvision stores those of a data set."""
    if name in ("mnist", "kmnist"):
        raw = folder / name.upper() / "raw"
        write_idx(raw / "train-images-idx3-ubyte", train)
        write_idx(raw / "t10k-images-idx3-ubyte", test)
    elif name == "emnist":
        for part, images in (("train", train), ("test", test)):
            raw = folder / "EMNIST" / "raw" / f"emnist-balanced-{part}-images-idx3-ubyte"
            write_idx(raw, images.transpose(0, 2, 1))
    elif name == "cifar10":
        parts = np.array_split(train, 5)
        for number, part in enumerate(parts, start=1):
            write_cifar(folder / "cifar-10-batches-py" / f"data_batch_{number}", part)
        write_cifar(folder / "cifar-10-batches-py" / "test_batch", test)
    elif name == "svhn":
        savemat = pytest.importorskip("scipy.io").savemat
        folder.mkdir(exist_ok=True)
        for part, images in (("train", train), ("test", test)):
            labels = np.zeros((len(images), 1), np.uint8)
            content = {"X": images.transpose(1, 2, 3, 0), "y": labels}
            savemat(folder / f"{part}_32x32.mat", content, do_compression=True)


@pytest.fixture(params=[name for name in DATA_SETS if name != "fashion-mnist"])
def named(request, tmp_path):
    """The name of a data set, a folder with its files, its training and its test images."""
    shape = (32, 32, 3) if request.param in ("cifar10", "svhn") else (28, 28)
    train, test = pictures(COUNTS[0], shape), pictures(COUNTS[1], shape, seed=1)
    write_set(request.param, tmp_path / "files", train, test)
    return request.param, tmp_path / "files", train, test


def test_the_files_are_read_image_by_image(named):
    name, folder, train, test = named
    for files, images in zip(find_named(name, folder), (train, test), strict=True):
        np.testing.assert_array_equal(read_named(name, files), images)


def test_its_own_test_images_are_held_out_and_found_again(named, monkeypatch, tmp_path):
    name, folder, train, test = named
    found = load(name, named_folder=folder)
    assert {image.tobytes() for image in found.held_out} == {image.tobytes() for image in test}
    assert all_images(found) == {image.tobytes() for image in (*train, *test)}
    assert found.record["name"] == name
    assert any("balanced" in note for note in found.notes) == (name == "emnist")
    recipe = recipe_of(found)
    assert find_image_data(recipe).sha256 == found.sha256
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert find_image_data(recipe, [folder]).sha256 == found.sha256


def test_packed_files_without_subfolders_are_read(tmp_path):
    train, test = pictures(COUNTS[0], (28, 28)), pictures(COUNTS[1], (28, 28), seed=1)
    write_set("mnist", tmp_path, train, test)
    for path in (tmp_path / "MNIST" / "raw").iterdir():
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(read_named("mnist", find_named("mnist", tmp_path)[1]), test)


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"", bytes])
def test_a_damaged_file_is_one_error_that_names_it(named, damage):
    name, folder, _, _ = named
    files, _ = find_named(name, folder)
    files[0].write_bytes(damage(files[0].read_bytes()) if damage is not bytes else bytes(500))
    with pytest.raises(DataError, match=f"{files[0].name}: not the file of {name} of this name, or damaged"):
        read_named(name, files)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load("mnist", named_folder=tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no file data_batch_1 of cifar10, here or in cifar-10-batches-py"):
        load("cifar10", named_folder=tmp_path)


def test_a_pickle_of_python_2_is_read_as_the_real_files_are(tmp_path):
    images = pictures(2, (32, 32, 3))
    rows = images.transpose(0, 3, 1, 2).tobytes()
    content = (
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02M\x00"
        b"\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x18\x00\x00"
    )
    (tmp_path / "test_batch").write_bytes(content + rows + b"tbs.")
    np.testing.assert_array_equal(read_named("cifar10", [tmp_path / "test_batch"]), images)


class Runs:
    """A pickle of this object would call `print`."""

    def __reduce__(self):
        return print, ("code was run",)


def test_a_pickle_cannot_run_code(tmp_path, capsys):
    with (tmp_path / "test_batch").open("wb") as file:
        pickle.dump({"data": Runs()}, file, 2)
    with pytest.raises(DataError, match=r"wants to load (__builtin__|builtins)\.print"):
        read_named("cifar10", [tmp_path / "test_batch"])
    assert capsys.readouterr().out == ""


def test_a_download_happens_only_by_name_and_only_once(tmp_path, monkeypatch):
    downloads = []

    def data_set_class(name):
        def download(folder, **options):
            downloads.append((name, options))
            write_set("emnist", folder, pictures(COUNTS[0], (28, 28)), pictures(COUNTS[1], (28, 28), seed=1))

        return download

    monkeypatch.setattr("fmae_edge.data.torchvision_import.data_set_class", data_set_class)
    first, second = load("emnist"), load("emnist")
    assert downloads == [("EMNIST", {"download": True, "split": "balanced"})]
    assert first.sha256 == second.sha256


def test_a_download_that_fails_says_what_to_do(monkeypatch):
    def data_set_class(name):
        raise OSError("no network")

    monkeypatch.setattr("fmae_edge.data.torchvision_import.data_set_class", data_set_class)
    with pytest.raises(DataError, match=r"svhn cannot be downloaded \(no network\); .*--data"):
        load("svhn")


def test_a_name_is_a_string_alone_and_a_path_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"mnist is a data set and must be the only input; write \./mnist"):
        load("mnist", "photos")
    with pytest.raises(DataError, match=r"mnist: no such file or folder"):
        load("./mnist")
    with pytest.raises(DataError, match="has test images of its own"):
        load("mnist", holdout_paths=[tmp_path])


def test_torchvision_reads_the_same_images(named, monkeypatch):
    name, folder, train, _ = named
    from fmae_edge.data.torchvision_import import data_set_class

    kinds = {"mnist": "MNIST", "kmnist": "KMNIST", "emnist": "EMNIST", "cifar10": "CIFAR10", "svhn": "SVHN"}
    kind = data_set_class(kinds[name])
    if name in ("mnist", "kmnist", "emnist"):
        part = "emnist-balanced-train" if name == "emnist" else "train"
        labels = folder / name.upper() / "raw" / f"{part}-labels-idx1-ubyte"
        labels.write_bytes(struct.pack(">HBBI", 0, 8, 1, len(train)) + bytes(len(train)))
        for other in ("test", "t10k"):
            (labels.parent / labels.name.replace("train", other)).write_bytes(labels.read_bytes())
        read = kind(folder, **({"split": "balanced"} if name == "emnist" else {})).data.numpy()
        read = read.transpose(0, 2, 1) if name == "emnist" else read
    else:
        monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
        monkeypatch.setattr(kind, "_load_meta", lambda self: None, raising=False)
        read = kind(folder).data
        read = read.transpose(0, 2, 3, 1) if name == "svhn" else read
    np.testing.assert_array_equal(read, train)
