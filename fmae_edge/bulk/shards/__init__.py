"""Convert shards, files of many rows each: Parquet files, WebDataset tar files, or groups of image files.

job.compress_shards and job.decompress_shards find the shards (find), decide which are left to do (job), and let an
engine convert each of them (convert), which reads it in batches of rows (readers) and writes its result (writers).
This needs pyarrow.
"""

from fmae_edge.runtime.extras import needs_extra

with needs_extra("bulk"):
    import pyarrow  # noqa: F401
