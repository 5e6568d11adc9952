"""Shards of test images, and the check that a job has coded each of them once."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fmae_edge import Codec
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
