"""Output on a terminal: bars, colours, and no control characters from file names."""

import json
import os
import signal
import subprocess
import time

import pytest
from PIL import Image

from fmae_edge.data.image_file import png_bytes
from tests.commands.terminals import terminal
from tests.conftest import COMMAND


def test_a_terminal_gets_a_bar_and_a_pipe_nothing(tmp_path, images):
    for index in range(300):
        (tmp_path / f"{index}.png").write_bytes(png_bytes(images[index % 256]))
    Image.fromarray(images[0]).convert("RGB").save(tmp_path / "colour.png")
    names = sorted(path.name for path in tmp_path.iterdir())
    code, shown = terminal(tmp_path, "compress", *names)
    assert code == 0
    assert "301/301" in shown
    assert "/s" in shown
    assert "->" not in shown
    assert "301 done (1 converted: --verbose shows how), 0 skipped, 0 failed" in shown
    _, shown = terminal(tmp_path, "compress", *names, "--force", "--verbose")
    assert "colour.png -> colour.npy" in shown
    _, shown = terminal(tmp_path, "compress", *names, "--force", "--quiet")
    assert shown == ""
    done = subprocess.run([COMMAND, "compress", *names, "--force"], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.count(b"->") == 301
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [["--json"], [], ["--verbose"]])
def test_a_bar_does_not_disturb_standard_output_or_long_lines(tmp_path, images, arguments):
    names = [f"{index:02d}{'n' * 60}.png" for index in range(30)]
    for name, image in zip(names, images, strict=False):
        (tmp_path / name).write_bytes(png_bytes(image))
    (tmp_path / names[3]).write_bytes(b"no image")
    with (tmp_path / "said.txt").open("wb") as said:
        code, shown = terminal(
            tmp_path, "compress", *names, *arguments, environment={"COLUMNS": "40"}, stdout=said
        )
    assert code == 1
    assert f"\x1b[31mfmae-edge:\x1b[0m {names[3]}: not an image file" in shown
    lines = (tmp_path / "said.txt").read_text().splitlines()
    if "--json" in arguments:
        assert [json.loads(line)["input"] for line in lines[:-1]] == names
        assert "summary" in json.loads(lines[-1])
    else:
        assert [line.split(" -> ")[0] for line in lines] == [name for name in names if name != names[3]]
    _, shown = terminal(tmp_path, "compress", *names, "--verbose", "--force", environment={"COLUMNS": "40"})
    assert f"{names[1]} -> {names[1][:-4]}.npy\r\n" in shown


def test_names_cannot_control_a_terminal(cli, tmp_path, images):
    name = "\x1b[31mred\nfmae-edge: forged.png"
    (tmp_path / name).write_bytes(png_bytes(images[0]))
    done = cli("compress", name, "nowhere\r.png")
    assert done.stdout == r"\x1b[31mred\nfmae-edge: forged.png -> \x1b[31mred\nfmae-edge: forged.npy" + "\n"
    assert done.stderr.splitlines()[0] == r"fmae-edge: nowhere\r.png: no such file"
    done = cli("compare", name, "-o", "c.png")
    assert "\x1b" not in done.stdout
    assert "\nfmae-edge" not in done.stdout
    Image.fromarray(images[0]).convert("RGB").save(tmp_path / name, "PNG")
    done = cli("compare", name, "-o", "\x1bc\n.png")
    assert done.stdout.endswith("wrote \\x1bc\\n.png\n")
    assert done.stderr == "\\x1b[31mred\\nfmae-edge: forged.png: RGB converted to grayscale\n"


def test_colours_only_if_the_terminal_and_the_user_want_them(tmp_path):
    _, shown = terminal(tmp_path, "compress", "nowhere.png")
    assert shown.startswith("\x1b[31mfmae-edge:\x1b[0m nowhere.png: no such file")
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in terminal(tmp_path, "compress", "nowhere.png", environment=environment)[1]


def test_ctrl_c_outside_a_conversion(cli, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fmae_edge.commands.compare.expand", press)
    done = cli("compare", "x.png")
    assert (done.returncode, done.stderr) == (130, "fmae-edge: interrupted\n")


def test_ctrl_c_while_standard_input_is_read(tmp_path):
    def press(running):
        time.sleep(1)
        running.send_signal(signal.SIGINT)

    code, shown = terminal(tmp_path, "compress", "-", "-o", "x.npy", after=press)
    assert code == 130
    assert "interrupted" in shown
    assert os.listdir(tmp_path) == []
