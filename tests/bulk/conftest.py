"""The shards of the tests of engines. Tests of shards themselves have their own."""

import pytest

from tests.bulk.job_shards import write_shards


@pytest.fixture
def shards(tmp_path, images):
    write_shards(tmp_path / "in", images)
    return tmp_path / "in"
