"""A file is written completely or not at all."""

import errno
import os
import re
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from fmae_edge.runtime.atomic_write import replacing, write_file
from fmae_edge.runtime.errors import DiskError, OutputError


def test_nothing_is_overwritten_without_force(tmp_path):
    path = tmp_path / "out"
    write_file(path, b"first")
    with pytest.raises(OutputError, match="already exists; use --force"):
        write_file(path, b"second")
    assert path.read_bytes() == b"first"
    write_file(path, b"second", force=True)
    assert path.read_bytes() == b"second"


def test_one_of_many_concurrent_writers_wins(tmp_path):
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

    monkeypatch.setattr(os, "link", refuse)
    write_file(tmp_path / "x", b"content")
    assert (tmp_path / "x").read_bytes() == b"content"
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("x", "dangling"):
        with pytest.raises(OutputError, match="already exists"):
            write_file(tmp_path / name, b"other")
    assert (tmp_path / "dangling").is_symlink()


def test_a_dangling_link_counts_as_a_file(tmp_path):
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="already exists"):
        write_file(path, b"content")


def test_a_failure_half_way_leaves_only_the_old_file(tmp_path):
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


def test_folders_that_cannot_be_written_to_are_refused(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        write_file(tmp_path / "missing" / "out", b"")
    with pytest.raises(OutputError, match="is a folder"):
        write_file(tmp_path, b"", force=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="not a folder"):
        write_file(tmp_path / "file" / "out", b"")
    if Path("/proc").is_dir():
        with pytest.raises(OutputError, match="no files can be created in its folder /proc"):
            write_file(Path("/proc/out"), b"")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("bits", [0o600, 0o664, 0o777, 0o400])
def test_a_replaced_file_keeps_its_permission_bits(tmp_path, bits):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(bits)
    write_file(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert mode(path) == bits


def test_a_set_user_id_bit_is_not_passed_on(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o4755)
    write_file(path, b"new", force=True)
    assert mode(path) == 0o755


def test_the_replacement_of_a_private_file_is_always_private(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with replacing(path) as file:
        file.write(b"new")
        (temporary,) = set(tmp_path.iterdir()) - {path}
        assert mode(temporary) == 0o600


def test_a_replaced_file_keeps_its_owner_and_group_where_the_process_may_set_them(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
    before = path.stat()
    write_file(path, b"new", force=True)
    assert (path.stat().st_uid, path.stat().st_gid) == (before.st_uid, before.st_gid)

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    path.chmod(0o640)
    monkeypatch.setattr(os, "fchown", refuse)
    write_file(path, b"newer", force=True)
    assert path.read_bytes() == b"newer"
    assert mode(path) == 0o640


def test_the_owner_may_not_be_given_away_but_the_group_is_kept(tmp_path, monkeypatch):
    """As for a user who belongs to both groups: only root may change the owner."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    given = []

    def change(_, owner, group):
        if owner != -1:
            raise PermissionError(1, "Operation not permitted")
        given.append(group)

    monkeypatch.setattr(os, "fchown", change)
    write_file(path, b"new", force=True)
    assert given == [path.stat().st_gid]


def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_bytes(b"old")
    (tmp_path / "middle").symlink_to("there/file")
    (tmp_path / "link").symlink_to("middle")
    before = (tmp_path / "there/file").stat().st_ino
    write_file(tmp_path / "link", b"new", force=True)
    assert (tmp_path / "link").readlink() == Path("middle")
    assert (tmp_path / "there/file").read_bytes() == b"new"
    assert (tmp_path / "there/file").stat().st_ino != before
    assert os.listdir(tmp_path / "there") == ["file"]


def test_with_force_a_dangling_link_gets_its_file(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    write_file(tmp_path / "link", b"new", force=True)
    assert (tmp_path / "link").readlink() == Path("nowhere")
    assert (tmp_path / "nowhere").read_bytes() == b"new"
    (tmp_path / "far").symlink_to("no/folder")
    with pytest.raises(OutputError, match="far: its folder .*no does not exist"):
        write_file(tmp_path / "far", b"new", force=True)


def test_links_that_lead_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OutputError, match="leads in a circle"):
        write_file(tmp_path / "a", b"new", force=True)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("force", [True, False])
def test_a_pipe_a_socket_and_a_device_are_not_replaced(tmp_path, force):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)  # the path of a socket must be short
        server.bind("socket")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "socket", tmp_path / "link", Path("/dev/null")):
        before = path.stat()
        with pytest.raises(OutputError, match="is a pipe, socket or device, not a file; use - to write to stand"):
            write_file(path, b"new", force)
        assert path.stat().st_ino == before.st_ino


def test_a_temporary_file_is_always_a_new_one(tmp_path, monkeypatch):
    """A file or link with the name of the temporary file is not written to."""
    monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / f".fmae-edge-{'00' * 8}.part").symlink_to("precious")
    with pytest.raises(OutputError):
        write_file(tmp_path / "out", b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES])
@pytest.mark.parametrize("function", ["open", "dup"])
def test_an_error_has_its_reason_and_whether_other_files_would_fail(tmp_path, monkeypatch, number, function):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(OutputError, match=re.escape(f"({os.strerror(number)})")) as caught:
            write_file(path, b"new", force=True)
    assert isinstance(caught.value, DiskError) is (number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]
