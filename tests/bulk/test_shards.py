"""Jobs over shards: every row once and equal to Codec, resuming, and damaged input."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmae_edge import Codec
from fmae_edge.bulk.payload_format import read_format
from fmae_edge.bulk.shards import convert, find, readers, writers
from fmae_edge.bulk.shards.job import compress_shards, decompress_shards
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.errors import ArgumentError, InputError, OutputError
from tests.bulk.job_shards import payloads, statuses, write_parquet, write_tar

ROWS = 10  # in each shard
pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def shards(tmp_path, images):
    """Three Parquet files of ROWS images each, one of them in a subfolder, with labels."""
    for number, name in enumerate(("a", "deeper/b", "c")):
        some = images[number * ROWS : (number + 1) * ROWS]
        write_parquet(tmp_path / f"in/{name}.parquet", some, label=pa.array(["x", None] * (ROWS // 2)))
    (tmp_path / "in/_SUCCESS").write_text("")
    return tmp_path / "in"


def test_payloads_equal_those_of_the_codec_and_other_columns_stay(shards, tmp_path, images):
    outcomes = list(compress_shards(shards, tmp_path / "out", quality=7, psnr=True))
    assert [(each.status, each.rows, each.failed_rows, each.error) for each in outcomes] == [
        ("done", ROWS, 0, None)
    ] * 3
    assert sum(each.bytes for each in outcomes) == sum(map(len, payloads(tmp_path / "out")))
    numbers = [*range(ROWS), *range(2 * ROWS, 3 * ROWS), *range(ROWS, 2 * ROWS)]  # a, c, deeper/b
    assert payloads(tmp_path / "out") == Codec().compress_batch(images[numbers], 7, bare=True)
    table = pq.read_table(tmp_path / "out/deeper/b.parquet")
    assert table.schema.names == ["id", "label", "payload", "bits", "psnr", "status", "error"]
    assert table.schema.field("id").type == pa.int16()
    assert table["label"].to_pylist() == ["x", None] * (ROWS // 2)
    made = read_format(table.schema.metadata, "t")
    assert (made.bundle_id, made.quality, made.image_shape) == (Codec().manifest.bundle_id, 7, (28, 28))


@pytest.mark.parametrize("to", ["parquet", "webdataset", "files"])
def test_every_kind_of_output_can_be_an_input_again(shards, tmp_path, images, to):
    assert statuses(compress_shards(shards, tmp_path / "coded", to=to)) == ["done"] * 3
    assert statuses(decompress_shards(tmp_path / "coded", tmp_path / "decoded", to=to)) != []
    assert statuses(compress_shards(tmp_path / "decoded", tmp_path / "again")) != []
    decoded = Codec().decompress_batch(Codec().compress_batch(images[: 3 * ROWS], bare=True), bare=True, quality=5)
    assert sorted(payloads(tmp_path / "again")) == sorted(Codec().compress_batch(decoded, bare=True))


def test_finished_shards_are_skipped_and_changed_ones_are_not(shards, tmp_path, images):
    out = tmp_path / "out"
    assert statuses(compress_shards(shards, out)) == ["done"] * 3
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert statuses(compress_shards(shards, out)) == ["skipped"] * 3
    (out / "c.parquet").unlink()
    write_parquet(shards / "a.parquet", images[:3])
    assert statuses(compress_shards(shards, out)) == ["done", "done", "skipped"]
    assert pq.read_metadata(out / "a.parquet").num_rows == 3
    assert {path for path, at in before.items() if path.stat().st_mtime_ns != at} == {
        out / "a.parquet",
        out / "c.parquet",
    }
    assert statuses(compress_shards(shards, out, force=True)) == ["done"] * 3


def test_a_job_with_other_options_or_inputs_is_refused(shards, tmp_path):
    out = tmp_path / "out"
    list(compress_shards(shards, out, quality=3))
    with pytest.raises(OutputError, match=r"a\.parquet: was made with quality 3, not 4; .* --force"):
        compress_shards(shards, out, quality=4)
    with pytest.raises(OutputError, match="was made with psnr False, not True"):
        compress_shards(shards, out, quality=3, psnr=True)
    (out / "other.parquet").write_bytes((out / "a.parquet").read_bytes())
    with pytest.raises(OutputError, match=r"other\.parquet: is not a result of this input"):
        compress_shards(shards, out, quality=3)
    (out / "other.parquet").rename(out / "c.parquet")
    (out / "a.parquet").write_text("damaged")
    with pytest.raises(OutputError, match=r"a\.parquet: is not a result of such a job"):
        compress_shards(shards, out, quality=3)
    for bad in (shards, shards / "out", tmp_path):
        with pytest.raises(ArgumentError, match="neither in the input"):
            compress_shards(shards, bad)


def test_an_unexpected_error_fails_its_shard_alone(shards, tmp_path, monkeypatch):
    usual = convert.open_shard

    def fails_once(shard, *rest):
        if shard.name == "c":
            raise RuntimeError("new")
        return usual(shard, *rest)

    monkeypatch.setattr(convert, "open_shard", fails_once)
    outcomes = {Path(each.input).name: each for each in compress_shards(shards, tmp_path / "out")}
    assert outcomes["c.parquet"].error == f"{shards}/c.parquet: unexpected error (RuntimeError: new)"
    assert [outcomes[f"{name}.parquet"].status for name in "ab"] == ["done", "done"]


@pytest.mark.parametrize("to", ["parquet", "webdataset", "files"])
def test_another_bundle_is_refused(shards, tmp_path, to):
    list(compress_shards(shards, tmp_path / "coded", to=to))
    outcomes = list(decompress_shards(tmp_path / "coded", tmp_path / "decoded", bundle="detail"))
    said = " ".join(filter(None, [text for each in outcomes for text in (each.error, *each.errors)]))
    assert "bundle default" in said.replace("'", "")
    assert sum(each.rows - each.failed_rows for each in outcomes) == 0


def test_damaged_rows_are_counted_and_the_rest_is_done(tmp_path, images):
    contents = [*map(png_bytes, images[:ROWS]), b"no image", None]
    write_parquet(tmp_path / "in/a.parquet", pa.array(contents, pa.binary()))
    (outcome,) = compress_shards(tmp_path / "in", tmp_path / "out")
    assert (outcome.status, outcome.rows, outcome.failed_rows) == ("done", ROWS + 2, 2)
    assert outcome.errors[1] == "image is null"
    assert payloads(tmp_path / "out") == [*Codec().compress_batch(images[:ROWS], bare=True), None, None]
    assert pq.read_table(tmp_path / "out/a.parquet")["status"].to_pylist() == ["done"] * ROWS + ["failed"] * 2
    (outcome,) = decompress_shards(tmp_path / "out", tmp_path / "images")
    assert (outcome.rows, outcome.failed_rows) == (ROWS + 2, 2)
    assert outcome.errors[1] == "image is null"


def test_a_damaged_shard_fails_alone(shards, tmp_path):
    content = (shards / "a.parquet").read_bytes()
    middle = len(content) // 3
    (shards / "a.parquet").write_bytes(content[:middle] + bytes(200) + content[middle + 200 :])
    (shards / "c.parquet").write_bytes(content[:-100])
    outcomes = {Path(each.input).name: each for each in compress_shards(shards, tmp_path / "out")}
    assert outcomes["b.parquet"].status == "done"
    assert outcomes["c.parquet"].status == "failed"
    assert outcomes["c.parquet"].error.startswith(f"{shards}/c.parquet: not a Parquet file, or damaged")
    damaged = outcomes["a.parquet"]
    assert damaged.status == "failed" or damaged.failed_rows
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(left) == sorted(f"{name}.parquet" for name in "ab"[damaged.status == "failed" :])


def test_a_payload_that_was_damaged_in_storage_fails_its_shard(shards, tmp_path):
    list(compress_shards(shards, tmp_path / "out"))
    path = tmp_path / "out/a.parquet"
    payload, content = payloads(tmp_path / "out")[3], path.read_bytes()
    assert content.count(payload) == 1
    path.write_bytes(content.replace(payload, bytes([payload[0] ^ 1]) + payload[1:]))
    outcomes = {Path(each.input).name: each for each in decompress_shards(tmp_path / "out", tmp_path / "images")}
    assert outcomes["a.parquet"].status == "failed"
    assert outcomes["a.parquet"].error.startswith(f"{path}: damaged")
    assert outcomes["b.parquet"].status == "done"


def test_inputs_that_are_no_shards_are_refused(shards, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        compress_shards(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no shards; their names end in one of .parquet, .tar, .png"):
        compress_shards(tmp_path / "empty", tmp_path / "out")
    write_tar(shards / "d.tar", [])
    with pytest.raises(InputError, match="contains Parquet files and tar files; give a folder with one kind"):
        compress_shards(shards, tmp_path / "out")
    (shards / "d.tar").unlink()
    outcomes = list(decompress_shards(shards, tmp_path / "out", column="image"))
    assert {each.status for each in outcomes} == {"failed"}
    assert "does not say which bundle and quality" in outcomes[0].error
    outcomes = list(compress_shards(shards, tmp_path / "out", column="img"))
    assert "no column 'img'; the columns are 'id', 'image', 'label'" in outcomes[0].error


@pytest.mark.parametrize(
    ("name", "value"), [("engine", "dask"), ("to", "csv"), ("workers", 0), ("quality", 0), ("fit", "x")]
)
def test_invalid_options_are_refused_before_anything_is_read(tmp_path, name, value):
    with pytest.raises(ArgumentError, match=f"{name} is {value!r}"):
        compress_shards(tmp_path, tmp_path / "out", **{name: value})


def test_a_shard_of_one_large_row_group_is_read_and_written_in_parts(tmp_path, images, monkeypatch):
    monkeypatch.setattr(writers, "_ROWS_PER_GROUP", 8)
    write_parquet(tmp_path / "in/a.parquet", images[:20])
    files = readers.RowFiles("image", (), 1)
    (shard,) = find.find_shards(tmp_path / "in", ())
    assert [len(batch.table) for batch in readers.open_shard(shard, files, 8).batches()] == [8, 8, 4]
    list(compress_shards(tmp_path / "in", tmp_path / "out"))
    assert pq.read_metadata(tmp_path / "out/a.parquet").num_row_groups == 3
    assert payloads(tmp_path / "out") == Codec().compress_batch(images[:20], bare=True)


PEAKS = """
from pathlib import Path
from fmae_edge.bulk.shards.convert import convert_shard
from fmae_edge.bulk.shards.job import compress_shards
for name in ("small", "large"):
    for task in compress_shards(name, f"{name}-out").tasks:
        assert convert_shard(task).status == "done"
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(peak.split()[1])
"""


def test_a_job_leaves_the_unfinished_results_of_another_job_alone(shards, tmp_path):
    """Two jobs may write to the same folder: each shard is that of one of them, complete."""
    (task, *_) = compress_shards(shards, tmp_path / "out", to="files").tasks
    with writers.open_target("files", task.target, pa.schema([]), task.job, ".fmae", "payload"):
        (unfinished,) = (tmp_path / "out").iterdir()
        (unfinished / "0.fmae").touch()
        assert statuses(compress_shards(shards, tmp_path / "out", to="files")) == ["done"] * 3
        assert (unfinished / "0.fmae").exists()
    assert sorted(path.name for path in task.target.iterdir()) == [writers.JOB_FILE, "0.fmae"]
    assert not list((tmp_path / "out").glob(".fmae-edge-*"))


def test_what_killed_workers_have_left_is_removed_at_the_end(shards, tmp_path):
    for name in ("out", "out/deeper"):
        (tmp_path / name / ".fmae-edge-0.folder").mkdir(parents=True)
        (tmp_path / name / ".fmae-edge-0.folder/0.fmae").touch()
        (tmp_path / name / ".fmae-edge-0.part").touch()
    assert statuses(compress_shards(shards, tmp_path / "out", to="files")) == ["done"] * 3
    assert not list((tmp_path / "out").rglob(".fmae-edge-?.*"))


def test_results_that_cannot_be_written_are_errors_in_a_sentence(shards, tmp_path):
    (tmp_path / "file").touch()
    (outcome, *_) = compress_shards(shards, tmp_path / "file/out")
    assert outcome.error == f"{tmp_path}/file/out/a.parquet: its folder cannot be made (Not a directory)"
    (tmp_path / "out/c").mkdir(parents=True)
    (tmp_path / "out/a").touch()
    job = compress_shards(shards, tmp_path / "out", to="files", force=True)
    outcomes = {Path(each.input).name: each for each in job}
    assert [outcomes[f"{name}.parquet"].status for name in "bc"] == ["done", "done"]
    assert outcomes["a.parquet"].error == f"{tmp_path}/out/a: cannot be written (Not a directory)"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_shard(tmp_path, images):
    """A row group of 20 batches needs little more than one of 2."""
    for name, batches in (("small", 2), ("large", 20)):
        some = np.tile(images, (4 * batches, 1, 1))
        write_parquet(
            tmp_path / name / "a.parquet", pa.FixedSizeListArray.from_arrays(pa.array(some.ravel()), 784)
        )
    command = [sys.executable, "-c", PEAKS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    small, large = map(int, done.stdout.split())
    assert large - small < 175_000  # kilobytes; many small tables that wait to be written took 214,000 and more
