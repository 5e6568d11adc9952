"""Processes of one machine: results do not depend on them, and one that is killed loses and doubles no row."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmae_edge import Codec
from fmae_edge.bulk.local import run_tasks
from fmae_edge.bulk.shards.job import compress_shards

ROWS = 60


@pytest.fixture
def shards(tmp_path, images):
    (tmp_path / "in").mkdir()
    for number in range(3):
        some = images[number * ROWS : (number + 1) * ROWS].reshape(ROWS, -1).tolist()
        pq.write_table(
            pa.table({"image": pa.array(some, pa.list_(pa.uint8()))}), tmp_path / f"in/{number}.parquet"
        )
    return tmp_path / "in"


def require_every_row_once(folder, images, effort):
    expected = Codec().compress_batch(images[: 3 * ROWS], effort=effort, bare=True)
    found = [each for path in sorted(folder.iterdir()) for each in pq.read_table(path)["payload"].to_pylist()]
    assert found == expected
    assert [path.name for path in sorted(folder.iterdir())] == ["0.parquet", "1.parquet", "2.parquet"]


class Deadly:
    """Rows that end the process that receives them."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_killed_worker_loses_and_doubles_no_row(shards, tmp_path, images):
    outcomes, out = [], tmp_path / "out"
    thread = threading.Thread(target=lambda: outcomes.extend(compress_shards(shards, out, workers=2, effort=4)))
    thread.start()
    while not list(out.glob(".fmae-edge-*")):  # until a shard is being written
        assert thread.is_alive()
        time.sleep(0.001)
    multiprocessing.active_children()[0].kill()
    thread.join()
    assert [each.status for each in outcomes] == ["done"] * 3
    require_every_row_once(out, images, 4)
    assert not multiprocessing.active_children()


def test_a_shard_that_kills_its_workers_fails_and_the_others_are_done(shards, tmp_path):
    deadly, *others = compress_shards(shards, tmp_path / "out").tasks
    outcomes = {each.input: each for each in run_tasks([replace(deadly, rows=Deadly()), *others], 1)}
    assert outcomes[str(deadly.shard)].error == f"{deadly.shard}: the process that converted it was killed 3 times"
    assert [outcomes[str(task.shard)].status for task in others] == ["done", "done"]


def test_workers_use_one_thread_and_end_with_a_job_that_is_left_early(shards, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    job = iter(compress_shards(shards, tmp_path / "out", workers=2))
    next(job)
    environments = [Path(f"/proc/{child.pid}/environ") for child in multiprocessing.active_children()]
    assert len(environments) == 2
    assert all(b"OMP_NUM_THREADS=1\0" in path.read_bytes() for path in environments)
    assert "OMP_NUM_THREADS" not in os.environ
    job.close()
    for child in multiprocessing.active_children():
        child.join(10)
    assert not multiprocessing.active_children()


def test_a_job_that_is_left_early_leaves_no_part_of_a_result(shards, tmp_path):
    job = iter(compress_shards(shards, tmp_path / "out", workers=2, effort=4))
    next(job)
    while not list((tmp_path / "out").glob(".fmae-edge-*")):  # until another shard is being written
        time.sleep(0.001)
    job.close()
    assert len(list((tmp_path / "out").iterdir())) < 3
    assert not list((tmp_path / "out").glob(".fmae-edge-*"))


JOB = """
import sys
from fmae_edge.bulk.shards.job import compress_shards
print("started", flush=True)
for outcome in compress_shards("in", "out", workers=2, effort=4):
    print(outcome.status, flush=True)
"""


@pytest.fixture
def job(shards, tmp_path):
    """A job in a process group of its own, as in a terminal."""
    command = [sys.executable, "-c", JOB]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes) as started:
        yield started
        started.kill()


def test_workers_say_nothing_if_the_parent_is_killed(job, tmp_path):
    while not list((tmp_path / "out").glob(".fmae-edge-*")):  # until a shard is being written
        time.sleep(0.01)
    job.kill()
    assert job.stderr.read() == ""  # read returns when all workers have ended


def test_workers_that_start_say_nothing_at_ctrl_c(job):
    assert job.stdout.readline() == "started\n"
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children")
    while len(children.read_text().split()) < 2:  # the process that tracks resources, and a worker
        time.sleep(0.001)
    os.killpg(job.pid, signal.SIGINT)
    said = job.stderr.read()
    assert said.endswith("KeyboardInterrupt\n")
    assert said.count("Traceback") == 1  # that of the job
