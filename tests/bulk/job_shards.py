"""Shards of test images, and the checks that a job has coded each of them once, as the local engine does."""

import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fmae_edge import Codec
from fmae_edge.bulk.shards.job import compress_shards
from fmae_edge.data.image_file import png_bytes

SHARDS, ROWS = 4, 50


def write_shards(folder, images):
    """Write SHARDS Parquet files of ROWS encoded images; the last row of each is damaged."""
    folder.mkdir()
    for number in range(SHARDS):
        some = images[number * ROWS : (number + 1) * ROWS - 1]
        column = pa.array([*map(png_bytes, some), b"damaged"], pa.binary())
        ids = pa.array(np.arange(ROWS) + number * ROWS)
        pq.write_table(pa.table({"id": ids, "image": column}), folder / f"{number}.parquet")


def expected_rows(images, **options):
    """Return the payload of each row by its id, None for those that are damaged."""
    payloads = Codec().compress_batch(images[: SHARDS * ROWS], bare=True, **options)
    return {number: None if number % ROWS == ROWS - 1 else each for number, each in enumerate(payloads)}


def require_every_row_once(tables, images, **options):
    """Raise unless each row is in one of the tables, once, with its payload and its status."""
    rows = [row for table in tables for row in table]
    assert len(rows) == SHARDS * ROWS
    assert {row["id"]: row["payload"] for row in rows} == expected_rows(images, **options)
    assert {row["id"] for row in rows if row["status"] == "failed"} == set(range(ROWS - 1, SHARDS * ROWS, ROWS))


def tables_in(folder):
    """Return the rows of each Parquet file in a folder."""
    return [pq.read_table(path).to_pylist() for path in folder.rglob("*.parquet")]


def require_job_equal_to_local(engine, shards, tmp_path, images):
    """Raise unless a job of `engine` codes each row once into `tmp_path/out`, in the same files as a local job."""
    outcomes = list(compress_shards(shards, tmp_path / "out", engine=engine, quality=7))
    assert [(each.status, each.rows, each.failed_rows) for each in outcomes] == [("done", ROWS, 1)] * SHARDS
    require_every_row_once(tables_in(tmp_path / "out"), images, quality=7)
    list(compress_shards(shards, tmp_path / "same", quality=7))
    for path in (tmp_path / "same").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def write_parquet(path, images, **others):
    """Write images, or a column of them, with ids and other columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    column = images if isinstance(images, pa.Array) else pa.array(list(map(png_bytes, images)), pa.binary())
    pq.write_table(pa.table({"id": pa.array(range(len(column)), pa.int16()), "image": column, **others}), path)


def write_tar(path, members):
    """Write pairs of names and contents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def payloads(folder):
    """Return all payloads below a folder, in the order of their files."""
    return [
        each for path in sorted(folder.rglob("*.parquet")) for each in pq.read_table(path)["payload"].to_pylist()
    ]


def statuses(job):
    """Run a job and return the sorted statuses of its shards."""
    return sorted(outcome.status for outcome in job)
