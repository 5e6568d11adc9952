"""The installed command in its own process: streams, signals, threads and encodings."""

import io
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.measure.quality import mse_per_image, psnr
from tests.commands.results import pixels
from tests.conftest import CHECKPOINT, COMMAND
from tests.installed_data import needs_data


def test_the_round_trip_in_one_folder(installed, tmp_path, picture, images):
    before = picture.read_bytes()
    done = installed("compress", "img.png")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"img.png -> img.npy  (384 bytes; -o img.fmae would take {len(Codec().compress(images[0]))})\n",
        "",
    )
    done = installed("decompress", "img.npy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "img.npy -> img.decoded.png\n", "")
    assert picture.read_bytes() == before
    decoded = pixels(tmp_path / "img.decoded.png")
    assert psnr(mse_per_image(images[:1] / 255, decoded[None] / 255)[0]) > 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["img.decoded.png", "img.npy", "img.png"]


def test_streams(picture, images):
    packed = subprocess.run(
        [COMMAND, "compress", "-"], input=picture.read_bytes(), capture_output=True, check=True
    )
    assert packed.stderr == b""
    latent = np.load(io.BytesIO(packed.stdout))
    np.testing.assert_array_equal(latent, Codec().encode(images[0]))
    unpacked = subprocess.run(
        [COMMAND, "decompress", "-", "-o", "-"], input=packed.stdout, capture_output=True, check=True
    )
    np.testing.assert_array_equal(pixels(io.BytesIO(unpacked.stdout)), Codec().decode(latent))


@pytest.mark.parametrize(
    ("name", "encoding", "shown"),
    [
        (b"caf\xe9", "utf-8", "caf\\udce9"),
        (b"caf\xe9", "ascii", "caf\\udce9"),
        ("café".encode(), "ascii", "caf\\xe9"),
    ],
)
def test_names_that_the_encoding_of_the_output_cannot_represent(
    installed, tmp_path, picture, images, monkeypatch, name, encoding, shown
):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)  # which is strict, where some locales are not
    path = tmp_path / os.fsdecode(name + b".png")
    path.write_bytes(picture.read_bytes())
    done = installed("compress", path.name)
    size = len(Codec().compress(images[0]))
    said = f"{shown}.png -> {shown}.npy  (384 bytes; -o {shown}.fmae would take {size})\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert path.with_suffix(".npy").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("compress",),
        ("decompress",),
        ("reconstruct",),
        ("compare",),
        ("info",),
        ("parity", CHECKPOINT),
        ("bench",),
        ("export", "-o", "made"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_error_is_one_sentence_and_nothing_is_written(installed, tmp_path, arguments):
    done = installed(*arguments, "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fmae-edge: nowhere: no such ")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux shows them")
def test_a_single_image_starts_no_thread(tmp_path, picture):
    """OpenBLAS would start threads when numpy is imported, and send SIGINT, as Ctrl-C does, if it cannot."""
    code = (
        "import os, sys\nfrom fmae_edge.cli import main\n"
        "sys.argv = ['fmae-edge', 'compress', 'img.png', '-q']\n"
        "try: main()\nfinally: print(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {"ORT_DISABLE_TELEMETRY": "1", "FMAE_EDGE_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "1"


@pytest.mark.parametrize("arguments", [("--version",), ("compress", "img.png"), ("info",)])
def test_a_reader_that_ends_before_anything_is_written(tmp_path, picture, monkeypatch, arguments):
    """`fmae-edge info | true`: the output that Python has buffered is dropped without a message."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    theirs, ours = os.pipe()
    os.close(theirs)
    done = subprocess.run([COMMAND, *arguments], cwd=tmp_path, stdout=ours, stderr=subprocess.PIPE, check=False)
    os.close(ours)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(("others", "code"), [([], 0), (["nowhere.png"], 1)])
def test_everything_is_written_before_the_process_ends(tmp_path, picture, monkeypatch, others, code):
    """It ends without Python's own exit, which would flush the streams."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    command = [sys.executable, "-m", "fmae_edge", "compress", "img.png", *others, "-o", "out/"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.startswith("img.png -> out/img.npy")
    assert (tmp_path / "out" / "img.npy").stat().st_size == 384


def test_a_full_device_as_output():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([COMMAND, "info"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@needs_data
def test_ctrl_c_during_training_prints_how_to_continue(tmp_path):
    run = tmp_path / "run"
    started = subprocess.Popen(
        [COMMAND, "train", "-o", run],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
    )
    assert started.stdout.readline().startswith("training on 60000 images of fashion-mnist, ")
    started.send_signal(signal.SIGINT)
    try:
        _, err = started.communicate(timeout=60)
    finally:
        started.kill()
    assert started.returncode == 130
    assert (
        err
        == f"fmae-edge: stopped; to continue after the last finished epoch: fmae-edge train -o {run} --resume\n"
    )
    assert sorted(path.name for path in run.iterdir()) == ["config.json", "recipe.json"]


def test_a_pipe_gets_the_line_of_each_input_at_once(picture, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    arguments = [COMMAND, "compress", picture.name, "-", "-o", "out/", "--json"]
    with subprocess.Popen(
        arguments, cwd=picture.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        ready, _, _ = select.select([process.stdout], [], [], 30)  # while standard input is still awaited
        assert ready
        assert json.loads(process.stdout.readline())["input"] == picture.name
        process.communicate(picture.read_bytes())
        assert process.returncode == 0
