"""The repr of a codec, and decoding of the symbols that it reads from a file."""

import pickle

import numpy as np
import pytest

import fmae_edge
from fmae_edge import Codec, InputError

CODEC = Codec()


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_its_repr_shows_bundle_precision_and_threads(precision):
    codec = Codec(precision=precision, threads=3)
    manifest = codec.manifest
    expected = (
        f"<Codec 'fashion-mnist' {manifest.bundle_id}: images (28, 28), latents (64,), {precision}, threads=3>"
    )
    assert repr(codec) == repr(pickle.loads(pickle.dumps(codec))) == expected


def test_output_errors_can_be_caught_by_a_public_name():
    assert issubclass(fmae_edge.OutputError, fmae_edge.FmaeError)
    assert "OutputError" in fmae_edge.__all__


@pytest.mark.parametrize("quality", [1, 5, 9])
def test_symbols_of_a_file_decode_to_its_images(images, quality):
    some = np.concatenate([images] * 5)[:1100]  # more than are decoded in one part
    content = CODEC.compress_batch(some, quality)
    symbols, expected = CODEC.symbols(content), CODEC.decompress(content)
    assert symbols.dtype == np.int64
    for same in (symbols, symbols.astype(np.int16), symbols.astype(">i4"), list(symbols), symbols.tolist()):
        np.testing.assert_array_equal(CODEC.decode(same, quality), expected)
    one = CODEC.decode(symbols[0], quality)
    assert one.shape == (28, 28)
    assert np.abs(one.astype(int) - expected[0]).max() <= 1  # int8 graphs may round otherwise in a batch
    one = CODEC.compress(images[0], quality)
    np.testing.assert_array_equal(CODEC.decode(CODEC.symbols(one), np.int8(quality))[0], CODEC.decompress(one))


def test_int8_symbols_have_another_meaning_with_a_quality(images):
    symbols = CODEC.symbols(CODEC.compress_batch(images[:20], 5)).astype(np.int8)
    in_bundle_s_steps = symbols * np.array(CODEC.manifest.latent_steps, np.float32)
    np.testing.assert_array_equal(CODEC.decode(symbols), CODEC.decode(in_bundle_s_steps))
    assert (CODEC.decode(symbols) != CODEC.decode(symbols, 5)).any()


def test_latents_and_symbols_are_not_confused():
    with pytest.raises(
        InputError, match="dtype int64; expected float32 .* for symbols of a .fmae file, give quality"
    ):
        CODEC.decode(np.zeros(64, np.int64))
    for dtype in (np.float32, bool):
        with pytest.raises(InputError, match="with a quality, expected integers as Codec.symbols returns them"):
            CODEC.decode(np.zeros(64, dtype), 5)
    with pytest.raises(InputError, match=r"latents have shape \(63,\)"):
        CODEC.decode(np.zeros(63, np.int64), 5)
    for wrong in (0, 10, 2.5, True, "5"):
        with pytest.raises(InputError, match=f"quality is {wrong!r}"):
            CODEC.decode(np.zeros(64, np.int64), wrong)
