"""A file is written whole or not at all."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from fmae_edge.runtime.errors import OutputError
from fmae_edge.runtime.output import replacing, write_file


def test_nothing_is_overwritten_without_force(tmp_path):
    path = tmp_path / "out"
    write_file(path, b"first")
    with pytest.raises(OutputError, match="exists already; use --force"):
        write_file(path, b"second")
    assert path.read_bytes() == b"first"
    write_file(path, b"second", force=True)
    assert path.read_bytes() == b"second"


def test_of_many_writers_at_once_one_wins(tmp_path):
    for number in range(30):
        path = tmp_path / str(number)
        barrier = threading.Barrier(4)

        def write(name, path=path, barrier=barrier):
            barrier.wait()
            with suppress(OutputError):
                write_file(path, name)
                return name

        with ThreadPoolExecutor(4) as pool:
            won = [name for name in pool.map(write, (b"a", b"b", b"c", b"d")) if name]
        assert won == [path.read_bytes()]
    assert len(os.listdir(tmp_path)) == 30


def test_without_links_a_file_is_renamed(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_file(tmp_path / "x", b"content")
    assert (tmp_path / "x").read_bytes() == b"content"
    with pytest.raises(OutputError, match="exists already"):
        write_file(tmp_path / "x", b"other")


def test_a_dangling_link_counts_as_a_file(tmp_path):
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        write_file(path, b"content")


def test_a_failure_half_way_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(path) as file:  # noqa: PT012
        file.write(b"half")
        file.flush()
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_ordinary_permissions(tmp_path):
    path, ordinary = tmp_path / "out", tmp_path / "ordinary"
    write_file(path, b"")
    ordinary.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        write_file(tmp_path / "missing" / "out", b"")
    with pytest.raises(OutputError, match="is a folder"):
        write_file(tmp_path, b"", force=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="not a folder"):
        write_file(tmp_path / "file" / "out", b"")
