"""Ray: a cluster of several nodes on this machine codes each row once, as Codec does, whatever dies."""

import threading

import pytest

from benchmarks.processes import kill_one
from fmae_edge import Codec
from fmae_edge.bulk.shards.job import compress_shards, decompress_shards
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.errors import InputError
from tests.bulk.job_shards import (
    ROWS,
    SHARDS,
    require_every_row_once,
    require_job_equal_to_local,
    tables_in,
)

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster():
    """A head and two nodes of one CPU each; a test may remove one of them."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    cluster.extra = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_job_over_shards_and_back(cluster, shards, tmp_path, images):
    require_job_equal_to_local("ray", shards, tmp_path, images)
    outcomes = list(decompress_shards(tmp_path / "out", tmp_path / "images", engine="ray"))
    assert sum(each.rows - each.failed_rows for each in outcomes) == SHARDS * (ROWS - 1)


def test_data_sets_keep_the_description_of_their_payloads_in_parquet(cluster, shards, tmp_path, images):
    import ray

    from fmae_edge.bulk.ray import compress_dataset, decompress_dataset

    ds = compress_dataset(ray.data.read_parquet(str(shards)), quality=3, psnr=True, workers=1, batch_size=16)
    ds.write_parquet(str(tmp_path / "out"))
    require_every_row_once(tables_in(tmp_path / "out"), images, quality=3)
    coded = ray.data.read_parquet(str(tmp_path / "out"))
    for row in decompress_dataset(coded, workers=1).filter(lambda row: row["id"] in (5, 8)).take_all():
        payload = Codec().compress(images[row["id"]], 3, bare=True)
        assert row["image"] == png_bytes(Codec().decompress(payload, bare=True, quality=3))
    with pytest.raises(InputError, match="the built-in bundle 'default', not with"):
        decompress_dataset(coded, "detail")
    with pytest.raises(InputError, match="its payloads have quality 3, not 4"):
        decompress_dataset(coded, quality=4)
    with pytest.raises(InputError, match="does not say which bundle and quality"):
        decompress_dataset(ray.data.from_items([{"payload": b""}]))


def test_actors_leave_a_cpu_for_the_tasks_that_read(cluster, shards, images):
    import ray

    from fmae_edge.bulk.ray import compress_dataset

    read = ray.data.read_parquet(str(shards))
    require_every_row_once([compress_dataset(read, workers=3).take_all()], images)
    with pytest.raises(InputError, match="cpus is 3, but the cluster has 3, and reading needs some"):
        compress_dataset(read, cpus=3)
    for name, value in (("workers", 0), ("cpus", -1)):
        with pytest.raises(InputError, match=f"{name} is {value}; expected .* of at least"):
            compress_dataset(read, **{name: value})


def test_the_callable_is_enough_for_arrays_of_ray(cluster, images):
    import ray

    from fmae_edge.bulk.rows import Compress, Decompress

    ds = ray.data.from_numpy(images[:20]).map_batches(Compress(column="data"), batch_size=8)
    rows = ds.map_batches(Decompress(quality=5), batch_size=8).take_all()
    assert sorted(row["payload"] for row in rows) == sorted(Codec().compress_batch(images[:20], bare=True))
    assert rows[0]["image"].shape == (28, 28)


def test_a_killed_worker_and_a_lost_node_lose_and_double_no_row(cluster, shards, tmp_path, images):
    outcomes = []
    job = compress_shards(shards, tmp_path / "out", engine="ray", effort=5)
    thread = threading.Thread(target=lambda: outcomes.extend(job))
    thread.start()
    assert kill_one("ray::convert_shard", thread.is_alive)
    cluster.remove_node(cluster.extra)
    thread.join()
    assert [each.status for each in outcomes] == ["done"] * SHARDS
    require_every_row_once(tables_in(tmp_path / "out"), images, effort=5)


def test_an_actor_that_is_killed_loses_and_doubles_no_row(cluster, shards, tmp_path, images):
    import ray

    from fmae_edge.bulk.ray import compress_dataset

    ds = compress_dataset(ray.data.read_parquet(str(shards)), effort=5, workers=1, batch_size=16)
    rows = []
    thread = threading.Thread(target=lambda: rows.extend(ds.take_all()))
    thread.start()
    assert kill_one("ray::MapWorker", thread.is_alive)
    thread.join()
    require_every_row_once([rows], images, effort=5)
