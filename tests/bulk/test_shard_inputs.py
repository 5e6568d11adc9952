"""Inputs of jobs over shards: columns of Parquet files, tar files, and single files in groups."""

import errno
import os
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmae_edge import Codec
from fmae_edge.bulk.shards import find, readers
from fmae_edge.bulk.shards.job import compress_shards
from fmae_edge.data.image_file import png_bytes
from fmae_edge.data.image_limits import max_image_bytes
from fmae_edge.runtime.errors import InputError
from tests.bulk.job_shards import payloads, statuses, write_parquet, write_tar

ROWS = 10
pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.mark.parametrize(
    "column",
    [
        lambda some: pa.FixedSizeListArray.from_arrays(pa.array(some.ravel()), 784),
        lambda some: pa.array(some.reshape(len(some), -1).tolist(), pa.list_(pa.int16())),
        lambda some: pa.array(some.tolist(), pa.list_(pa.list_(pa.uint8()))),
        lambda some: pa.FixedShapeTensorArray.from_numpy_ndarray(some),
        lambda some: pa.array([{"bytes": png_bytes(each), "path": None} for each in some]),
        lambda some: pa.array(list(map(png_bytes, some)), pa.large_binary()),
    ],
)
def test_columns_of_images_may_have_any_of_the_usual_types(tmp_path, images, column):
    write_parquet(tmp_path / "in/a.parquet", column(images[:ROWS].copy()))
    list(compress_shards(tmp_path / "in", tmp_path / "out"))
    assert payloads(tmp_path / "out") == Codec().compress_batch(images[:ROWS], bare=True)


def test_lists_of_different_lengths_and_missing_levels_fail_alone(tmp_path, images):
    whole = images[0].ravel().tolist()
    for name, bad in (("short", whole[:-1]), ("missing", [None, *whole[1:]])):
        write_parquet(tmp_path / name / "a.parquet", pa.array([whole, bad, whole], pa.list_(pa.uint8())))
        (outcome,) = compress_shards(tmp_path / name, tmp_path / f"{name}-out")
        assert (outcome.rows, outcome.failed_rows) == (3, 1)
        expected = Codec().compress(images[0], bare=True)
        assert payloads(tmp_path / f"{name}-out") == [expected, None, expected]


def test_tables_that_cannot_be_read_are_refused_in_a_sentence(tmp_path, images):
    one = pa.array([png_bytes(images[0])])
    for name, table, problem in (
        (
            "times",
            pa.table({"image": pa.array([1], pa.timestamp("ns"))}),
            "column 'image' is timestamp[ns]; expected",
        ),
        ("twice", pa.table([one, one, one], ["image", "x", "x"]), "2 columns are named 'x'; rename all but one"),
    ):
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "a.parquet")
        (outcome,) = compress_shards(tmp_path / name, tmp_path / "out")
        assert outcome.error.startswith(f"{tmp_path}/{name}/a.parquet: {problem}")


@pytest.mark.parametrize("name", ["a.parquet", "a.tar"])
def test_what_is_not_a_regular_file_fails_alone(tmp_path, images, name):
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / name)  # reading it would wait forever
    (tmp_path / f"in/link-{name}").symlink_to(tmp_path / "nothing")
    outcomes = list(compress_shards(tmp_path / "in", tmp_path / "out"))
    expected = [f"{path}: is missing or not a regular file" for path in sorted((tmp_path / "in").iterdir())]
    assert [each.error for each in outcomes] == expected


def test_folders_that_cannot_be_searched_are_not_passed_over(tmp_path, monkeypatch):
    def walk(folder, onerror):
        onerror(PermissionError(errno.EACCES, "Permission denied", f"{folder}/secret"))
        return []

    monkeypatch.setattr("os.walk", walk)
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=r"in/secret: cannot be read \(Permission denied\)"):
        find.find_shards(tmp_path / "in", ())


def test_names_that_are_not_utf_8_fail_alone(tmp_path, images):
    first, second = map(png_bytes, images[:2])
    write_tar(tmp_path / "tars/a.tar", [("\udcff.png", first), ("ok.png", second)])
    (tmp_path / "files").mkdir()
    (tmp_path / "files/\udcff.png").write_bytes(first)
    (tmp_path / "files/ok.png").write_bytes(second)
    for name in ("tars", "files"):
        (outcome,) = compress_shards(tmp_path / name, tmp_path / f"{name}-out")
        assert (outcome.rows, outcome.failed_rows) == (2, 1)
        assert "'\\udcff' is a name that is not valid UTF-8" in outcome.errors[0]
        coded = Codec().compress(images[1], bare=True)
        assert set(payloads(tmp_path / f"{name}-out")) == {coded, None}
    write_tar(tmp_path / "suffix/a.tar", [("a.png", first), ("a.\udcff", second)])
    (tmp_path / "parquet").mkdir()
    (tmp_path / "parquet/\udcff.parquet").touch()
    for name in ("suffix", "parquet"):
        (outcome,) = compress_shards(tmp_path / name, tmp_path / f"{name}-out")
        assert "not valid UTF-8" in outcome.error


def test_samples_whose_other_members_are_too_large_fail_alone(tmp_path, images, monkeypatch):
    monkeypatch.setattr(readers, "_MOST_OTHER_BYTES", 5)
    image = png_bytes(images[0])
    write_tar(
        tmp_path / "in/a.tar", [("0.png", image), ("0.json", b"123456"), ("1.png", image), ("1.json", b"12345")]
    )
    (outcome,) = compress_shards(tmp_path / "in", tmp_path / "out")
    assert outcome.errors == ("sample '0' has a .json of more than 5 bytes",)
    assert pq.read_table(tmp_path / "out/a.parquet")["json"].to_pylist() == [b"", b"12345"]


def test_names_with_dots_are_explained(tmp_path, images):
    image = png_bytes(images[0])
    for count, said in (
        (2, "it has '.0.png, .1.png', from the first dot on"),
        (101, "more than 100 suffixes, one is"),
    ):
        write_tar(tmp_path / f"{count}/a.tar", [(f"photo.{number}.png", image) for number in range(count)])
        (outcome,) = compress_shards(tmp_path / f"{count}", tmp_path / "out", force=True)
        assert said in (outcome.error or outcome.errors[0])


def test_a_name_that_is_also_a_folder_fails_alone(tmp_path, images):
    image = png_bytes(images[0])
    write_tar(
        tmp_path / "in/a.tar",
        [("a.png", image), ("a.fmae/b.png", image), ("c.fmae/d.png", image), ("c.png", image)],
    )
    (outcome,) = compress_shards(tmp_path / "in", tmp_path / "out", to="files")
    assert [error.split(" is the name")[0] for error in outcome.errors] == ["'a.fmae/b.fmae'", "'c.fmae'"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("?.fmae") if path.is_file()) == [
        "a.fmae",
        "d.fmae",
    ]


def test_samples_of_a_tar_file_keep_their_other_members(tmp_path, images):
    first, second = map(png_bytes, images[:2])
    members = [
        ("x/0.PNG", first),
        ("x/0.cls", b"3"),
        ("x/1.cls", b"4"),
        ("x/1.jpg", second),
        ("x/1.seg.txt", b"s"),
    ]
    members += [
        ("x/2.cls", b"5"),
        ("x/3.png", first),
        ("x/3.jpg", second),
        ("__meta__/0.png", first),
        ("bare", b""),
    ]
    write_tar(tmp_path / "in/a.tar", members)
    (outcome,) = compress_shards(tmp_path / "in", tmp_path / "out")
    table = pq.read_table(tmp_path / "out/a.parquet")
    assert table["key"].to_pylist() == ["x/0", "x/1", "x/2", "x/3"]
    assert table["cls"].to_pylist() == [b"3", b"4", b"5", None]
    assert table["seg.txt"].to_pylist() == [None, b"s", None, None]
    assert table["payload"].to_pylist() == [*Codec().compress_batch(images[:2], bare=True), None, None]
    assert table["status"].to_pylist() == ["done", "done", "failed", "failed"]
    assert "'x/2' has no member that ends in .png" in outcome.errors[0]
    assert "'x/3' has several members" in outcome.errors[1]
    list(compress_shards(tmp_path / "in", tmp_path / "tar", to="webdataset"))
    with tarfile.open(tmp_path / "tar/a.tar") as tar:
        assert tar.getnames() == ["x/0.fmae", "x/0.cls", "x/1.fmae", "x/1.cls", "x/1.seg.txt"]
        assert tar.extractfile("x/1.fmae").read() == Codec().compress(images[1])


@pytest.mark.parametrize("cut", [lambda second: 0, lambda second: 100, lambda second: 600, lambda second: second])
def test_a_truncated_tar_file_fails(tmp_path, images, cut):
    write_tar(tmp_path / "whole.tar", [(f"{number}.png", png_bytes(images[number])) for number in range(3)])
    with tarfile.open(tmp_path / "whole.tar") as tar:
        second = tar.getmembers()[1].offset  # of which nothing is missing if the file ends there
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.tar").write_bytes((tmp_path / "whole.tar").read_bytes()[: cut(second)])
    (outcome,) = compress_shards(tmp_path / "in", tmp_path / "out")
    assert outcome.status == "failed"
    assert outcome.error.startswith(f"{tmp_path}/in/a.tar: ")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_the_first_errors_of_a_shard_are_kept(tmp_path, images):
    members = [*((f"{number}.png", b"damaged") for number in range(5)), ("5.png", png_bytes(images[0]))]
    write_tar(tmp_path / "in/a.tar", members)
    (outcome,) = compress_shards(tmp_path / "in", tmp_path / "out")
    assert (outcome.rows, outcome.failed_rows, len(outcome.errors)) == (6, 5, 3)
    assert payloads(tmp_path / "out")[-1] == Codec().compress(images[0], bare=True)


def test_a_member_is_read_up_to_one_byte_over_the_limit(tmp_path):
    """So the decoder sees that it is too large, and memory stays bounded."""
    write_tar(tmp_path / "a.tar", [("0.png", bytes(20)), ("0.cls", bytes(20))])
    (shard,) = find.find_shards(tmp_path / "a.tar", ())
    (batch,) = readers.open_shard(shard, readers.RowFiles("image", (".png",), 10), 8).batches()
    assert batch.table.to_pylist() == [{"key": "0", "image": bytes(11), "cls": bytes(20)}]


def test_names_that_lead_out_of_the_output_fail(tmp_path, images):
    image = png_bytes(images[0])
    write_tar(
        tmp_path / "in/a.tar",
        [("../up.png", image), ("/root.png", image), ("ok.png", image), ("b/../ok.png", image)],
    )
    for to in ("files", "webdataset"):
        (outcome,) = compress_shards(tmp_path / "in", tmp_path / to, to=to)
        assert (outcome.rows, outcome.failed_rows) == (4, 3)
        assert "cannot be the name of an image" in outcome.errors[0]
    assert [path.name for path in tmp_path.rglob("*.fmae")] == ["ok.fmae"]


def test_single_files_are_shards_in_groups(tmp_path, images, monkeypatch):
    monkeypatch.setattr(find, "FILES_PER_SHARD", 4)
    for number in range(ROWS):
        path = tmp_path / f"in/{number % 2}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(images[number]))
    path.write_bytes(bytes(1 + max_image_bytes((28, 28))))
    outcomes = list(compress_shards(tmp_path / "in", tmp_path / "out"))
    assert [(each.rows, each.failed_rows) for each in outcomes] == [(4, 0), (4, 0), (2, 1)]
    assert "more than the limit of" in outcomes[2].errors[0]
    table = pa.concat_tables([pq.read_table(path) for path in sorted((tmp_path / "out").iterdir())])
    numbers = [0, 2, 4, 6, 8, 1, 3, 5, 7]
    assert table["key"].to_pylist()[:-1] == [f"{number % 2}/{number}" for number in numbers]
    assert table["payload"].to_pylist()[:-1] == Codec().compress_batch(images[numbers], bare=True)
    (tmp_path / "in/0/00.png").write_bytes(png_bytes(images[0]))  # all groups change
    assert statuses(compress_shards(tmp_path / "in", tmp_path / "out")) == ["done"] * 3
    (tmp_path / "in/0/00.png").write_bytes(png_bytes(images[0]) + b" ")  # the first one changes its size
    assert statuses(compress_shards(tmp_path / "in", tmp_path / "out")) == ["done", "skipped", "skipped"]
