"""Spark: a session on this machine codes each row once, as Codec does, even if a worker is killed."""

import os
import sys
import threading

import pyarrow.parquet as pq
import pytest

from benchmarks.processes import kill_one
from fmae_edge import Codec
from fmae_edge.bulk.payload_format import read_format
from fmae_edge.bulk.shards.job import compress_shards
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.errors import InputError
from tests.bulk.job_shards import SHARDS, require_every_row_once, require_job_equal_to_local, tables_in

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = sql.SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def test_a_job_over_shards(spark, shards, tmp_path, images):
    require_job_equal_to_local("spark", shards, tmp_path, images)


def test_data_frames_keep_the_description_of_their_payloads_in_parquet(spark, shards, tmp_path, images):
    from fmae_edge.bulk.spark import compress_dataset, decompress_dataset

    df = compress_dataset(spark.read.parquet(str(shards)), quality=3, psnr=True)
    df.write.parquet(str(tmp_path / "out"))
    require_every_row_once(tables_in(tmp_path / "out"), images, quality=3)
    coded = spark.read.parquet(str(tmp_path / "out"))
    for row in decompress_dataset(coded).where("id in (5, 8)").collect():
        payload = Codec().compress(images[row["id"]], 3, bare=True)
        assert bytes(row["image"]) == png_bytes(Codec().decompress(payload, bare=True, quality=3))
    with pytest.raises(InputError, match="the built-in bundle 'default', not with"):
        decompress_dataset(coded, "detail")
    with pytest.raises(InputError, match="does not say which bundle and quality"):
        decompress_dataset(spark.createDataFrame([(b"",)], "payload binary"))
    with pytest.raises(InputError, match="no column 'img'; the columns are 'id', 'image'"):
        compress_dataset(spark.read.parquet(str(shards)), column="img")


def test_parquet_files_of_spark_say_which_bundle_made_them(spark, shards, tmp_path):
    from fmae_edge.bulk.spark import compress_dataset

    compress_dataset(spark.read.parquet(str(shards)), quality=3).write.parquet(str(tmp_path / "out"))
    path = next((tmp_path / "out").glob("*.parquet"))
    assert read_format(pq.read_schema(path).metadata, "t").quality == 3


def test_levels_that_spark_reads_as_short_integers(spark, images):
    from fmae_edge.bulk.spark import compress_dataset

    rows = [(images[number].ravel().tolist(),) for number in range(3)]
    df = compress_dataset(spark.createDataFrame(rows, "image array<smallint>"))
    expected = Codec().compress_batch(images[:3], bare=True)
    assert [bytes(row["payload"]) for row in df.collect()] == expected


def test_a_killed_worker_loses_and_doubles_no_row(spark, shards, tmp_path, images):
    outcomes = []
    job = compress_shards(shards, tmp_path / "out", engine="spark", effort=5)
    thread = threading.Thread(target=lambda: outcomes.extend(job))
    thread.start()
    while not list((tmp_path / "out").glob(".fmae-edge-*")):
        assert thread.is_alive()
    assert kill_one("pyspark.daemon", thread.is_alive)
    thread.join()
    assert [each.status for each in outcomes] == ["done"] * SHARDS
    require_every_row_once(tables_in(tmp_path / "out"), images, effort=5)
