"""A codec of a bundle in memory works like one of the folder, and does not need the folder."""

import copy
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fmae_edge import BundleError, Codec, InputError
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, Bundle, read_bundle
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME, FileEntry
from fmae_edge.runtime.self_test import GOLDEN_NAME

SHIPPED = read_bundle(DEFAULT_BUNDLE)
MADE = Bundle.of(SHIPPED.manifest, SHIPPED.files)


@pytest.mark.parametrize("bundle", [SHIPPED, MADE], ids=["read", "made"])
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_it_codes_as_a_codec_of_the_folder_does(images, bundle, precision):
    codec, expected = Codec.from_bundle(bundle, precision=precision), Codec(precision=precision)
    assert codec.manifest == expected.manifest
    np.testing.assert_array_equal(codec.encode(images[:9]), expected.encode(images[:9]))
    content = expected.compress_batch(images[:9])
    assert codec.compress_batch(images[:9]) == content
    np.testing.assert_array_equal(codec.decompress(content), expected.decompress(content))


def test_precision_and_threads_are_those_of_a_codec():
    assert repr(Codec.from_bundle(MADE, precision="fp32", threads=3)) == repr(Codec(precision="fp32", threads=3))
    with pytest.raises(InputError, match="precision is 'fp16'"):
        Codec.from_bundle(MADE, precision="fp16")
    with pytest.raises(InputError, match="threads is 0"):
        Codec.from_bundle(MADE, threads=0)
    with pytest.raises(InputError, match="expected a Bundle, or use Codec"):
        Codec.from_bundle(str(DEFAULT_BUNDLE))


def test_the_folder_may_be_deleted(images, bundle):
    read = read_bundle(bundle, only=())  # no file is read yet, not even the prior
    codec = Codec.from_bundle(read)
    shutil.rmtree(bundle)
    assert codec.compress(images[0]) == Codec().compress(images[0])
    with pytest.raises(BundleError, match=r"encoder\.fp32\.onnx is missing"):
        Codec.from_bundle(read, precision="fp32")


@pytest.mark.parametrize("copied", [lambda codec: pickle.loads(pickle.dumps(codec)), copy.copy, copy.deepcopy])
def test_a_copy_has_the_bundle_and_not_the_sessions(images, bundle, copied):
    codec = Codec.from_bundle(read_bundle(bundle), precision="fp32", threads=1)
    content = codec.compress(images[0])
    pickled_bytes = len(pickle.dumps(codec))
    needed = ("encoder.fp32.onnx", "decoder.fp32.onnx", PRIOR_NAME)
    assert pickled_bytes < sum(len(SHIPPED.files[name]) for name in needed) + 100_000
    shutil.rmtree(bundle)
    assert copied(codec).compress(images[0]) == content
    assert repr(copied(codec)) == repr(codec)


def test_a_bundle_made_in_memory_equals_the_one_that_is_read(bundle):
    assert (MADE.sha256, MADE.manifest, MADE.files) == (SHIPPED.sha256, SHIPPED.manifest, SHIPPED.files)
    (bundle / "manifest.json").write_text(MADE.manifest.to_json())
    assert read_bundle(bundle, expect_id=MADE.sha256) == replace(MADE, path=bundle)


def test_a_bundle_is_made_of_the_files_in_its_manifest_only():
    assert Bundle.of(SHIPPED.manifest, {**SHIPPED.files, "other": b""}).files.keys() == SHIPPED.files.keys()
    files = {name: content for name, content in SHIPPED.files.items() if name != GOLDEN_NAME}
    with pytest.raises(BundleError, match=rf"^bundle 'fashion-mnist': {GOLDEN_NAME} is missing"):
        Bundle.of(SHIPPED.manifest, files)


def test_a_bundle_made_in_memory_is_checked_as_one_in_a_folder():
    damaged = SHIPPED.files["decoder.onnx"][:-1] + b"\0"
    with pytest.raises(BundleError, match=r"decoder\.onnx does not match"):
        Bundle.of(SHIPPED.manifest, {**SHIPPED.files, "decoder.onnx": damaged})
    entries = {**SHIPPED.manifest.files, "decoder.onnx": FileEntry.of(b"no graph")}
    with pytest.raises(BundleError, match=r"bundle 'fashion-mnist': decoder\.onnx is not an ONNX graph"):
        Bundle.of(replace(SHIPPED.manifest, files=entries), {**SHIPPED.files, "decoder.onnx": b"no graph"})
    with pytest.raises(BundleError, match=r"manifest\.json is incomplete or invalid"):
        Bundle.of(replace(SHIPPED.manifest, image_height=0), SHIPPED.files)
