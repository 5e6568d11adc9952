"""The shards of the tests of engines, and jobs that start no processes. Tests of shards have their own shards."""

import pytest

from fmae_edge.bulk import local
from fmae_edge.bulk.shards import convert
from tests.bulk.job_shards import write_shards


@pytest.fixture
def shards(tmp_path, images):
    write_shards(tmp_path / "in", images)
    return tmp_path / "in"


@pytest.fixture
def in_this_process(monkeypatch):
    """Convert shards in this process: starting others takes a second each."""
    monkeypatch.setattr(local, "run_tasks", lambda tasks, workers: map(convert.convert_shard, tasks))
    monkeypatch.setattr(convert, "_ROWS_AT_ONCE", 4)  # so that a shard has several batches
