"""Rows: payloads equal those of Codec, a bad row fails alone, and the callables travel light."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from fmae_edge import Codec
from fmae_edge.bulk import rows
from fmae_edge.bulk.payload_format import KEY, PayloadFormat, read_format
from fmae_edge.bulk.rows import Compress, Decompress
from fmae_edge.data.image_file import png_bytes
from fmae_edge.runtime.errors import ArgumentError, BundleError, FmaeError, InputError


def objects(*values):
    column = np.empty(len(values), object)
    column[:] = values
    return column


def test_payloads_equal_those_of_the_codec_and_come_back(images):
    batch = {"id": np.arange(40), "image": images[:40]}
    coded = Compress(quality=7, psnr=True)(batch)
    assert list(coded) == ["id", "image", "payload", "bits", "psnr", "status", "error"]
    assert list(coded["payload"]) == Codec().compress_batch(images[:40], 7, bare=True)
    assert coded["bits"].tolist() == [8 * len(payload) for payload in coded["payload"]]
    assert set(coded["status"]) == {"done"}
    assert set(coded["error"]) == {""}
    back = Decompress(quality=7)({"payload": coded["payload"]})
    expected = Codec().decompress_batch(list(coded["payload"]), bare=True, quality=7)
    np.testing.assert_array_equal(back["image"], expected)
    error = np.square((images[:40] - expected.astype(float)) / 255).mean(axis=(1, 2))
    np.testing.assert_allclose(coded["psnr"], -10 * np.log10(error))


@pytest.mark.parametrize(
    "image",
    [
        lambda image: png_bytes(image),
        lambda image: memoryview(png_bytes(image)),
        lambda image: image,
        lambda image: image.ravel(),
        lambda image: image.astype(np.int16),
        lambda image: image.tolist(),
    ],
)
def test_an_image_may_be_encoded_or_levels_in_any_shape(images, image):
    (payload,) = Compress(column="x")({"x": objects(image(images[0]))})["payload"]
    assert payload == Codec().compress(images[0], bare=True)


def test_bad_rows_fail_alone_and_say_why(images):
    bad = {
        "image is null": None,
        "not an image file": b"no image",
        "truncated": png_bytes(images[0])[:-20],
        "the image is 8x9 and must be 28x28": png_bytes(np.zeros((9, 8), np.uint8)),
        "shape (9, 8); expected (28, 28)": np.zeros((9, 8), np.uint8),
        "levels from -1 to -1": np.full((28, 28), -1),
        "levels from 0 to 256": np.where(images[0] > 0, 256, 0),
        "expected the bytes of an image file": "text",
        "is 1.5; expected": 1.5,
        "one array": [[1], [2, 3]],
    }
    coded = Compress(psnr=True)({"image": objects(images[1], *bad.values(), png_bytes(images[2]))})
    assert coded["status"].tolist() == ["done", *["failed"] * len(bad), "done"]
    for sentence, error in zip(bad, coded["error"][1:-1], strict=True):
        assert sentence in error
    assert list(coded["payload"][1:-1]) == [None] * len(bad)
    assert np.isnan(coded["psnr"][1:-1]).all()
    assert coded["bits"][1:-1].sum() == 0
    for row, image in ((0, images[1]), (-1, images[2])):
        assert coded["payload"][row] == Codec().compress(image, bare=True)


def test_bad_payloads_fail_alone_and_rows_that_failed_before_keep_their_error(images):
    payload = Codec().compress(images[0], bare=True)
    batch = {
        "payload": objects(payload, None, bytes(1000), "text", None, None),
        "status": objects("done", "done", "done", "done", "failed", "failed"),
        "error": objects("", "", "", "", "image is null", None),
    }
    back = Decompress(quality=5)(batch)
    assert back["status"].tolist() == ["done", *["failed"] * 5]
    assert back["error"][1] == "payload is null"
    assert "more than one image can take" in back["error"][2]
    assert "expected bytes" in back["error"][3]
    assert back["error"][4] == "image is null"
    assert back["error"][5] == "payload has the status failed"
    np.testing.assert_array_equal(back["image"][0], Codec().decompress(payload, bare=True, quality=5))
    assert not back["image"][1:].any()


def test_files_have_their_own_quality_and_check_their_bundle(images):
    files = [Codec().compress(images[0], 2), Codec().compress(images[1], 9), Codec().compress_batch(images[:2])]
    other = Codec("detail").compress(images[0])
    back = Decompress(png=True)({"payload": objects(*files, other, files[0][:-1])})
    assert back["status"].tolist() == ["done", "done", "failed", "failed", "failed"]
    assert back["image"][1] == png_bytes(Codec().decompress(files[1]))
    assert "2 images; expected one" in back["error"][2]
    assert "detail" in back["error"][3]


def test_rgb_and_no_rows(rgb_bundle, rgb_images):
    compress = Compress(rgb_bundle)
    coded = compress({"image": rgb_images})
    flat = compress({"image": rgb_images.reshape(len(rgb_images), -1)})
    assert (
        list(coded["payload"]) == list(flat["payload"]) == Codec(rgb_bundle).compress_batch(rgb_images, bare=True)
    )
    back = Decompress(rgb_bundle, quality=5)(coded)["image"]
    assert back.shape == rgb_images.shape
    for empty in (rgb_images[:0], objects()):
        assert len(compress({"image": empty})["payload"]) == 0
    assert len(Decompress(rgb_bundle, quality=5)({"payload": objects()})["image"]) == 0


def test_a_pickle_is_small_and_a_process_opens_one_codec(images):
    compress = Compress(quality=3, effort=1)
    first = compress({"image": images[:2]})
    pickled = pickle.dumps(compress)
    assert len(pickled) < 1000
    opened = rows._codec_of_process.cache_info().misses
    again = [pickle.loads(pickled)({"image": images[:2]}) for _ in range(3)]
    assert all(list(each["payload"]) == list(first["payload"]) for each in again)
    assert rows._codec_of_process.cache_info().misses == opened


def test_a_worker_refuses_a_bundle_that_changed_under_the_job(bundle, images):
    pickled = pickle.dumps(Compress(bundle))
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(BundleError, match="expected"):
        pickle.loads(pickled)({"image": images[:1]})


PROGRAM = """
import os, sys
for name in ("PIL", "pyarrow", "ray", "pyspark", "typer"):
    sys.modules[name] = None
from fmae_edge.bulk.rows import Compress, Decompress
import numpy as np
compress = Compress(psnr=True)
os.environ["OMP_NUM_THREADS"] = "3"  # after the callable was made, as an engine does
print(len(compress({"image": np.zeros((2, 28, 28), np.uint8)})["payload"]), compress._bundle.codec())
try:
    compress({"image": [b"no image"]})
except Exception as error:
    print(type(error).__name__, error)
"""


def test_numpy_and_onnxruntime_are_enough_and_threads_follow_the_engine():
    environment = {name: value for name, value in os.environ.items() if name != "FMAE_EDGE_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("2 ")
    assert "threads=3" in first
    assert second.startswith("FmaeError column 'image' has encoded images, which need ")
    assert second.endswith("pip install pillow")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"quality": 10}, "quality is 10"),
        ({"effort": 10}, "effort is 10"),
        ({"fit": "stretch"}, "fit is 'stretch'"),
        ({"column": ""}, "column is ''"),
        ({"psnr": "yes"}, "psnr is 'yes'"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_invalid_options_are_refused_before_the_job_starts(options, problem):
    with pytest.raises(InputError, match=problem):
        Compress(**options)


def test_a_missing_column_names_the_others(images):
    with pytest.raises(InputError, match="no column 'image'; the columns are 'id', 'img'"):
        Compress()({"id": np.arange(2), "img": images[:2]})
    with pytest.raises(InputError, match="drops zero bytes"):
        Compress()({"image": np.array([b"a", b"b"])})
    assert issubclass(ArgumentError, FmaeError)


def test_the_description_of_payloads_names_the_bundle_that_made_them():
    ours = Compress(quality=7).format
    assert read_format({KEY: ours.to_json().encode()}, "t") == ours == PayloadFormat(ours.bundle_id, 7, (28, 28))
    assert read_format({}, "t") is read_format(None, "t") is None
    with pytest.raises(
        InputError, match=r"t: the payloads were made with bundle .* the built-in bundle 'default', not"
    ):
        ours.require_bundle(Codec("detail").manifest.bundle_id, "t")
    changed = ours.to_json().replace("7", "17", 1).encode()
    for text in (b"", b"{}", b"[]", b'{"format": 1}', changed, b"[" * 100_000):
        with pytest.raises(InputError, match="^t: ") as raised:
            read_format({KEY: text}, "t")
        assert len(str(raised.value)) < 300
    with pytest.raises(InputError, match="format 2; this version reads 1"):
        read_format({KEY: ours.to_json().replace('"format": 1', '"format": 2').encode()}, "t")
