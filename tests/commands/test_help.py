"""Help texts, suggestions, and error messages that are one sentence."""

import errno
import gc
import os
import subprocess
import sys

import pytest

from fmae_edge.cli import build_app
from fmae_edge.commands import info
from tests.conftest import COMMAND


def caused(error, cause, context=None):
    error.__cause__, error.__context__ = cause, context
    return error


COMMANDS = [command.callback.__name__ for command in build_app().registered_commands]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_valid_example(cli, command):
    text = cli(command, "--help").stdout
    examples = text.split("Example:\n  ")[1].split("\n\n")[0].splitlines()
    for example in examples:
        assert f"fmae-edge {command} " in f"{example} "
        options = [word for word in example.split() if word.startswith("-") and word != "-"]
        assert all(option in text.replace(example, "") for option in options)
    for option in ("--quiet", "--verbose", "--debug"):
        assert option in text


def test_the_list_of_commands_describes_each_command(cli):
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
def test_a_typing_mistake_gets_a_suggestion(cli, typed, suggested):
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
def test_shell_completion(shell, environment, expected):
    environment = {**os.environ, **environment, "_FMAE_EDGE_COMPLETE": f"complete_{shell}"}
    done = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, check=True)
    assert expected in done.stdout


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ImportError("x.so: failed to map segment from shared object"), 1, "out of threads or memory; ulimit -u"),
        (RuntimeError("can't start new thread"), 1, "out of threads or memory; ulimit -u"),
        (MemoryError("an array of 3 GiB"), 1, "out of memory\n"),
        (caused(ImportError("importing numpy failed"), MemoryError()), 1, "out of memory\n"),
        (caused(ImportError("importing numpy failed"), KeyboardInterrupt()), 130, "interrupted\n"),
        (caused(ImportError(), None, KeyboardInterrupt()), 130, "interrupted\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "standard output cannot be written (No space"),
        *[
            (OSError(number, os.strerror(number)), 1, f"standard output cannot be written ({os.strerror(number)})")
            for number in (errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
        ],
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "Cannot allocate memory\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x.png"), 1, "x.png: Permission denied\n"),
    ],
)
def test_an_error_of_the_system_is_one_sentence(cli, monkeypatch, error, code, sentence):
    def fail(*_):
        raise error

    monkeypatch.setattr(info, "_describe_bundle", fail)
    done = cli("info")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"fmae-edge: {sentence}")
    assert done.stderr.count("\n") == 1
    assert "unexpected" not in done.stderr


def test_garbage_is_collected_while_a_command_runs(cli, monkeypatch):
    """Collection is off only while modules are imported; in a long run, memory would grow."""
    enabled = []
    monkeypatch.setattr(info, "_describe_bundle", lambda *_: enabled.append(gc.isenabled()))
    cli("info")
    assert enabled == [True]


def test_python_looks_for_no_garbage_at_exit():
    """The modules of a command are hundreds of thousands of objects, and Python collects twice at exit."""
    program = (
        "import atexit, gc; atexit.register(lambda: print(len(gc.get_objects()))); "
        "from fmae_edge.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program, "--version"], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 1000


def test_a_traceback_only_with_debug(cli, tmp_path):
    done = cli("info", "./nowhere")
    assert done.stderr == "fmae-edge: nowhere: no such bundle folder\n"
    done = cli("info", "./nowhere", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("fmae-edge: nowhere: no such bundle folder\n")
    (tmp_path / "bad.png").write_text("no image")
    assert "Traceback" in cli("compress", "bad.png", "--debug").stderr
    assert "Traceback" not in cli("compress", "bad.png", "--verbose").stderr


def test_an_unexpected_error_is_one_sentence(cli, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(info, "_describe_bundle", fail)
    done = cli("info")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "fmae-edge: unexpected error (ZeroDivisionError: by zero); run again with --debug and attach"
    )
    assert done.stderr.count("\n") == 1
    assert "Traceback" in cli("info", "--debug").stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("compress", "-bag.png"), "-bag.png"),
        (("compress", "a.png", "--bag.png"), "--bag.png"),
        (("compare", "a.png", "-here"), "-here"),
        (("compress", "a.png", "-j.png"), "-j.png"),
    ],
)
def test_a_file_name_that_starts_with_a_dash_gets_a_hint(cli, tmp_path, arguments, name):
    for here in ("-here", "-j.png"):
        (tmp_path / here).touch()
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"fmae-edge: {name} starts with - and is read as options; write ./{name} for the file\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("compress", "a.png", "--qualty"),
        ("compress", "a.png", "--lr=0.1"),
        ("compare", "-o", "x.png"),
        ("compress", "--qualty", "--", "-here"),
    ],
)
def test_other_wrong_usage_gets_no_hint_about_file_names(cli, tmp_path, arguments):
    (tmp_path / "-here").touch()
    assert "./" not in cli(*arguments).stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_plain(cli, command):
    text = " ".join(cli(command, "--help").stdout.split())
    for odd in (" is no ", " an image,", "a file each", "int range", "<path>", "None"):
        assert odd not in text.replace("BUNDLE <path>", "").replace("RUN <path>", "")


def test_quiet_and_verbose_contradict_each_other(cli):
    assert cli("info", "--quiet", "--verbose").returncode == 2
