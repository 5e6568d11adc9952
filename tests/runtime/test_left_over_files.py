"""A writer that is stopped at any line leaves a complete file; its temporary file is removed later."""

import fcntl
import itertools
import os
import signal
import sys

import pytest

from fmae_edge.runtime import atomic_write
from fmae_edge.runtime.atomic_write import replacing, write_file

OLD, NEW = b"old" * 100, b"new" * 200


def write_and_act(number, act, path):
    """Write NEW, and act before line `number` of atomic_write.py runs. Return False if it has fewer lines."""
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if frame.f_code.co_filename != atomic_write.__file__:
            return None
        if event == "line":
            seen += 1
            if seen == number:
                act()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        write_file(path, NEW, force=True)
    finally:
        sys.settrace(before)
    return seen >= number


def remove_left_over(folder):
    atomic_write.remove_left_over(folder)


def killed(number, path):
    """Kill a writing process at a line; return whether it reached the line."""
    child = os.fork()
    if child == 0:
        try:
            write_and_act(number, lambda: os.kill(os.getpid(), signal.SIGKILL), path)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def interrupted(number, path):
    """Press Ctrl-C at a line; return whether the process reached the line."""

    def press():
        raise KeyboardInterrupt

    try:
        return write_and_act(number, press, path)
    except KeyboardInterrupt:
        return True


@pytest.mark.parametrize("stopped", [killed, interrupted])
def test_stopped_at_any_line(tmp_path, stopped):
    path = tmp_path / "out"
    found, litter = set(), 0
    for number in itertools.count(1):
        path.write_bytes(OLD)
        if not stopped(number, path):
            break
        found.add(path.read_bytes())
        litter += len(os.listdir(tmp_path)) - 1
        remove_left_over(tmp_path)
        assert os.listdir(tmp_path) == ["out"], f"at line {number}"
    assert found == {OLD, NEW}
    assert (litter > 5) is (stopped is killed)  # Ctrl-C leaves no temporary files


def test_another_process_may_remove_left_over_files_at_any_line(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(OLD)
    before = len(os.listdir("/dev/fd"))
    numbers = itertools.count(1)
    while write_and_act(next(numbers), lambda: remove_left_over(tmp_path), path):
        assert os.listdir(tmp_path) == ["out"]
        assert path.read_bytes() == NEW
        path.write_bytes(OLD)
    assert next(numbers) > 10
    assert len(os.listdir("/dev/fd")) == before  # all files are closed


def test_without_locks_files_are_written_and_left_over_files_stay(tmp_path, monkeypatch):
    def refuse(handle, operation):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with replacing(tmp_path / "out") as file:
        file.write(NEW)
        remove_left_over(tmp_path)
    assert (tmp_path / "out").read_bytes() == NEW


@pytest.mark.parametrize("name", [".fmae-edge-notes", "fmae-edge-1.part", ".img.npy.part", "img.part"])
def test_files_with_other_names_stay(tmp_path, name):
    (tmp_path / name).write_bytes(OLD)
    remove_left_over(tmp_path)
    assert (tmp_path / name).read_bytes() == OLD


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path):
    link = tmp_path / ".fmae-edge-0123456789abcdef.part"
    (tmp_path / "precious").write_bytes(OLD)
    link.symlink_to("precious")
    remove_left_over(tmp_path)
    assert link.is_symlink()
    assert (tmp_path / "precious").read_bytes() == OLD
