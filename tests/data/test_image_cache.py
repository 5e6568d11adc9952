"""Nothing half-written or damaged is taken for the images, whatever interrupts a run, and runs do not collide."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fmae_edge.data import image_reader
from fmae_edge.data.errors import DataError
from fmae_edge.data.image_cache import reading_folder
from tests.data.image_folders import all_images, load, pictures, write_folder

READ = """
import sys
from pathlib import Path
from fmae_edge.data.image_data import ImageSettings, load_image_data
if __name__ == "__main__":
    show = lambda done, total, task: print(task, done, flush=True)
    print(load_image_data([Path(sys.argv[1])], ImageSettings(), on_progress=show).sha256["train"])
"""


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "photos", pictures(300))


def entry(cache):
    (found,) = [path for path in cache.iterdir() if path.is_dir()]
    return found


def test_an_entry_holds_each_part_in_order_and_only_its_files(folder, cache):
    found = load(folder)
    stored = np.load(entry(cache) / "images.npy")
    np.testing.assert_array_equal(stored, np.concatenate([found.held_out, found.validation, found.train]))
    assert {path.name for path in entry(cache).iterdir()} == {"images.npy", "parts.json"}
    assert len(list(cache.iterdir())) == 2  # and the listing


def test_changing_the_arrays_does_not_change_the_cache(folder):
    found = load(folder)
    found.held_out[:] = 0
    assert load(folder).held_out.any()


def cut(path):
    os.truncate(path, path.stat().st_size - 5)


def change(at):
    def overwrite(path):
        with path.open("r+b") as file:
            file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
            at_byte = file.tell()
            byte = file.read(1)
            file.seek(at_byte)
            file.write(bytes([byte[0] ^ 1]))

    return overwrite


@pytest.mark.parametrize(
    "damage",
    [cut, change(3), change(80), change(128), change(300), change(-1), lambda path: path.write_bytes(b"")],
)
@pytest.mark.parametrize("name", ["images.npy", "parts.json"])
def test_a_damaged_entry_is_noticed_and_read_again(folder, cache, damage, name):
    found = load(folder)
    held_out = found.held_out.copy()  # the map of a file that is cut would end this process
    path = entry(cache) / name
    content = path.read_bytes()
    damage(path)
    again = load(folder)
    assert again.sha256 == found.sha256
    np.testing.assert_array_equal(again.held_out, held_out)
    assert path.read_bytes() == content


def test_other_settings_have_an_entry_of_their_own(folder):
    assert load(folder).train.shape[1:] == (16, 12)
    assert load(folder, channels=3).train.shape[1:] == (16, 12, 3)
    assert load(folder, size=(8, 8), fit="resize").train.shape[1:] == (8, 8)
    assert len(load(folder, holdout=0.5).held_out) > 2 * len(load(folder).held_out)


def test_arrays_of_the_same_bytes_in_another_shape_have_an_entry_of_their_own(tmp_path):
    for shape in ((300, 16, 12), (300, 12, 16)):
        path = tmp_path / f"{shape[1]}.npy"
        np.save(path, pictures(300).reshape(shape))
        assert load(path).train.shape[1:] == shape[1:]


@pytest.mark.parametrize("kind", ["folder", "npy"])
def test_a_file_that_changes_but_not_in_size_is_read_again(tmp_path, kind):
    images = pictures(301)
    if kind == "folder":
        given = write_folder(tmp_path / "photos", images[:300], ".bmp")
        changed = given / "part0" / "0000.bmp"
    else:
        given = changed = tmp_path / "photos.npy"
        np.save(given, images[:300])
    load(given)
    size = changed.stat().st_size
    if kind == "folder":
        Image.fromarray(images[300]).save(changed)
    else:
        np.save(changed, images[1:])
    os.utime(changed, (1, 1))
    assert changed.stat().st_size == size
    assert images[300].tobytes() in all_images(load(given))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"images": "nothing"}', b'{"images": null}', b'{"images": "KEY"}']
)
def test_a_damaged_listing_is_read_again(folder, cache, content):
    found = load(folder)
    (listing,) = cache.glob("listing-*")
    key = json.loads(listing.read_bytes())["images"]
    listing.write_bytes(content.replace(b"KEY", key.encode()))
    assert load(folder).sha256 == found.sha256


def test_the_cache_may_be_deleted(folder, cache):
    found = load(folder)
    shutil.rmtree(cache)
    assert load(folder).sha256 == found.sha256
    np.asarray(found.train).sum()  # still mapped


@pytest.mark.parametrize("failing", ["write_entry", "split", "read_chunk"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_run_leaves_nothing(folder, cache, monkeypatch, failing, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(image_reader, failing, fail)
        with pytest.raises((KeyboardInterrupt, DataError)) as raised:
            load(folder, channels=1)
    if error is not KeyboardInterrupt:
        assert "No space left on device" in str(raised.value)
        assert "XDG_CACHE_HOME" in str(raised.value)
    assert list(cache.iterdir()) == []
    assert len(all_images(load(folder))) == 300


def test_a_disk_with_too_little_space_is_noticed_before_reading(folder, cache, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(DataError, match=r"needs 0\.1 MB there, and 0\.0 MB are free; .*XDG_CACHE_HOME"):
        load(folder)


def test_a_cache_that_cannot_be_written_is_one_error(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot be written.*XDG_CACHE_HOME"):
        load(folder)


def test_what_a_killed_run_left_is_removed_and_that_of_a_live_run_stays(folder, cache):
    (cache / ".reading-0123").mkdir(parents=True)
    (cache / ".reading-0123" / "rows").write_bytes(b"x")
    (cache / ".reading-0123.lock").write_bytes(b"")
    with reading_folder() as live:
        assert not (cache / ".reading-0123").exists()
        load(folder)
        assert live.is_dir()
        assert len(list(cache.glob(".reading-*.lock"))) == 1
    assert list(cache.glob(".reading-*")) == []


@pytest.fixture
def many(tmp_path):
    return write_folder(tmp_path / "many", pictures(5000))


def start(folder, tmp_path, **options):
    script = tmp_path / "read.py"
    script.write_text(READ)
    return subprocess.Popen([sys.executable, script, folder], stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_ends_with_its_processes_and_the_next_one_reads_all(many, cache, tmp_path, sent):
    with start(many, tmp_path, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        assert process.stdout.readline().startswith("reading images")
        if sent == signal.SIGINT:  # a terminal sends it to all processes
            os.killpg(process.pid, sent)
        else:
            process.kill()
        process.wait(30)
        deadline = time.monotonic() + 20
        while group_exists(process.pid):
            assert time.monotonic() < deadline, "processes are left"
            time.sleep(0.1)
    assert not list(cache.glob("listing-*"))
    assert len(all_images(load(many))) == len(all_images_of(many))
    assert list(cache.glob(".reading-*")) == []


def group_exists(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def all_images_of(folder):
    return list(folder.rglob("*.png"))


def test_two_runs_at_the_same_time_get_the_same_images(many, cache, tmp_path):
    runs = [start(many, tmp_path) for _ in range(2)]
    outputs = [run.communicate(timeout=100)[0].split()[-1] for run in runs]
    assert outputs == [load(many).sha256["train"]] * 2
    assert len(list(cache.iterdir())) == 2  # one entry and one listing
