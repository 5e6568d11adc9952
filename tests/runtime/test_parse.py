"""A parsed .fmae file decodes as its bytes do, and is not checked again."""

import copy
import pickle

import numpy as np
import pytest

from fmae_edge import Codec, InputError
from fmae_edge.runtime.format import fmae_file
from tests.manifest_changes import rewrite

CODEC = Codec()


@pytest.fixture
def contents(images):
    """A file of a single image, and a stack with names."""
    return CODEC.compress(images[0], 3), CODEC.compress_batch(images[:3], names=["a", "b", "c/d"])


CALLS = [
    CODEC.decompress,
    lambda file: CODEC.decompress(file, 0),
    CODEC.decompress_batch,
    CODEC.symbols,
    lambda file: list(CODEC.decompress_iter([file])),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_parsed_file_decodes_as_its_bytes_do(contents, call):
    for content in contents:
        np.testing.assert_array_equal(call(CODEC.parse(content)), call(content))


def test_a_parsed_file_is_described_as_its_bytes_are(contents):
    for content in contents:
        file = CODEC.parse(content)
        assert CODEC.inspect(file) == CODEC.inspect(content)
        assert CODEC.names(file) == CODEC.names(content) == file.names
        assert (file.bundle_id, file.file_bytes) == (CODEC.manifest.bundle_id, len(content))
    single, stack = map(CODEC.parse, contents)
    assert (single.single, single.quality, len(single.payloads)) == (True, 3, 1)
    assert (stack.single, stack.quality, len(stack.payloads)) == (False, 5, 3)


def test_a_stack_of_one_image_differs_from_a_single_image(images):
    stack, single = CODEC.parse(CODEC.compress_batch(images[:1])), CODEC.parse(CODEC.compress(images[0]))
    assert (stack.single, CODEC.decompress(stack).shape) == (False, (1, 28, 28))
    assert (single.single, CODEC.decompress(single).shape) == (True, (28, 28))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda file: pickle.loads(pickle.dumps(file))])
def test_a_parsed_file_goes_to_another_process(contents, copied):
    for content in contents:
        file = copied(copied(CODEC.parse(content)))
        np.testing.assert_array_equal(CODEC.decompress(file), CODEC.decompress(content))
        assert CODEC.inspect(file) == CODEC.inspect(content)


def test_check_codes_are_computed_once(contents, monkeypatch):
    computed = []

    def counted(name):
        compute = getattr(fmae_file, name)

        def count(*arguments):
            computed.append(name)
            return compute(*arguments)

        monkeypatch.setattr(fmae_file, name, count)

    counted("crc_hqx")
    counted("crc32")
    for content in contents:
        file = CODEC.parse(content)
        assert computed
        computed.clear()
        for call in (*CALLS, CODEC.inspect, CODEC.names):
            call(file)
        assert not computed
        CODEC.decompress(content)
        assert computed
        computed.clear()


def test_a_codec_of_another_bundle_refuses_a_parsed_file(contents, bundle):
    rewrite(bundle, lambda content: content["latent"]["steps"].__setitem__(0, 1.5))
    other = Codec(bundle)
    sentence = (
        f"parsed with bundle {CODEC.manifest.bundle_id}, but this codec has bundle {other.manifest.bundle_id}"
    )
    for content in contents:
        file = CODEC.parse(content)
        for call in (other.decompress, other.decompress_batch, other.symbols, other.names, other.inspect):
            with pytest.raises(InputError, match=sentence):
                call(file)
        with pytest.raises(InputError, match=f"file 0: was {sentence}"):
            next(other.decompress_iter([file]))


def test_a_codec_of_the_same_bundle_accepts_a_parsed_file(contents):
    for content in contents:
        other = Codec(precision="fp32")
        np.testing.assert_array_equal(other.decompress(CODEC.parse(content)), other.decompress(content))


def test_max_images_holds_for_parsed_files_too(contents):
    _, stack = contents
    with pytest.raises(InputError, match="claims 3 images, more than max_images=2"):
        CODEC.parse(stack, max_images=2)
    file = CODEC.parse(stack, max_images=3)
    for call in (CODEC.decompress, CODEC.decompress_batch, CODEC.symbols):
        with pytest.raises(InputError, match="claims 3 images, more than max_images=2"):
            call(file, max_images=2)


def test_parsing_refuses_what_decompressing_refuses(contents):
    damaged = [content[:-1] + bytes([content[-1] ^ 1]) for content in contents]
    too_long = fmae_file.pack_many([bytes(4 * 64 + 2)], 5, CODEC.manifest.bundle_id)
    for content in (*damaged, b"", b"text", "text", None, too_long):
        with pytest.raises(InputError) as decompressing:
            CODEC.decompress(content)
        with pytest.raises(InputError) as parsing:
            CODEC.parse(content)
        assert str(parsing.value) == str(decompressing.value)
