"""Arrays of images round-trip through real zarr stores, and numcodecs and zarr find the codec by its name."""

import pickle
import re
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr

from fmae_edge import BundleError, Codec, InputError
from fmae_edge.numcodecs import FmaeCodec as ChunkCodec
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE
from fmae_edge.zarr import FmaeCodec
from tests.conftest import REPOSITORY


def create(store, shape, chunks, codec, **options):
    return zarr.create_array(
        store, shape=shape, chunks=chunks, dtype="uint8", serializer=codec, compressors=None, **options
    )


def decoded(images, quality=5, bundle="default"):
    codec = Codec(bundle, threads=1)
    return codec.decompress_batch(codec.compress_batch(images, quality))


@pytest.mark.parametrize("quality", [2, 9])
def test_chunks_of_many_images_come_back_with_partial_ones_at_the_edge(tmp_path, images, quality):
    array = create(tmp_path / "a.zarr", (250, 28, 28), (100, 28, 28), FmaeCodec(quality=quality))
    array[:] = images[:250]
    again = zarr.open_array(tmp_path / "a.zarr", mode="r")
    (codec,) = again.metadata.codecs
    assert codec == FmaeCodec("default", quality)
    np.testing.assert_array_equal(again[:], decoded(images[:250], quality))
    np.testing.assert_array_equal(again[95:205:3], decoded(images[95:205:3], quality))
    stored = [path for path in (tmp_path / "a.zarr" / "c").rglob("*") if path.is_file()]
    assert len(stored) == 3
    assert Codec().decompress(min(stored).read_bytes()).shape == (100, 28, 28)  # .fmae files


def test_rgb_images_of_an_own_bundle(tmp_path, rgb_bundle, rgb_images):
    array = create(tmp_path / "a.zarr", rgb_images.shape, (5, 26, 20, 3), FmaeCodec(rgb_bundle))
    array[:] = rgb_images
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr")[:], decoded(rgb_images, 5, rgb_bundle))


@pytest.mark.parametrize(
    ("shape", "chunks", "shards"),
    [((28, 28), (28, 28), None), ((4, 6, 28, 28), (3, 2, 28, 28), None), ((24, 28, 28), (4, 28, 28), (8, 28, 28))],
)
def test_any_number_of_dimensions_before_an_image_and_shards(tmp_path, images, shape, chunks, shards):
    given = images[: max(1, np.prod(shape[:-2], dtype=int))]
    array = create(tmp_path / "a.zarr", shape, chunks, FmaeCodec(), shards=shards)
    array[...] = given.reshape(shape)
    np.testing.assert_array_equal(array[...].reshape(given.shape), decoded(given))


def test_the_entry_points_name_the_codec(tmp_path, images):
    named = {"name": "fmae_edge", "configuration": {"bundle": "default", "quality": 4}}
    array = create(tmp_path / "a.zarr", (10, 28, 28), (10, 28, 28), named)
    assert zarr.registry.get_codec_class("fmae_edge") is FmaeCodec
    assert array.metadata.codecs[0].to_dict() == named
    codec = numcodecs.get_codec({"id": "fmae_edge", "quality": 4})
    assert (type(codec), codec) == (ChunkCodec, ChunkCodec("default", 4))
    assert codec.get_config() == {"id": "fmae_edge", "bundle": "default", "quality": 4}
    expected = decoded(images[:10], 4)
    for each in (codec, pickle.loads(pickle.dumps(codec))):
        np.testing.assert_array_equal(each.decode(each.encode(images[:10])), expected)
    out = np.empty_like(expected)
    codec.decode(memoryview(codec.encode(images[:10])), out=out)
    np.testing.assert_array_equal(out, expected)


def test_numcodecs_in_a_store_of_zarr_v2(tmp_path, images):
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(25, 28, 28),
        chunks=(10, 28, 28),
        dtype="uint8",
        zarr_format=2,
        filters=[ChunkCodec(quality=6)],
        compressors=None,
    )
    array[:] = images[:25]
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr")[:], decoded(images[:25], 6))
    with pytest.raises(InputError, match="Fortran"):
        ChunkCodec().encode(np.asfortranarray(images[:3]))


@pytest.mark.parametrize("chunks", [(10, 28, 14), (10, 14, 28), (100, 28, 28, 1)])
def test_chunks_of_other_images_are_refused_when_the_array_is_created(tmp_path, chunks):
    with pytest.raises(InputError, match=r"the images of bundle default need \(\.\.\., 28, 28\)"):
        create(tmp_path / "a.zarr", tuple(4 * side for side in chunks), chunks, FmaeCodec())
    assert not list(tmp_path.rglob("zarr.json"))


def test_bad_input_is_refused(tmp_path, images):
    with pytest.raises(InputError, match="dtype uint16"):
        zarr.create_array(tmp_path / "a.zarr", shape=(9, 28, 28), dtype="uint16", serializer=FmaeCodec())
    with pytest.raises(InputError, match=r"has shape \(784,\)"):
        ChunkCodec().encode(images[0].reshape(-1))
    with pytest.raises(InputError, match="quality is 10"):
        FmaeCodec(quality=10)
    with pytest.raises(InputError, match="no 'level'"):
        numcodecs.get_codec({"id": "fmae_edge", "level": 3})
    with pytest.raises(InputError, match="configuration of fmae_edge is 3"):
        create(tmp_path / "c.zarr", (9, 28, 28), (9, 28, 28), {"name": "fmae_edge", "configuration": 3})
    with pytest.raises(InputError, match="bundle is 3"):
        ChunkCodec(bundle=3)
    with pytest.raises(BundleError, match="no such bundle folder"):
        create(tmp_path / "b.zarr", (9, 28, 28), (9, 28, 28), FmaeCodec("nothing"))
    assert FmaeCodec(DEFAULT_BUNDLE).bundle == "default"
    assert Path(FmaeCodec(Path("detail")).bundle).is_absolute()


def test_damaged_chunks_are_refused(tmp_path, images):
    array = create(tmp_path / "a.zarr", (10, 28, 28), (10, 28, 28), FmaeCodec())
    array[:] = images[:10]
    (chunk,) = (path for path in (tmp_path / "a.zarr" / "c").rglob("*") if path.is_file())
    content = chunk.read_bytes()
    for bad, message in (
        (content[:-2], "truncated"),
        (content[:-1] + b"\0\0", "check code"),
        (Codec("detail").compress_batch(images[:10]), "made by the bundle"),
        (Codec().compress_batch(images[:9]), r"images of shape \(9, 28, 28\)"),
    ):
        chunk.write_bytes(bad)
        with pytest.raises(InputError, match=message):
            array[:]


def test_the_examples_on_the_page_run(tmp_path, monkeypatch, capsys):
    programs = re.findall("```python\n(.*?)```", (REPOSITORY / "docs/zarr.md").read_text(), flags=re.S)
    monkeypatch.chdir(tmp_path)
    exec("".join(programs), names := {})
    assert capsys.readouterr().out == "(2, 28, 28)\n"
    assert names["images"].shape == (2500, 28, 28)
