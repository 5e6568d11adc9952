"""What the command line says of itself, and of itself when something is wrong."""

import os
import subprocess

import pytest

from fmae_edge.cli import info
from fmae_edge.cli.app import app
from tests.conftest import COMMAND

COMMANDS = [command.callback.__name__ for command in app.registered_commands]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_it_takes(cli, command):
    text = cli(command, "--help").stdout
    examples = text.split("Example:\n  ")[1].split("\n\n")[0].splitlines()
    for example in examples:
        assert f"fmae-edge {command} " in f"{example} "
        options = [word for word in example.split() if word.startswith("-") and word != "-"]
        assert all(option in text.replace(example, "") for option in options)
    for option in ("--quiet", "--verbose", "--debug"):
        assert option in text


def test_the_list_of_commands_says_what_each_does(cli):
    text = cli("--help").stdout
    for command in COMMANDS:
        (line,) = [line for line in text.splitlines() if line.startswith(f"  {command} ")]
        assert line.endswith(".")
        assert not line.endswith("...")


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        (("comprss", "x.png"), "'compress'"),
        (("compress", "x.png", "--qualty", "3"), "--quality"),
        (("compress", "x.png", "--skip-exist"), "--skip-existing"),
        (("train", "--rate-distorsion", "1"), "--rate-distortion"),
    ],
)
def test_what_is_mistyped_gets_a_suggestion(cli, typed, suggested):
    done = cli(*typed)
    assert done.returncode == 2
    assert suggested in done.stderr


@pytest.mark.parametrize(
    ("shell", "environment", "expected"),
    [
        ("bash", {"COMP_WORDS": "fmae-edge decom", "COMP_CWORD": "1"}, "decompress"),
        ("bash", {"COMP_WORDS": "fmae-edge compress --qua", "COMP_CWORD": "2"}, "--quality"),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "fmae-edge decom"}, "decompress"),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "fmae-edge decom", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            "decompress",
        ),
    ],
)
def test_shells_complete(shell, environment, expected):
    environment = {**os.environ, **environment, "_FMAE_EDGE_COMPLETE": f"complete_{shell}"}
    done = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, check=True)
    assert expected in done.stdout


def test_a_traceback_only_with_debug(cli, tmp_path):
    done = cli("info", "nowhere")
    assert done.stderr == "fmae-edge: nowhere: no such bundle folder\n"
    done = cli("info", "nowhere", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("fmae-edge: nowhere: no such bundle folder\n")
    (tmp_path / "bad.png").write_text("no image")
    assert "Traceback" in cli("compress", "bad.png", "--debug").stderr
    assert "Traceback" not in cli("compress", "bad.png", "--verbose").stderr


def test_an_error_that_nobody_foresaw_is_one_sentence(cli, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(info, "_print", fail)
    done = cli("info")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "fmae-edge: unexpected error (ZeroDivisionError: by zero); run again with --debug and attach"
    )
    assert done.stderr.count("\n") == 1
    assert "Traceback" in cli("info", "--debug").stderr


def test_quiet_and_verbose_contradict_each_other(cli):
    assert cli("info", "--quiet", "--verbose").returncode == 2
