"""Faults around the command line: kills, Ctrl-C, full disks, read-only folders, closed pipes."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from fmae_edge import Codec, cli
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.atomic_write import replacing
from fmae_edge.runtime.engine.cpus import available_cpus
from fmae_edge.runtime.format.npy_file import dump_latents
from tests.commands.permissions import obey_permissions
from tests.commands.results import records
from tests.conftest import COMMAND

COUNT = 1000
INPUTS = [f"{index:03d}.png" for index in range(COUNT)]
OUTPUTS = [f"{index:03d}.npy" for index in range(COUNT)]
OLD = b"the old file"


@pytest.fixture(scope="module")
def latent(images):
    """The file that an uninterrupted `compress` writes for `picture`."""
    return dump_latents(Codec().encode(images[0]))


@pytest.fixture
def thousand(images):
    """A folder with INPUTS, in memory if possible, because disks take seconds to replace a thousand files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        folder = Path(name)
        content = png_bytes(images[0])
        for file in INPUTS:
            (folder / file).write_bytes(content)
        yield folder


def start(folder, *arguments, prepare=None, **streams):
    """Start `fmae-edge ARGUMENTS...` in `folder`, with the Ctrl-C that jobs in the background ignore."""

    def before():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prepare is not None:
            prepare()

    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.Popen([COMMAND, *arguments], cwd=folder, preexec_fn=before, **streams)


def run(folder, *arguments, prepare=None, **streams):
    """Run it to its end; return its exit code, standard output and standard error."""
    with start(folder, *arguments, prepare=prepare, **streams) as running:
        out, err = running.communicate(timeout=60)
    return running.returncode, out, err.decode()


def compress_thousand_until(number, folder):
    """Start to compress INPUTS; return the process a moment after it has written that output."""
    running = start(folder, "compress", *INPUTS, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (folder / OUTPUTS[number]).exists():
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.002 * random.random())  # about as long as one image takes
    return running


def complete_outputs(folder, latent):
    """Return the names of outputs, all of which must be complete, and of files that are neither."""
    names = set(os.listdir(folder))
    assert names >= set(INPUTS)
    written = names & set(OUTPUTS)
    assert all((folder / name).read_bytes() == latent for name in written)
    return written, names - written - set(INPUTS)


def test_killed_at_random_moments(thousand, latent):
    written = set()
    for _ in range(3):
        for name in written:
            (thousand / name).unlink()
        number = random.randrange(COUNT)
        with compress_thousand_until(number, thousand) as running:
            running.kill()
        written, others = complete_outputs(thousand, latent)
        assert OUTPUTS[number] in written
        assert (
            len(others) <= available_cpus()
        )  # one per writing thread; the files of the previous process are removed
    assert run(thousand, "compress", "--force", *INPUTS)[0] == 0
    assert complete_outputs(thousand, latent) == (set(OUTPUTS), set())


def test_ctrl_c(thousand, latent):
    number = random.randrange(COUNT // 8)  # of the first group, before the last one is read
    with compress_thousand_until(number, thousand) as running:
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    written, others = complete_outputs(thousand, latent)
    assert others == set()
    assert number < len(written) < COUNT
    assert err.decode() == (
        f"fmae-edge: interrupted after {len(written)} of {COUNT} inputs; "
        "to continue, run the same command with --skip-existing\n"
    )
    code, out, err = run(thousand, "compress", "--skip-existing", *INPUTS)
    assert (code, out.count(b"skipped")) == (0, len(written))
    assert err.startswith(f"{COUNT - len(written)} done, {len(written)} skipped, 0 failed")
    assert complete_outputs(thousand, latent) == (set(OUTPUTS), set())


def test_ctrl_c_before_the_first_input(monkeypatch, capsys):
    def press():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", press)
    with pytest.raises(SystemExit, match="130"):
        cli.main()
    assert capsys.readouterr().err == "fmae-edge: interrupted\n"


def test_left_over_files_of_a_killed_run_are_removed_and_those_of_a_running_one_stay(picture, latent):
    folder = picture.parent
    kill = (
        "import os; from pathlib import Path; from fmae_edge.runtime.atomic_write import replacing\n"
        "with replacing(Path('img.npy')) as file: file.write(b'half'), file.flush(), os.kill(os.getpid(), 9)"
    )
    with replacing(folder / "other") as file:
        file.write(b"content")
        subprocess.run([sys.executable, "-c", kill], cwd=folder, check=False)
        assert len(os.listdir(folder)) == 3
        assert run(folder, "compress", "img.png")[0] == 0
        assert len(os.listdir(folder)) == 3
    assert (folder / "img.npy").read_bytes() == latent
    assert (folder / "other").read_bytes() == b"content"
    assert sorted(os.listdir(folder)) == ["img.npy", "img.png", "other"]


def test_a_full_disk(picture):
    """A limit on the size of files simulates it: the first bytes fit, the others do not."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99))

    folder = picture.parent
    (folder / "img.npy").write_bytes(OLD)
    done = run(folder, "compress", "img.png", "--force", prepare=limit)
    assert done == (1, b"", "fmae-edge: img.png -> img.npy: cannot be written (File too large)\n")
    assert (folder / "img.npy").read_bytes() == OLD
    assert sorted(os.listdir(folder)) == ["img.npy", "img.png"]


def test_a_read_only_folder(picture):
    folder = picture.parent / "folder"
    folder.mkdir()
    picture.rename(folder / "img.png")
    (folder / "img.npy").write_bytes(OLD)
    folder.chmod(0o555)
    try:
        done = run(folder, "compress", "img.png", "--force", prepare=obey_permissions)
    finally:
        folder.chmod(0o755)
    assert done == (1, b"", "fmae-edge: img.png -> img.npy: its folder cannot be written to (Permission denied)\n")
    assert (folder / "img.npy").read_bytes() == OLD
    assert sorted(os.listdir(folder)) == ["img.npy", "img.png"]


def test_inputs_that_become_shorter(picture, latent):
    """Another process shortens them after their size was read and before they are opened."""
    folder = picture.parent
    for name in ("half.png", "empty.png", "gone.png"):
        (folder / name).write_bytes(picture.read_bytes())
    code = (
        "import os, sys\n"
        "from fmae_edge.cli import main\n"
        "def shrink(event, arguments):\n"
        "    if event != 'open': return\n"
        "    name = str(arguments[0])\n"
        "    if name == 'half.png': os.truncate(name, os.stat(name).st_size // 2)\n"
        "    if name == 'empty.png': os.truncate(name, 0)\n"
        "    if name == 'gone.png': os.unlink(name)\n"
        "sys.addaudithook(shrink)\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "compress", "half.png", "empty.png", "gone.png", "img.png"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "img.png -> img.npy\n")
    half, empty, gone, summary = done.stderr.splitlines()
    assert half.startswith("fmae-edge: half.png: the image is truncated or damaged")
    assert empty == "fmae-edge: empty.png: is empty"
    assert gone == "fmae-edge: gone.png: cannot be read (No such file or directory)"
    assert summary.startswith("1 done, 0 skipped, 3 failed")
    assert sorted(os.listdir(folder)) == ["empty.png", "half.png", "img.npy", "img.png"]
    assert (folder / "img.npy").read_bytes() == latent


@pytest.mark.parametrize("arguments", [["compress", "-"], ["decompress", "-", "-o", "-"]])
def test_a_pipe_without_a_reader_ends_it_silently(picture, latent, arguments):
    """Exit code 1 and no message, as for `compress *.png | head -1`."""
    with start(picture.parent, *arguments, stdin=subprocess.PIPE) as running:
        running.stdout.close()
        running.stdin.write(picture.read_bytes() if arguments[0] == "compress" else latent)
        running.stdin.close()
        assert running.stderr.read() == b""
    assert running.returncode == 1


def test_a_closed_stdin(tmp_path):
    done = run(tmp_path, "compress", "-", stdin=None, prepare=lambda: os.close(0))
    assert done == (1, b"", "fmae-edge: -: standard input is closed\n")


def test_messages_do_not_get_into_the_result_if_stderr_is_closed(picture, latent):
    code, out, _ = run(picture.parent, "compress", "img.png", "-o", "-", prepare=lambda: os.close(2))
    assert (code, out) == (0, latent)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("doctor", "--json"), 1, "standard output is closed"),
        (("info",), 1, "standard output is closed"),
        (("--version",), 1, "standard output is closed"),
        (("compress", "img.png", "-o", "-"), 1, "img.png -> -: standard output is closed"),
        (("compress", "img.png", "-o", "img.fmae", "--json"), 1, "standard output is closed"),
        (("compress", "img.png", "-o", "img.fmae"), 0, ""),  # the result is a file, and the line none
    ],
)
def test_a_closed_stdout(picture, arguments, code, said):
    done = run(picture.parent, *arguments, prepare=lambda: os.close(1), stdout=None)
    assert (done[0], done[2]) == (code, said and f"fmae-edge: {said}\n")
    assert (picture.parent / "img.fmae").exists() == ("img.fmae" in arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("info",), ""),
        (("compress", "img.png", "-o", "img.fmae"), ""),
        (("compress", "-r", ".", "--json"), ""),  # not one of the calls that run without Typer
        (("compress", "img.png", "-o", "-"), "img.png -> -: "),
    ],
)
def test_a_full_device_as_stdout_is_not_blamed_on_an_input(picture, arguments, said):
    with Path("/dev/full").open("w") as full:
        code, _, err = run(picture.parent, *arguments, stdout=full)
    assert (code, err) == (1, f"fmae-edge: {said}standard output cannot be written (No space left on device)\n")


def test_without_threads_one_file_of_all_inputs_is_not_written(cli, folders, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    done = cli("compress", "-r", "in", "-o", "all.npy", "--jobs", "2")
    assert done.returncode == 1
    assert done.stderr.startswith("fmae-edge: cannot start 2 threads (can't start new thread): ")
    assert "0 done, 2 skipped, 0 failed" in done.stderr  # no input is bad
    assert not (folders / "all.npy").exists()
    assert cli("compress", "-r", "in", "-o", "all.npy").returncode == 0  # the default needs no other thread
    assert cli("compress", "in/one/img.png", "--jobs", "2").returncode == 0  # nor does one file
    content = (folders / "in/one/img.png").read_bytes()
    # Standard input among files needs no other thread either: after Ctrl-C, that thread would wait for a key
    assert cli("compress", "-", "in/two/img.png", "-o", "out", stdin=content).returncode == 0


def test_one_file_of_all_inputs_on_a_full_disk(cli, folders, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "dup", fail)
    done = cli("compress", "-r", "in", "-o", "all.npy", "--json")
    assert done.returncode == 1
    sentence = (
        "fmae-edge: all.npy: cannot be written (No space left on device); to continue, run the same command\n"
    )
    assert done.stderr == sentence
    assert [(each["status"], each["output"]) for each in records(done)] == [("skipped", None)] * 2


def test_folders_that_cannot_be_created_on_a_full_disk(cli, folders, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", fail)
    done = cli("compress", "-r", "in", "-o", "out")
    assert done.returncode == 1
    sentence, _ = done.stderr.splitlines()
    assert "in/one/img.png -> out/one: cannot be created (No space left on device); 1 of 2 inputs not " in sentence


def run_with_numpy(folder, code, *arguments):
    """Run it with a module in place of numpy."""
    (folder / "numpy.py").write_text(f"import os, signal, subprocess, sys\n{code}\n")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    return run(folder, *arguments, env=environment | {"PYTHONPATH": path})


@pytest.mark.skipif(sys.platform != "linux", reason="no other system reports the sender of a signal")
@pytest.mark.parametrize(
    ("code", "exit_code", "sentence"),
    [
        (
            "signal.raise_signal(signal.SIGINT)",  # as OpenBLAS does
            1,
            "numpy cannot be loaded: out of threads or memory; ulimit -u and ulimit -v show the limits",
        ),
        ("subprocess.run(['kill', '-INT', str(os.getpid())])", 130, "interrupted"),
    ],
)
def test_a_lack_of_threads_for_numpy_is_not_mistaken_for_ctrl_c(tmp_path, code, exit_code, sentence):
    found = run_with_numpy(tmp_path, code, "evaluate")
    assert found == (exit_code, b"", f"fmae-edge: {sentence}\n")


@pytest.mark.parametrize(
    "command", ["info x.fmae", "doctor", "reconstruct img.png", "compare img.png", "compress img.png"]
)
def test_commands_that_need_one_thread_of_numpy_do_not_start_more(tmp_path, command):
    (tmp_path / "x.fmae").write_bytes(b"x")
    _, out, _ = run_with_numpy(
        tmp_path,
        "os.write(1, os.environ.get('OPENBLAS_NUM_THREADS', 'many').encode()); os._exit(0)",
        *command.split(),
    )
    assert out == b"1"
