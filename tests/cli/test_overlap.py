"""Reading, converting and writing go on at the same time, and what has not begun at a Ctrl-C never does."""

import signal
import threading

import pytest

from fmae_edge.cli.files import Inputs, Source
from fmae_edge.cli.many import Conversion, Product, convert_files
from fmae_edge.cli.options import FileOptions
from fmae_edge.cli.outputs import Outputs
from tests.cli.results import found


class Work:
    """A conversion that notes what is begun, and can wait for it; each file is a group of its own."""

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

        return [[Product(str(source), source.path.with_suffix(".npy"), content)]]

    def run(self):
        outputs = Outputs(None, ".npy", False, self.sources)
        work = Conversion(self.load, self.convert)
        convert_files(Inputs(self.sources), work, outputs, FileOptions(), files_at_once=1)


def test_reading_and_writing_go_on_while_files_are_converted(tmp_path):
    """The converter waits for a reader and a writer to be at work, which one after the other would be for ever."""

    def wait(work, number):
        if number == 4:
            assert work.begun["load", 5].wait(10)
            assert work.begun["write", 0].wait(10)

    Work(tmp_path, 8, wait).run()
    assert len(found(tmp_path)) == 8


def test_what_is_not_begun_at_a_ctrl_c_is_not_even_read(tmp_path, capsys):
    def press(_, number):
        if number == 10:
            signal.raise_signal(signal.SIGINT)

    work = Work(tmp_path, 500, press)
    with pytest.raises(SystemExit, match="130"):
        work.run()
    read = sum(work.begun["load", number].is_set() for number in range(500))
    assert len(found(tmp_path)) <= read < 20
    assert f"interrupted after {len(found(tmp_path))} of 500 inputs" in capsys.readouterr().err
