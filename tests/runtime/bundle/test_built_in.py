"""The built-in bundles have names. A name means the built-in bundle, in any folder and after pickling."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from fmae_edge import BundleError, Codec, InputError
from fmae_edge.runtime.bundle import built_in
from fmae_edge.runtime.bundle.built_in import (
    built_in_folder,
    built_in_names,
    find_bundle,
    is_built_in,
    name_of,
)
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import GRADIENT_NAME, GRAPH_NAMES, MANIFEST_NAME, PRIOR_NAME
from fmae_edge.runtime.self_test import GOLDEN_NAME, self_test
from tests.manifest_changes import rewrite

NAMES = built_in_names()


def test_the_names():
    assert NAMES == ("default", "detail")
    assert built_in_folder("default") == DEFAULT_BUNDLE


@pytest.mark.parametrize("name", NAMES)
def test_each_is_complete_and_small(name):
    folder = built_in_folder(name)
    bundle = read_bundle(folder)
    assert set(bundle.files) == {*GRAPH_NAMES, GRADIENT_NAME, PRIOR_NAME, GOLDEN_NAME}
    assert {file.name for file in folder.iterdir()} == {*bundle.files, MANIFEST_NAME}
    assert bundle.manifest.image_shape == (28, 28)
    assert bundle.manifest.record["parity"]["failures"] == []
    assert len(bundle.files["encoder.onnx"]) + len(bundle.files["decoder.onnx"]) < 3_000_000
    assert max(map(len, bundle.files.values())) < 5_000_000


@pytest.mark.parametrize("name", NAMES)
def test_each_computes_its_golden_vectors(name):
    checks = self_test(built_in_folder(name))
    assert len(checks) == 7
    assert all(check.passed for check in checks), checks


def test_detail_keeps_more_of_an_image_and_takes_more_bytes(images):
    def measured(codec):
        content = codec.compress_batch(images, 9)
        return len(content), np.square(codec.decompress(content) - images.astype(np.float64)).mean()

    (fewer, worse), (more, better) = measured(Codec()), measured(Codec("detail"))
    assert fewer < more < 6 * fewer
    assert better < worse / 1.6  # 2 dB


def test_a_name_is_the_same_bundle_as_its_folder(images):
    for name in NAMES:
        codec = Codec(name)
        content = codec.compress(images[0])
        assert content == Codec(built_in_folder(name)).compress(images[0])
        np.testing.assert_array_equal(Codec(name).decompress(content), codec.decompress(content))
    assert Codec().compress(images[0]) == Codec("default").compress(images[0])


def test_a_name_means_the_built_in_bundle_and_a_path_the_folder(tmp_path, bundle, monkeypatch):
    rewrite(bundle, lambda content: content.update(name="mine"))
    bundle.rename(tmp_path / "detail")
    monkeypatch.chdir(tmp_path)
    assert Codec("detail").manifest == read_bundle(built_in_folder("detail")).manifest
    for path in ("./detail", str(tmp_path / "detail"), Path("detail"), tmp_path / "detail"):
        assert Codec(path).manifest.name == "mine"
    assert find_bundle("detail") == built_in_folder("detail")
    assert find_bundle("./detail") == Path("detail")
    (tmp_path / "detail").rename(tmp_path / "other")
    assert Codec("other").manifest.name == "mine"


def test_a_name_needs_no_current_folder(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Codec("detail").manifest.latent_size > 64


@pytest.mark.parametrize("name", ["detial", "Detail", "fashion-mnist"])
def test_a_name_that_is_neither_lists_the_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=f"^{name}: no such bundle folder; the built-in bundles are default and"):
        Codec(name)


@pytest.mark.parametrize("path", ["./detial", "a/detail", Path("detial")])
def test_a_path_that_does_not_exist_is_no_misspelt_name(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="no such bundle folder$"):
        Codec(path)


def test_neither_a_path_nor_a_name():
    for bundle in (b"detail", 5, ["detail"]):
        with pytest.raises(InputError, match="expected the path of a folder or the name of a bundle"):
            Codec(bundle)


@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_has_the_name_and_pins_the_content(name, images, bundle, monkeypatch):
    codec = Codec(built_in_folder(name))
    pickled = pickle.dumps(codec)
    assert str(DEFAULT_BUNDLE.parent).encode() not in pickled  # another machine has another path
    assert pickle.loads(pickled).compress(images[0]) == codec.compress(images[0])
    # That machine may have a release whose bundle of this name is another one
    rewrite(bundle, lambda content: content.update(name="changed"))
    (bundle.parent / name).symlink_to(bundle)
    monkeypatch.setattr(built_in, "_BUNDLES", bundle.parent)
    with pytest.raises(BundleError, match="expected bundle "):
        pickle.loads(pickled)


def test_a_name_can_be_pinned():
    bundle_id = Codec("detail").manifest.bundle_id
    assert Codec("detail", expect_id=bundle_id).manifest.bundle_id == bundle_id
    with pytest.raises(BundleError, match="expected bundle "):
        Codec("default", expect_id=bundle_id)


@pytest.mark.parametrize(("made_with", "read_with"), [NAMES, NAMES[::-1]])
def test_a_file_of_another_built_in_bundle_names_it(images, made_with, read_with):
    codec = Codec(made_with)
    for content in (codec.compress(images[0]), codec.compress_batch(images[:3])):
        with pytest.raises(InputError) as caught:
            Codec(read_with).decompress(content)
        assert str(caught.value).startswith("made by the bundle whose id begins with ")
        assert str(caught.value).endswith(
            f'decompress it with the built-in bundle {made_with}: Codec("{made_with}") or --bundle {made_with}'
        )


def test_a_file_of_another_bundle_does_not(images, bundle):
    rewrite(bundle, lambda content: content["latent"].update(steps=[0.5] * 64))
    content = Codec(bundle).compress(images[0])
    with pytest.raises(InputError, match="decompress it with the bundle that compressed it$"):
        Codec().decompress(content)


def test_a_damaged_built_in_bundle_does_not_hide_the_names_of_others(bundle, monkeypatch):
    (bundle.parent / "broken").mkdir()
    (bundle.parent / "broken" / MANIFEST_NAME).write_text("{}")
    monkeypatch.setattr(built_in, "_BUNDLES", bundle.parent)
    built_in._names_by_id.cache_clear()
    try:
        assert name_of(Codec().manifest.bundle_id[:4]) == "bundle"
        assert name_of("0123") is None
    finally:
        built_in._names_by_id.cache_clear()


def test_is_built_in(bundle):
    assert is_built_in(DEFAULT_BUNDLE)
    assert is_built_in(DEFAULT_BUNDLE / ".." / "default")
    assert not is_built_in(bundle)
