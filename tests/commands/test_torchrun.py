"""`torchrun -m fmae_edge train` as a user runs it: one process prints, and none is left if one is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fmae_edge.model.checkpoint import load_checkpoint, processes_of

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "fmae_edge", "train")
SMALL = ("--mse", "--latent", "8", "--widths", "4,8", "--batch-size", "50", "--device", "cpu")


@pytest.fixture
def folder(tmp_path, images, monkeypatch):
    np.save(tmp_path / "some.npy", images)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def children(process):
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc lists the processes")
def test_a_killed_process_ends_the_run_which_then_continues_alone(folder, cli):
    log = folder / "log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            [*TORCHRUN, "some.npy", "-o", "run", "--epochs", "12", *SMALL], stdout=output, stderr=output
        )
    while "epoch   2" not in log.read_text():
        assert started.poll() is None, log.read_text()
        time.sleep(0.02)
    workers = children(started.pid)
    os.kill(workers[-1], signal.SIGKILL)
    assert started.wait(timeout=60) != 0
    said = log.read_text()
    assert "process 1 of 2 stops, because another process of the run has ended; continue" in said
    assert said.count("training on 213 images") == said.count("epoch   1 ") == 1
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    assert processes_of(folder / "run") == 2
    done = cli("train", "-o", "run", "--resume")
    assert done.returncode == 0, done.stderr
    assert "the run had 2 processes and continues with 1: the order of sums changes" in done.stdout
    assert len(load_checkpoint(folder / "run").metrics) == 12
