"""fmae-edge bulk: what the library does, with a line per shard, a summary, and exit codes."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmae_edge import Codec
from fmae_edge.bulk import local
from fmae_edge.bulk.shards import convert
from fmae_edge.data.image_file import png_bytes
from tests.commands.json_lines import require_valid


@pytest.fixture
def shards(tmp_path, images, monkeypatch):
    """Two Parquet files in the folder `in`, converted in this process."""
    monkeypatch.setattr(local, "run_tasks", lambda tasks, workers: map(convert.convert_shard, tasks))
    (tmp_path / "in").mkdir()
    for number in range(2):
        column = pa.array(list(map(png_bytes, images[number * 5 : number * 5 + 5])), pa.binary())
        pq.write_table(pa.table({"image": column}), tmp_path / f"in/{number}.parquet")
    return tmp_path


def test_a_round_trip_and_a_second_run_for_people(cli, shards, images):
    done = cli("bulk", "compress", "in", "out", "--quality", "7")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("in/0.parquet -> out/0.parquet  (5 rows, ")
    assert done.stderr.startswith("2 shards done, 0 skipped, 0 failed; 10 rows, 0 of them failed, ")
    assert pq.read_table(shards / "out/1.parquet")["payload"].to_pylist() == Codec().compress_batch(
        images[5:10], 7, bare=True
    )
    done = cli("bulk", "compress", "in", "out", "--quality", "7")
    assert (done.returncode, done.stdout.splitlines()[1]) == (
        0,
        "in/1.parquet -> out/1.parquet  (finished, skipped)",
    )
    done = cli("bulk", "decompress", "out", "images", "--to", "files", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = Codec().decompress_batch(Codec().compress_batch(images[5:10], 7, bare=True), bare=True, quality=7)
    assert (shards / "images/1/000000004.png").read_bytes() == png_bytes(expected[4])


def test_json_lines_and_exit_codes(cli, shards):
    done = cli("bulk", "compress", "in", "out", "--json")
    *records, last = require_valid("bulk", done.stdout, 3)
    assert [(each["status"], each["rows"], each["errors"]) for each in records] == [("done", 5, [])] * 2
    assert {name: last["summary"][name] for name in ("shards", "done", "rows")} == {
        "shards": 2,
        "done": 2,
        "rows": 10,
    }
    pq.write_table(pa.table({"image": pa.array([b"bad"])}), shards / "in/0.parquet")
    (shards / "in/1.parquet").write_text("bad")
    done = cli("bulk", "compress", "in", "out", "--json")
    first, second, last = require_valid("bulk", done.stdout, 3)
    assert done.returncode == 1
    assert (first["status"], first["failed_rows"]) == ("done", 1)
    assert first["errors"] == ["image: not an image file of a known format, or its start is damaged"]
    assert (second["status"], second["output"]) == ("failed", None)
    assert "in/1.parquet: not a Parquet file, or damaged" in done.stderr
    assert (last["summary"]["failed"], last["summary"]["failed_rows"]) == (1, 1)


def test_errors_name_options(cli, shards):
    for arguments, code, sentence in (
        (("in", "out", "--workers", "0"), 2, "--workers is '0'; expected an integer"),
        (("in", "in"), 2, "OUT is in; expected a folder neither in the input in nor around it"),
        (("in", "out", "--bundle", "nothing"), 1, "nothing: no such bundle folder"),
        (("nothing", "out"), 1, "nothing: no such file or folder"),
    ):
        done = cli("bulk", "compress", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert sentence in done.stderr


def test_ctrl_c_says_how_to_continue(cli, shards, monkeypatch):
    def interrupted(tasks, workers):
        yield convert.convert_shard(tasks[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "run_tasks", interrupted)
    done = cli("bulk", "compress", "in", "out", "--json")
    assert done.returncode == 130
    assert "interrupted after 1 of 2 shards; to continue, run the same command again" in done.stderr
    require_valid("bulk", done.stdout, 2)


def test_the_group_and_its_commands_have_help(cli):
    assert "decompress" in cli("bulk", "--help").stdout
    for command in ("compress", "decompress"):
        text = cli("bulk", command, "--help").stdout
        assert f"fmae-edge bulk {command} " in text.split("Example:\n  ")[1]
