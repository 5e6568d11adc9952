"""The search for cheaper symbols never raises the cost, and ends where no single move lowers it."""

from itertools import product

import numpy as np
import pytest

from fmae_edge.runtime.entropy.search import search


def linear_codec(size, pixels, seed):
    random = np.random.default_rng(seed)
    basis = random.normal(0, 30, (size, pixels)).astype(np.float32)

    def decode(symbols):
        return (symbols @ basis).astype(np.float32)

    def count_bits(symbols):
        return np.log2(1 + abs(symbols)).sum(axis=1) * 2

    images = random.normal(0, 60, (10, pixels)).astype(np.float32)
    return decode, count_bits, images


def costs(symbols, images, bit_cost, decode, count_bits):
    return np.square(decode(symbols) - images).sum(axis=1) + bit_cost * count_bits(symbols)


def test_each_round_costs_no_more_than_the_one_before():
    decode, count_bits, images = linear_codec(12, 40, seed=0)
    symbols = np.random.default_rng(1).integers(-2, 3, (10, 12))
    before = costs(symbols, images, 500.0, decode, count_bits)
    start = before.mean()
    for rounds in (1, 2, 5, 9):
        now = costs(search(symbols, images, 500.0, rounds, decode, count_bits), images, 500.0, decode, count_bits)
        assert (now <= before + 1e-3).all()
        before = now
    assert now.mean() < 0.7 * start


def test_search_ends_where_no_single_move_helps():
    decode, count_bits, images = linear_codec(5, 20, seed=2)
    found = search(np.zeros((10, 5), np.int64), images, 300.0, 50, decode, count_bits)
    reached = costs(found, images, 300.0, decode, count_bits)
    for latent, by in product(range(5), (-1, 1)):
        moved = found.copy()
        moved[:, latent] += by
        assert (costs(moved, images, 300.0, decode, count_bits) >= reached - 1e-3).all()


@pytest.mark.parametrize("numbers", [1, 50, 200, 500])
def test_images_that_do_not_fit_into_memory_are_searched_on_a_part_of_their_pixels(numbers, monkeypatch):
    """12 latents and 40 pixels are 960 numbers; the costs are those of all pixels all the same."""
    decode, count_bits, images = linear_codec(12, 40, seed=0)
    start = np.random.default_rng(1).integers(-2, 3, (10, 12))
    monkeypatch.setattr("fmae_edge.runtime.entropy.search._NUMBERS_AT_ONCE", numbers)
    decoded = []

    def noting(symbols):
        decoded.append(len(symbols))
        return decode(symbols)

    found = search(start, images, 500.0, 9, noting, count_bits)
    before, after = (costs(symbols, images, 500.0, decode, count_bits) for symbols in (start, found))
    assert (after <= before + 1e-3).all()
    assert after.mean() < 0.9 * before.mean()
    assert max(decoded) <= max(1, numbers // 40)


def test_free_bits_minimise_the_error_and_expensive_bits_the_rate():
    decode, count_bits, images = linear_codec(5, 20, seed=3)
    start = np.full((10, 5), 1)
    dear = search(start, images, 1e9, 9, decode, count_bits)
    assert not dear.any()
    free = search(start, images, 0.0, 9, decode, count_bits)
    assert costs(free, images, 0, decode, count_bits).sum() < costs(dear, images, 0, decode, count_bits).sum()


def test_a_move_that_costs_a_little_is_not_made():
    """A round tries the first 1, 2, 4, ... moves, or all: here three help, and the fourth would cost 0.5."""

    def decode(symbols):
        return symbols.astype(np.float32) * 10

    def count_bits(symbols):
        return np.zeros(len(symbols))

    image = np.array([[10, 10, 10, 4.975]], np.float32)
    found = search(np.zeros((1, 4), np.int64), image, 0.0, 1, decode, count_bits)
    np.testing.assert_array_equal(found, [[1, 1, 1, 0]])


def test_zero_images_and_zero_rounds():
    decode, count_bits, images = linear_codec(5, 20, seed=4)
    assert search(np.zeros((0, 5), np.int64), images[:0], 1.0, 3, decode, count_bits).shape == (0, 5)
    start = np.ones((10, 5), np.int64)
    assert (search(start, images, 1.0, 0, decode, count_bits) == start).all()
