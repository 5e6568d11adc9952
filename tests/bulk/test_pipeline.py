"""Reading, converting and writing overlap, and a run that is stopped starts no further inputs."""

import errno
import os
import signal
import threading
import time
from functools import partial

import pytest

from fmae_edge.bulk.outputs import Outputs
from fmae_edge.bulk.pipeline import FileToWrite, convert_files
from fmae_edge.bulk.run import BulkRun
from fmae_edge.bulk.sources import Source, groups_of
from fmae_edge.bulk.threads import interruptible, run_ahead, threads
from fmae_edge.commands.print_outcomes import convert_and_print
from fmae_edge.runtime.errors import ResourceError
from tests.commands.results import found


class Work:
    """A conversion that records the steps that have begun, and can wait for them. Each file is a group."""

    def __init__(self, folder, count, on_convert):
        self.sources = [Source(folder / f"{number}.png") for number in range(count)]
        self.begun = {(step, number): threading.Event() for step in ("load", "write") for number in range(count)}
        self.on_convert = on_convert

    def load(self, source):
        self.begun["load", int(source.path.stem)].set()
        return source

    def convert(self, loaded):
        ((source, _),) = loaded
        number = int(source.path.stem)
        self.on_convert(self, number)

        def content():
            self.begun["write", number].set()
            return b"content"

        return [[FileToWrite(str(source), source.path.with_suffix(".npy"), content)]]

    def outcomes(self, jobs=1, force=False):
        outputs = Outputs(None, ".npy", self.sources, (".npy",), force=force)
        work = partial(convert_files, self.sources, self.load, self.convert, outputs, jobs, 1)
        return BulkRun(work, self.sources, 0, (".npy",), outputs)

    def run(self, jobs=1, force=False):
        """Run it as the command line does, which prints the outcomes."""
        convert_and_print(lambda _inputs, _output, force: self.outcomes(jobs, force), [], force=force)


def test_reading_and_writing_continue_while_files_are_converted(tmp_path):
    """The converter waits for a reader and a writer, which would take forever if they ran one after the other."""

    def wait(work, number):
        if number == 4:
            assert work.begun["load", 5].wait(10)
            assert work.begun["write", 0].wait(10)

    Work(tmp_path, 8, wait).run(jobs=2)
    assert len(found(tmp_path)) == 8


def test_no_further_inputs_are_read_after_ctrl_c(tmp_path, capsys):
    def press(_, number):
        if number == 10:
            signal.raise_signal(signal.SIGINT)

    work = Work(tmp_path, 500, press)
    with pytest.raises(SystemExit, match="130"):
        work.run()
    read = sum(work.begun["load", number].is_set() for number in range(500))
    assert len(found(tmp_path)) <= read < 20
    assert f"interrupted after {len(found(tmp_path))} of 500 inputs" in capsys.readouterr().err


def test_outcomes_are_in_the_order_of_the_inputs(tmp_path, capsys, monkeypatch):
    def write(self, path, content):
        time.sleep(0.002 * (int(path.stem) % 3))
        return "done"

    monkeypatch.setattr(Outputs, "write", write)
    Work(tmp_path, 30, lambda *_: None).run(jobs=4)
    printed = [line.partition(".png")[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == [str(tmp_path / str(number)) for number in range(30)]


def test_a_second_ctrl_c_raises_immediately():
    with interruptible(here=False) as pressed:
        signal.raise_signal(signal.SIGINT)
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_results_come_in_the_order_of_the_items(count):
    def later(item):
        time.sleep(0.002 * (item % 3))
        return item

    with threads(here=False, jobs=3) as pool:
        assert list(run_ahead(pool, 3, later, range(count))) == list(range(count))


def test_files_are_grouped_by_number_and_by_size(tmp_path):
    sizes = [900_000, 100_000, 100_000, 100_000, 2_000_000, 1, 1, 1, 1, 900_000, 100]
    for number, size in enumerate(sizes):
        with (tmp_path / str(number)).open("wb") as file:
            file.truncate(size)
    sources = [Source(tmp_path / str(number)) for number in range(len(sizes))] + [Source(tmp_path / "nowhere")]
    groups = list(groups_of(sources, 4))
    assert [len(group) for group in groups] == [3, 2, 4, 3]
    assert [source for group in groups for source in group] == sources


class Disk:
    """A disk with room for a number of files; then every write fails with error `number`."""

    def __init__(self, monkeypatch, number, room):
        self.room, self.refused, self.lock = room, 0, threading.Lock()
        dup = os.dup

        def flush(handle):  # the last call of a write that may say that the disk is full
            with self.lock:
                self.room -= 1
                self.refused += self.room < 0
                full = self.room < 0
            if full:
                raise OSError(number, os.strerror(number))
            return dup(handle)

        monkeypatch.setattr(os, "dup", flush)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_ends_the_run_and_says_how_to_continue(tmp_path, capsys, monkeypatch, number, jobs):
    disk = Disk(monkeypatch, number, room=10)
    work = Work(tmp_path, 500, lambda *_: None)
    with pytest.raises(SystemExit, match="1"):
        work.run(jobs=jobs)
    assert len(found(tmp_path)) == 10
    assert disk.refused <= jobs
    assert sum(work.begun["load", number].is_set() for number in range(500)) < 50
    printed = capsys.readouterr()
    assert printed.out.count("->") == 10
    sentence, counts = printed.err.splitlines()
    rest = 500 - 10 - disk.refused
    assert f"cannot be written ({os.strerror(number)})" in sentence
    advice = "to continue, run the same command with --skip-existing"
    assert sentence.endswith(f"; {rest} of 500 inputs not tried; {advice}")
    assert counts.startswith(f"10 done, 0 skipped, {disk.refused} failed, {rest} not tried in ")


def test_after_a_full_disk_force_is_not_replaced_by_skip_existing(tmp_path, capsys, monkeypatch):
    """Old files that have not been replaced yet would be skipped."""
    Disk(monkeypatch, errno.ENOSPC, room=3)
    with pytest.raises(SystemExit, match="1"):
        Work(tmp_path, 20, lambda *_: None).run(force=True)
    assert capsys.readouterr().err.splitlines()[0].endswith("; to continue, run the same command")


@pytest.mark.parametrize("number", [errno.EIO, errno.EFBIG, errno.EACCES])
def test_an_error_of_one_file_does_not_end_the_run(tmp_path, capsys, monkeypatch, number):
    disk = Disk(monkeypatch, number, room=3)
    with pytest.raises(SystemExit, match="1"):
        Work(tmp_path, 20, lambda *_: None).run()
    assert disk.refused == 17
    assert capsys.readouterr().err.splitlines()[-1].startswith("3 done, 0 skipped, 17 failed in ")


def test_a_disk_that_is_full_at_the_last_input_says_how_to_continue(tmp_path, capsys, monkeypatch):
    Disk(monkeypatch, errno.ENOSPC, room=2)
    with pytest.raises(SystemExit, match="1"):
        Work(tmp_path, 3, lambda *_: None).run()
    reason = f"cannot be written ({os.strerror(errno.ENOSPC)})"
    advice = "to continue, run the same command with --skip-existing"
    assert capsys.readouterr().err.splitlines()[0].endswith(f"{reason}; {advice}")


def test_a_disk_that_is_full_within_a_stack_reports_the_images_that_are_left(tmp_path, capsys, monkeypatch):
    Disk(monkeypatch, errno.ENOSPC, room=2)

    def convert(_):
        return [[FileToWrite(f"x[{row}]", tmp_path / f"x.{row}.png", lambda: b"content") for row in range(5)]]

    sources = [Source(tmp_path / "x.fmae")]
    outputs = Outputs(None, ".png", sources, (".png",))
    work = partial(convert_files, sources, lambda source: source, convert, outputs, 1, 1)
    with pytest.raises(SystemExit, match="1"):
        convert_and_print(lambda *_, **__: BulkRun(work, sources, 0, (".png",), outputs), [])
    (sentence,) = capsys.readouterr().err.splitlines()
    advice = "to continue, run the same command with --skip-existing"
    assert sentence.endswith(f"; 3 of its 5 images not written; {advice}")


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_lack_of_threads_in_a_conversion_ends_the_run(tmp_path, capsys, jobs):
    def lack(_, number):
        if number >= 10:
            raise ResourceError("encoder.onnx cannot be loaded")

    with pytest.raises(SystemExit, match="1"):
        Work(tmp_path, 500, lack).run(jobs=jobs)
    assert len(found(tmp_path)) == 10
    printed = capsys.readouterr()
    assert printed.out.count("->") == 10
    sentence, counts = printed.err.splitlines()
    assert sentence.startswith("fmae-edge: encoder.onnx cannot be loaded: out of threads or memory; ulimit -u ")
    assert "; 489 of 500 inputs not tried; " in sentence
    assert counts.startswith("10 done, 0 skipped, 1 failed, 489 not tried in ")


def test_a_lack_of_memory_fails_one_input(tmp_path, capsys):
    def lack(_, number):
        if number == 10:
            raise MemoryError

    with pytest.raises(SystemExit, match="1"):
        Work(tmp_path, 20, lack).run()
    sentence, counts = capsys.readouterr().err.splitlines()
    assert sentence.endswith("10.png: needs more memory than is available")
    assert counts.startswith("19 done, 0 skipped, 1 failed in ")


@pytest.mark.parametrize("jobs", [2, 3])
@pytest.mark.parametrize("last", [0, 2])
def test_threads_that_cannot_be_started_are_reported_before_any_work(tmp_path, capsys, monkeypatch, jobs, last):
    start, started = threading.Thread.start, []

    def refuse(thread):
        if len(started) >= min(last, jobs - 1):
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    work = Work(tmp_path, 20, lambda *_: None)
    with pytest.raises(SystemExit, match="1"):
        work.run(jobs=jobs)
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()
    assert not any(event.is_set() for event in work.begun.values())
    sentence, counts = capsys.readouterr().err.splitlines()
    assert sentence.startswith(
        f"fmae-edge: cannot start {jobs} threads (can't start new thread): out of threads or memory; "
    )
    assert "; 20 of 20 inputs not tried; " in sentence
    assert counts.startswith("0 done, 0 skipped, 0 failed, 20 not tried in ")
