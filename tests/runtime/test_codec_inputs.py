"""Invalid arguments are refused with a message that names the value and what was expected."""

import numpy as np
import pytest
from PIL import Image

from fmae_edge import Codec, FmaeError, InputError


@pytest.fixture(scope="module")
def codec():
    return Codec()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((27, 28), np.uint8), r"\(27, 28\).*\(28, 28\)"),
        (np.zeros((2, 28, 29), np.uint8), r"\(2, 28, 29\)"),
        (np.zeros((2, 3, 28, 28), np.uint8), r"\(2, 3, 28, 28\)"),
        (np.zeros((1, 1, 1, 28, 28), np.uint8), r"\(1, 1, 1, 28, 28\)"),
        (np.uint8(3), r"shape \(\)"),
        (np.zeros((28, 28), np.int64), "int64.*uint8"),
        (np.zeros((28, 28), bool), "bool"),
        (np.zeros((28, 28), complex), "complex"),
        (np.full((28, 28), "x"), "<U1"),
        (np.full((28, 28), 255.0), "255"),
        (np.full((28, 28), -0.01), "-0.01"),
        (np.full((28, 28), np.nan), "NaN"),
        (np.full((28, 28), np.inf), "infinity"),
    ],
)
def test_wrong_images(codec, images, message):
    with pytest.raises(InputError, match=message):
        codec.encode(images)


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (np.zeros(63, np.float32), r"\(63,\).*\(64,\)"),
        (np.zeros((2, 2, 64), np.float32), r"\(2, 2, 64\)"),
        (np.float32(0), r"shape \(\)"),
        (np.zeros(64, np.float64), "float64.*float32"),
        (np.zeros(64, np.uint8), "uint8"),
        (np.full(64, np.nan, np.float32), "NaN"),
        (np.full(64, -np.inf, np.float16), "infinity"),
    ],
)
def test_wrong_latents(codec, latents, message):
    with pytest.raises(InputError, match=message):
        codec.decode(latents)


def test_wrong_options(codec):
    with pytest.raises(InputError, match="float64"):
        codec.encode(np.zeros((28, 28), np.uint8), dtype="float64")
    with pytest.raises(InputError, match="fp16"):
        Codec(precision="fp16")
    for threads in (0, -1, 1.5, "2", True, 1025):
        with pytest.raises(InputError, match=f"threads is {threads!r}"):
            Codec(threads=threads)


def test_a_dtype_is_a_name_or_a_type(codec, images):
    for name in ("float32", "float16", "int8"):
        np.testing.assert_array_equal(codec.encode(images, getattr(np, name)), codec.encode(images, name))
    for wrong in ("nonsense", np.int32, 3, ("f4", "f2"), {}):
        with pytest.raises(InputError, match="dtype of latents is"):
            codec.encode(images, wrong)


def test_arrays_of_integers_are_not_integers(codec, images):
    assert codec.compress(images[0], quality=np.array(3)) == codec.compress(images[0], quality=3)
    with pytest.raises(InputError, match=r"quality is array\(\[3\]\); expected an integer"):
        codec.compress(images[0], quality=np.array([3]))


def test_a_bundle_must_be_a_path():
    for bundle in (5, b"bundle", ["bundle"]):
        with pytest.raises(InputError, match="bundle is .*; expected the path of a folder"):
            Codec(bundle)


def test_a_stack_of_one_is_one_image(codec, images):
    content = codec.compress(images[0])
    for one in (images[:1], images[:1, None], [images[0]]):
        assert codec.compress(one) == content
        assert list(codec.compress_iter([one, one])) == [content, content]


@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 1, 28, 28), (0, 28, 28), (1, 2, 28, 28), (1, 1, 1, 28, 28)])
def test_a_message_shows_the_shape_of_the_argument(codec, shape):
    some = np.zeros(shape, np.uint8)
    said = r"images have shape \(" + ", ".join(map(str, shape)) + r"\); expected"
    with pytest.raises(InputError, match=said):
        codec.compress(some)
    with pytest.raises(InputError, match="image 0: " + said):
        list(codec.compress_iter([some]))


def test_ragged_lists(codec):
    with pytest.raises(InputError, match="array"):
        codec.encode([np.zeros((28, 28), np.uint8), np.zeros((27, 28), np.uint8)])
    with pytest.raises(InputError, match="array"):
        codec.decode([[0.0], [0.0, 1.0]])


def test_arrays_of_any_layout_and_byte_order(codec, images):
    expected = codec.encode(images[:4])
    frozen = images[:4].copy()
    frozen.setflags(write=False)
    swapped = (images[:4] / 255).astype(">f4")
    for same in (frozen, frozen[::-1][::-1], swapped, swapped.astype(">f8"), np.asfortranarray(images[:4])):
        np.testing.assert_array_equal(codec.encode(same), expected)
    content = codec.compress_batch(frozen)
    np.testing.assert_array_equal(codec.decompress(content), codec.decompress(codec.compress_batch(swapped)))


def test_shapes_out_match_those_in(codec, images):
    latents = codec.encode(images[:3])
    for given, gives in (
        ((28, 28), (64,)),
        ((1, 28, 28), (1, 64)),
        ((3, 28, 28), (3, 64)),
        ((3, 1, 28, 28), (3, 64)),
    ):
        some = images[: int(np.prod(given)) // 784].reshape(given)
        found = codec.encode(some)
        assert found.shape == gives
        np.testing.assert_allclose(found, latents[: len(np.atleast_2d(found))].reshape(gives), atol=1e-4)
        assert codec.decode(found).shape == ((28, 28) if given == (28, 28) else (given[0], 28, 28))


def test_any_object_with_an_array_is_accepted(codec, images):
    expected = codec.encode(images[0])
    image = Image.fromarray(images[0])
    np.testing.assert_array_equal(codec.encode(image), expected)
    assert codec.compress(image) == codec.compress(images[0])


class _Raises:
    def __array__(self, dtype=None, copy=None):
        raise KeyError("nothing here")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (_Raises(), "nothing here"),
        (np.zeros((28, 28), np.int64), "int64"),
        (Image.new("L", (27, 28)), r"\(28, 27\)"),
        (None, "object"),
        ("img.png", "<U7"),
        (b"\x89PNG", "S4"),
        ({"a": 1}, "object"),
    ],
)
def test_objects_that_are_not_images_are_named(codec, given, message):
    for call in (codec.encode, codec.compress, codec.compress_batch):
        with pytest.raises(InputError, match=message):
            call(given)


def test_errors_are_value_errors_of_one_family():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, FmaeError)


def test_big_endian_latents_are_read(codec, images):
    latents = codec.encode(images[:4])
    np.testing.assert_array_equal(codec.decode(latents.astype(">f4")), codec.decode(latents))


def test_symbols_are_steps(codec, images):
    latents, symbols = codec.encode(images), codec.encode(images, dtype="int8")
    steps = np.array(codec.manifest.latent_steps, np.float32)
    inside = np.abs(latents) <= 127 * steps
    assert inside.mean() > 0.999
    assert (np.abs(symbols * steps - latents) <= 0.5001 * steps)[inside].all()
    assert (np.abs(symbols[~inside]) == 127).all()
