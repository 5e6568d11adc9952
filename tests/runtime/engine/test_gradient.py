"""The gradient of the decoder's error is the slope of that error, and only those who ask for it read its graph."""

import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fmae_edge import BundleError, Codec
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import DECODER_NAME, GRADIENT_NAME
from fmae_edge.runtime.engine.graphs import GRAPHS, Graphs
from fmae_edge.runtime.engine.sessions import open_session
from fmae_edge.runtime.self_test import self_test
from tests.gradient_bundle import add_gradient


@pytest.fixture
def folder(bundle):
    """The default bundle, which a test may damage."""
    return bundle


def graphs_of(codec):
    return codec._graphs


def one_pass(codec, images):
    codec.decode(codec.encode(images))
    return codec.decompress(codec.compress(images[0]))


@pytest.mark.parametrize("kind", ["gray", "RGB"])
def test_it_is_the_slope_of_the_error_of_the_decoder(kind, request, images):
    """Central differences of the squared error, in float64, over one latent at a time."""
    folder = DEFAULT_BUNDLE if kind == "gray" else request.getfixturevalue("rgb_bundle")
    images = images[:4] if kind == "gray" else request.getfixturevalue("rgb_images")[:4]
    bundle = read_bundle(folder)
    graphs = Graphs(bundle, "int8", threads=1)
    decoder = open_session(bundle.files[DECODER_NAME], "decoder", threads=1)
    levels = images.reshape(*images.shape[:3], -1) / 255

    def squared_error(latents):
        (pixels,) = decoder.run(None, {"latent": latents.astype(np.float32)})
        return np.square(pixels.transpose(0, 2, 3, 1) - levels).sum(axis=(1, 2, 3), dtype=np.float64)

    latents = np.roll(graphs.encode(images), 1, axis=0)  # of other images, so that the slopes are large
    pixels, gradients = graphs.error_gradient(latents, images)
    assert pixels.shape == images.shape
    assert np.square(pixels.astype(float) - images / 255).sum() == pytest.approx(
        squared_error(latents).sum(), 1e-5
    )
    step = np.float32(1e-4)
    slopes = [
        (squared_error(latents + each) - squared_error(latents - each)) / (2 * step)
        for each in step * np.eye(latents.shape[1], dtype=np.float32)
    ]
    assert np.linalg.norm(np.transpose(slopes) - gradients) < 0.01 * np.linalg.norm(gradients)


@pytest.mark.parametrize("count", [0, 1, 16, 37])
def test_a_batch_has_the_results_of_its_images(images, count):
    graphs = Graphs(read_bundle(DEFAULT_BUNDLE), "int8", threads=1)
    latents = graphs.encode(images[:count])
    pixels, gradients = graphs.error_gradient(latents, images[:count])
    assert (pixels.shape, gradients.shape) == ((count, 28, 28), (count, 64))
    for at in range(count):
        alone = graphs.error_gradient(latents[at : at + 1], images[at : at + 1])
        np.testing.assert_allclose(pixels[at : at + 1], alone[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(gradients[at : at + 1], alone[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_the_same_in_both_precisions_and_on_any_number_of_threads(images, threads):
    codecs = [Codec(DEFAULT_BUNDLE, precision=precision, threads=threads) for precision in GRAPHS]
    latents = codecs[0].encode(images[:20])
    results = [graphs_of(codec).error_gradient(latents, images[:20])[1] for codec in codecs]
    np.testing.assert_array_equal(*results)


def test_coding_in_one_pass_reads_neither_the_graph_nor_the_float_decoder(folder, images):
    codec = Codec(folder)
    for name in (GRADIENT_NAME, DECODER_NAME):
        (folder / name).unlink()
    np.testing.assert_array_equal(one_pass(codec, images[:3]), one_pass(Codec(), images[:3]))
    assert graphs_of(codec).has_gradient
    with pytest.raises(BundleError, match=r"decoder\.gradient\.onnx is missing, so the bundle is incomplete"):
        graphs_of(codec).error_gradient(codec.encode(images[:1]), images[:1])
    np.testing.assert_array_equal(one_pass(codec, images[:3]), one_pass(Codec(), images[:3]))


@pytest.mark.parametrize("name", [GRADIENT_NAME, DECODER_NAME])
def test_a_file_that_changed_after_the_codec_was_made_is_refused(folder, images, name):
    codec = Codec(folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match=f"{name} does not match the SHA-256"):
        graphs_of(codec).error_gradient(codec.encode(images[:1]), images[:1])


def test_a_bundle_without_the_graph_has_no_gradient(rgb_bundle, images, tmp_path):
    shutil.copytree(DEFAULT_BUNDLE, tmp_path / "old")
    manifest = read_bundle(DEFAULT_BUNDLE).manifest
    entries = {name: entry for name, entry in manifest.files.items() if name != GRADIENT_NAME}
    (tmp_path / "old" / "manifest.json").write_text(replace(manifest, files=entries).to_json())
    codec = Codec(tmp_path / "old")
    assert not graphs_of(codec).has_gradient
    one_pass(codec, images[:2])
    with pytest.raises(BundleError, match=r"old: has no decoder\.gradient\.onnx; export the bundle again"):
        graphs_of(codec).error_gradient(codec.encode(images[:1]), images[:1])
    assert "gradient" not in [check.name for check in self_test(tmp_path / "old")]


def test_the_bundle_id_does_not_depend_on_it():
    with_it = read_bundle(DEFAULT_BUNDLE).manifest
    without = replace(with_it, files={name: each for name, each in with_it.files.items() if name != GRADIENT_NAME})
    assert with_it.bundle_id == without.bundle_id
    assert '"format_version": 3' in with_it.to_json()


@pytest.mark.parametrize("only", [None, ()], ids=["read", "not read yet"])
@pytest.mark.parametrize("copied", [lambda codec: codec, lambda codec: pickle.loads(pickle.dumps(codec))])
def test_a_codec_of_a_bundle_in_memory_needs_no_folder(folder, images, only, copied):
    codec = Codec.from_bundle(read_bundle(folder, only=only))
    expected = graphs_of(Codec(folder)).error_gradient(codec.encode(images[:2]), images[:2])
    shutil.rmtree(folder)
    found = graphs_of(copied(codec)).error_gradient(codec.encode(images[:2]), images[:2])
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_pickled_codec_of_a_folder_finds_it_again(folder, images):
    codec = Codec(folder)
    latents = codec.encode(images[:2])
    found, expected = (
        graphs_of(each).error_gradient(latents, images[:2])[1]
        for each in (pickle.loads(pickle.dumps(codec)), codec)
    )
    np.testing.assert_array_equal(found, expected)


def test_the_self_test_notices_a_wrong_gradient(folder, tmp_path):
    assert [check.passed for check in self_test(folder) if check.name == "gradient"] == [True]

    def without_relus(model):
        (zero,) = (tensor for tensor in model.graph.initializer if tensor.name == "gradient.zero")
        zero.raw_data = np.float32(-1).tobytes()  # every number is larger

    other = tmp_path / "wrong"
    other.mkdir()
    add_gradient(DEFAULT_BUNDLE, other, without_relus)
    assert [check.passed for check in self_test(other) if check.name == "gradient"] == [False]


def test_gradients_that_are_not_numbers_are_refused(images):
    graphs = Graphs(read_bundle(DEFAULT_BUNDLE), "int8", threads=1)
    with pytest.raises(BundleError, match=r"decoder\.gradient\.onnx returns gradients that are NaN or infinite"):
        graphs.error_gradient(np.full((1, 64), 3e38, np.float32), images[:1])
