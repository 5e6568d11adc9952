"""The prior of the shipped bundle: every way to compute its rows gives the same, and unsafe priors are refused."""

import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from fmae_edge import BundleError
from fmae_edge.runtime.bundle.bundle import DEFAULT_BUNDLE, read_bundle
from fmae_edge.runtime.bundle.manifest import PRIOR_NAME
from fmae_edge.runtime.bundle.safetensors_file import read_tensors
from fmae_edge.runtime.entropy.prior import MAX_SYMBOL, read_prior
from fmae_edge.runtime.entropy.symbol_bits import SymbolBits
from fmae_edge.runtime.entropy.symbol_coder import decode_symbols, encode_symbols

BUNDLE = read_bundle(DEFAULT_BUNDLE, only=[PRIOR_NAME])
CONTENT = BUNDLE.files[PRIOR_NAME]
STEPS = BUNDLE.manifest.qualities.steps
PRIOR = read_prior(CONTENT, 64, STEPS, "the prior")


def some_symbols(count, seed=0):
    """Return symbols as of images, symbols unlike any image's, and the largest symbols."""
    random = np.random.default_rng(seed)
    symbols = np.rint(random.normal(0, 1, (count, 64)) * np.geomspace(0.2, 40, count)[:, None]).astype(np.int64)
    symbols[-2:] = random.choice([-MAX_SYMBOL, MAX_SYMBOL], (2, 64))
    return symbols


def reference_rows(tensors, symbols, quality):
    """Return [(centre, row)] of all latents of one image, in Python integers as spec/format.md specifies."""

    def layer(name, x):
        weights, bias, shift = (tensors[f"{name}.{part}"].tolist() for part in ("weights", "bias", "shift"))
        row = bias[quality if len(bias) > 1 else 0]
        sums = (
            sum(a * line[out] for a, line in zip(x, weights, strict=True)) + row[out] for out in range(len(row))
        )
        return [total >> by for total, by in zip(sums, shift, strict=True)]

    def clip(values, least, most):
        return [min(max(value, least), most) for value in values]

    found, widths = [], len(tensors["tables"]) // 16
    group = 0
    while len(found) < len(symbols):
        x = clip([symbol * STEPS[quality] for symbol in symbols[: len(found)]], -2047, 2047)
        x = clip(layer(f"groups.{group}.0", x), 0, 1023)
        x = clip(layer(f"groups.{group}.1", x), 0, 1023)
        y = layer(f"groups.{group}.2", x)
        for mean, width in zip(y[: len(y) // 2], y[len(y) // 2 :], strict=True):
            place = mean // STEPS[quality] + 8
            width = min(max(width - int(tensors["narrower"][quality]), 0), widths - 1)
            found.append((place >> 4, 16 * width + (place & 15)))
        group += 1
    return found


def rows_of(prior, symbols, quality):
    known = prior.known(symbols, quality)
    pairs = [prior.predict(index, known, quality) for index in range(len(prior.places))]
    return [np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True)]


@pytest.mark.parametrize("quality", [0, 4, 8])
def test_rows_are_those_of_python_integers(quality):
    symbols = some_symbols(6)
    tensors = read_tensors(CONTENT, "the prior")
    centres, rows = rows_of(PRIOR, symbols, quality)
    for image in range(len(symbols)):
        expected = reference_rows(tensors, symbols[image].tolist(), quality)
        assert list(zip(centres[image].tolist(), rows[image].tolist(), strict=True)) == expected


def test_rows_are_the_same_in_float64_and_for_one_image_and_many():
    def wider(layer):
        return layer._replace(**{name: getattr(layer, name).astype(np.float64) for name in ("weights", "bias")})

    groups = tuple(group._replace(layers=tuple(map(wider, group.layers))) for group in PRIOR.groups)
    exact = PRIOR._replace(groups=groups)
    symbols = some_symbols(300)
    for quality in range(9):
        expected = rows_of(PRIOR, symbols, quality)
        backwards = rows_of(PRIOR, symbols[::-1], quality)
        for each, wider_each, reversed_each in zip(
            expected, rows_of(exact, symbols, quality), backwards, strict=True
        ):
            np.testing.assert_array_equal(wider_each, each)
            np.testing.assert_array_equal(reversed_each[::-1], each)
        alone = rows_of(PRIOR, symbols[7:8], quality)
        np.testing.assert_array_equal(alone[0][0], expected[0][7])
        np.testing.assert_array_equal(alone[1][0], expected[1][7])


def test_files_are_the_same_with_one_blas_thread_and_many():
    program = (
        "import hashlib; from tests.runtime.entropy.test_prior import *\n"
        "files = encode_symbols(PRIOR, some_symbols(3000), 4)\n"
        "assert (decode_symbols(PRIOR, files, 64, 4) == some_symbols(3000)).all()\n"
        "print(hashlib.sha256(b'|'.join(files)).hexdigest())"
    )
    hashes = set()
    for threads in ("1", "4"):
        counts = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        done = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | counts, capture_output=True, text=True, check=True
        )
        hashes.add(done.stdout)
    assert len(hashes) == 1


def test_groups_see_only_what_is_decoded_before_them():
    symbols = some_symbols(50)
    for index, place in enumerate(PRIOR.places):
        known = PRIOR.known(symbols, 3)
        changed = known.copy()
        changed[:, place.start :] += 1000
        for before, after in zip(PRIOR.predict(index, known, 3), PRIOR.predict(index, changed, 3), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("quality", [0, 8])
@pytest.mark.parametrize("count", [3, 300])
def test_any_symbols_come_back(count, quality):
    symbols = some_symbols(count, seed=1)
    payloads = encode_symbols(PRIOR, symbols, quality)
    np.testing.assert_array_equal(decode_symbols(PRIOR, payloads, 64, quality), symbols)
    for image in (0, count - 1):
        assert encode_symbols(PRIOR, symbols[image : image + 1], quality) == [payloads[image]]
        np.testing.assert_array_equal(
            decode_symbols(PRIOR, payloads[image : image + 1], 64, quality)[0], symbols[image]
        )


def test_payloads_take_less_than_half_a_byte_more_than_the_cross_entropy():
    symbols = some_symbols(2000)
    lengths = np.array([len(payload) for payload in encode_symbols(PRIOR, symbols, 4)])
    excess = lengths - SymbolBits(PRIOR, 4).count(symbols) / 8
    assert 0.2 < excess.mean() < 0.5


def test_arbitrary_bytes_decode_to_the_same_symbols_alone_and_together():
    random = np.random.default_rng(3)
    payloads = [random.bytes(int(length)) for length in random.integers(0, 60, 40)]
    together = decode_symbols(PRIOR, payloads, 64, 2)
    for row, payload in zip(together, payloads, strict=True):
        np.testing.assert_array_equal(decode_symbols(PRIOR, [payload], 64, 2)[0], row)


def test_a_prior_may_consist_of_tables_only():
    random = np.random.default_rng(0)
    sizes = random.integers(1, 500, (9 * 5, 64))
    starts = np.minimum(np.cumsum(sizes, axis=1) - sizes, 65000 + np.arange(64)).astype(np.uint16)
    tensors = {"centres": random.integers(-3, 4, (9, 5)).astype(np.int32), "tables": starts}
    prior = read_prior(safetensors.numpy.save(tensors), 5, STEPS, "tables")
    symbols = random.integers(-60, 60, (50, 5))
    payloads = encode_symbols(prior, symbols, 8)
    np.testing.assert_array_equal(decode_symbols(prior, payloads, 5, 8), symbols)
    np.testing.assert_array_equal(decode_symbols(prior, payloads[:1], 5, 8), symbols[:1])


def tables_around(centre):
    """Return a prior of tables only, for 16 latents, with distributions around `centre`."""
    starts = np.tile(np.arange(64) * 1000, (16, 1)).astype(np.uint16)
    tensors = {"centres": np.full((9, 16), centre, np.int32), "tables": np.tile(starts, (9, 1))}
    return read_prior(safetensors.numpy.save(tensors), 16, STEPS, "tables")


@pytest.mark.parametrize("centre", [32736, -32736])
def test_tables_do_not_reach_beyond_the_largest_symbol(centre):
    furthest = np.full((1, 16), MAX_SYMBOL * np.sign(centre))
    prior = tables_around(centre)
    payloads = encode_symbols(prior, furthest, 0)
    assert len(payloads[0]) < 16  # no escape, which takes two bytes
    np.testing.assert_array_equal(decode_symbols(prior, payloads, 16, 0), furthest)
    with pytest.raises(BundleError, match="centres"):
        tables_around(centre + int(np.sign(centre)))


def test_bytes_at_the_end_of_their_interval_are_one_symbol_in_both_decoders():
    starts = (
        np.arange(64)[None].astype(np.uint16).repeat(16, axis=0)
    )  # nearly all of it is the interval of the escape
    tensors = dict(read_tensors(CONTENT, "the prior")) | {"tables": starts}
    prior = read_prior(safetensors.numpy.save(tensors), 64, STEPS, "escapes")
    together = decode_symbols(prior, [b"\xff" * 300] * 8, 64, 0)
    np.testing.assert_array_equal(together[:1], decode_symbols(prior, [b"\xff" * 300], 64, 0))
    assert together.max() == MAX_SYMBOL


def broken(change):
    tensors = {name: array.copy() for name, array in read_tensors(CONTENT, "the prior").items()}
    change(tensors)
    return safetensors.numpy.save(tensors)


def outgrow(tensors):
    tensors["groups.3.1.weights"] = np.full(tensors["groups.3.1.weights"].shape, 127, np.int8)
    tensors["groups.3.1.bias"][:] = 1 << 23


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (outgrow, "sums under 2\\^24 in groups.3.1"),
        (lambda tensors: tensors.pop("groups.2.0.bias"), "groups.2.0.bias"),
        (lambda tensors: tensors.update(narrower=np.zeros(8, np.int32)), "narrower"),
        (lambda tensors: tensors.update(narrower=np.zeros((9, 1), np.int32)), "narrower"),
        (lambda tensors: tensors.update(tables=tensors["tables"][:0]), "tables"),
        (lambda tensors: tensors.update(another=np.zeros(1, np.int32)), "no other tensors"),
        (lambda tensors: tensors["tables"][5, 10:12].fill(7), "tables"),
        (lambda tensors: tensors.update(tables=tensors["tables"][:, :-1]), "tables"),
        (lambda tensors: tensors["groups.1.2.shift"].fill(24), "shift"),
        (lambda tensors: tensors.update({"groups.1.2.weights": np.zeros((4, 3), np.int16)}), "groups.1"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(change, sentence):
    with pytest.raises(BundleError, match=sentence):
        read_prior(broken(change), 64, STEPS, "the prior")


def test_a_shift_of_23_is_the_largest():
    content = broken(lambda tensors: tensors["groups.1.2.shift"].fill(23))
    assert read_prior(content, 64, STEPS, "the prior").groups[1].layers[2].weights.any()


@pytest.mark.parametrize(
    "content", [b"", b"x" * 7, b"\xff" * 40, CONTENT[:1000], CONTENT[8:], b"\2\0\0\0\0\0\0\0[]"]
)
def test_a_file_that_is_not_a_safetensors_file_is_refused(content):
    with pytest.raises(BundleError):
        read_prior(content, 64, STEPS, "the prior")
