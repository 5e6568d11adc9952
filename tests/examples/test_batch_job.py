"""The batch job writes one file per image, reports bad images, and continues where it was stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import batch_job
from fmae_edge import Codec
from fmae_edge.bulk.sources import Source
from tests.conftest import REPOSITORY

CODEC = Codec(threads=1)
COMMAND = [sys.executable, REPOSITORY / "examples" / "batch_job.py"]


@pytest.fixture
def folder(tmp_path, images):
    """Images 0 to 9 as PNG files in two folders."""
    for number, image in enumerate(images[:10]):
        path = tmp_path / "images" / ("even", "odd")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "images"


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)


def ignores_ctrl_c(process):
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return bool(int(status["SigIgn"], 16) >> signal.SIGINT - 1 & 1)


def test_bad_images_are_reported_and_a_second_run_converts_the_others(folder, tmp_path, images):
    (folder / "cut.png").write_bytes((folder / "even/0.png").read_bytes()[:100])
    Image.fromarray(np.zeros((28, 30), np.uint8)).save(folder / "wide.jpg")
    Image.new("LAB", (28, 28)).save(folder / "lab.tif")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")  # nobody ever writes to it
    (folder / "notes.txt").write_text("no image")
    out = tmp_path / "out"
    done = run(folder, out, "--processes", "2", "--quality", "3")
    assert (done.returncode, done.stdout) == (1, "10 compressed, 0 already there, 4 failed\n")
    reported = dict(line.split(": ", 1) for line in done.stderr.splitlines())
    assert set(reported) == {str(folder / name) for name in ("cut.png", "wide.jpg", "lab.tif", "pipe.png")}
    assert (
        reported[str(folder / "wide.jpg")]
        == "the image is 30x28 and must be 28x28; --fit resize will resize it, crop and pad keep its proportions"
    )
    expected = {
        out / ("even", "odd")[number % 2] / f"{number}.png.fmae": CODEC.compress(images[number], 3)
        for number in range(10)
    }
    files = {path: path for path in out.rglob("*") if path.is_file()}
    assert {path: path.read_bytes() for path in files} == expected

    (folder / "lab.tif").unlink()
    (folder / "pipe.png").unlink()
    (folder / "cut.png").unlink()
    Image.fromarray(images[10]).save(folder / "wide.jpg", "PNG")
    written = {path: path.stat().st_mtime_ns for path in files}
    done = run(folder, out, "--quality", "3")
    assert (done.returncode, done.stdout) == (0, "1 compressed, 10 already there, 0 failed\n")
    assert (out / "wide.jpg.fmae").read_bytes() == CODEC.compress(images[10], 3)
    assert {path: path.stat().st_mtime_ns for path in files} == written


def test_ctrl_c_leaves_only_complete_files(folder, tmp_path):
    for number in range(2000):
        (folder / f"{number}.png").hardlink_to(folder / "even" / "0.png")
    out = tmp_path / "out"
    job = subprocess.Popen(
        [*COMMAND, folder, out, "--processes", "2"], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        while job.poll() is None and not any(out.rglob("*.fmae")):
            time.sleep(0.01)
        if sys.platform == "linux":
            processes = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
            assert len(processes) >= 2
            assert all(ignores_ctrl_c(process) for process in processes)
        os.killpg(job.pid, signal.SIGINT)  # to all processes of the job, as a terminal does
        _, errors = job.communicate(timeout=120)
    finally:
        job.kill()
    assert (job.returncode, errors) == (130, "interrupted; run the same command again to continue\n")
    files = [path for path in out.rglob("*") if path.is_file()]
    assert 0 < len(files) < 2000
    assert {path.suffix for path in files} == {".fmae"}
    assert {path.read_bytes() for path in files if path.parent == out} == {
        CODEC.compress(np.asarray(Image.open(folder / "0.png")))
    }


def test_a_bundle_for_rgb_images_compresses_them(tmp_path, rgb_bundle, rgb_images):
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    for number, image in enumerate(rgb_images[:3]):
        Image.fromarray(image).save(folder / f"{number}.png")
    done = run(folder, out, "--bundle", rgb_bundle, "--processes", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 compressed, 0 already there, 0 failed\n", "")
    codec = Codec(rgb_bundle, threads=1)
    for number, image in enumerate(rgb_images[:3]):
        assert (out / f"{number}.png.fmae").read_bytes() == codec.compress(image)
    done = run(folder, out, "--bundle", folder)
    assert done.returncode == 2
    assert "manifest.json" in done.stderr


def test_outputs_that_cannot_be_written_are_reported(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_job, "codec", CODEC, raising=False)
    image, out = folder / "even" / "0.png", tmp_path / "out"
    (out / "a.fmae").mkdir(parents=True)
    source = Source(image)
    failures = batch_job.compress_images(
        [(source, out / "a.fmae"), (source, image / "b.fmae"), (source, out / "c.fmae")], 5
    )
    assert len(failures) == 2
    assert all(failure.startswith(str(image)) for failure in failures)
    assert sorted(path.name for path in out.iterdir()) == ["a.fmae", "c.fmae"]


def test_images_are_read_as_on_the_command_line(folder, monkeypatch, images):
    monkeypatch.setattr(batch_job, "codec", CODEC, raising=False)
    Image.fromarray(images[0].astype(np.uint16) * 257).save(folder / "deep.png")
    cut = (folder / "even" / "0.png").read_bytes()[:-12]
    (folder / "cut.png").write_bytes(cut)  # only the end is missing
    jobs = [(Source(folder / f"{name}.png"), folder / f"{name}.fmae") for name in ("deep", "cut")]
    (failure,) = batch_job.compress_images(jobs, 5)
    assert "cut.png: the image is truncated: its end is missing" in failure
    assert (folder / "deep.fmae").read_bytes() == CODEC.compress(images[0], 5)


def test_symbolic_links_under_predictable_temporary_names_are_not_followed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_job, "codec", CODEC, raising=False)
    precious, out = tmp_path / "precious", tmp_path / "out"
    precious.write_text("precious")
    out.mkdir()
    for name in (f".0.fmae.{os.getpid()}.part", ".0.fmae.part", "0.fmae.part"):
        (out / name).symlink_to(precious)
    assert batch_job.compress_images([(Source(folder / "even" / "0.png"), out / "0.fmae")], 5) == []
    assert not (out / "0.fmae").is_symlink()
    assert precious.read_text() == "precious"


def test_zero_processes_are_wrong_usage(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["batch_job.py", str(tmp_path), str(tmp_path / "out"), "--processes", "0"])
    with pytest.raises(SystemExit, match="2"):
        batch_job.main()
    assert capsys.readouterr().err.endswith("--processes is 0; expected 1 or more\n")


def test_a_missing_folder_is_wrong_usage(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["batch_job.py", str(tmp_path / "none"), str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="2"):
        batch_job.main()
    assert capsys.readouterr().err.endswith("none is not a folder\n")
