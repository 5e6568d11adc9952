"""The search for cheaper symbols never raises the cost, and ends where no single move lowers it."""

from itertools import product

import numpy as np
import pytest

from fmae_edge.runtime.entropy import search as module
from fmae_edge.runtime.entropy.search import LEVELS, Descent, Problem, search


class LinearCodec:
    """Symbols times a random matrix are pixels; the bits of a symbol do not depend on the others."""

    def __init__(self, size, pixels, seed, bit_cost):
        random = np.random.default_rng(seed)
        self.size = size
        self.basis = random.normal(0, 30, (size, pixels)).astype(np.float32)
        self.images = random.normal(0, 60, (10, pixels)).astype(np.float32)
        self.decoded = []  # how many images each call decoded
        self.problem = Problem(bit_cost, self.decode, self.count_bits, self.bits_near)
        self.descent = Descent(self.gradient, 0.2)

    def decode(self, symbols):
        self.decoded.append(len(symbols))
        return (symbols @ self.basis).astype(np.float32)

    def count_bits(self, symbols):
        return np.log2(1 + abs(symbols)).sum(axis=1) * 2

    def bits_near(self, symbols):
        return np.stack([2 * np.log2(1 + abs(symbols + offset)) for offset in (-1, 0, 1)])

    def gradient(self, symbols, rows):
        difference = symbols @ self.basis - self.images[rows]
        slopes = 2 * difference @ self.basis.T
        return np.square(difference).sum(axis=1).astype(np.float32), slopes.astype(np.float32)

    def costs(self, symbols):
        errors = np.square(symbols @ self.basis - self.images).sum(axis=1)
        return errors + self.problem.bit_cost * self.count_bits(symbols)

    def search(self, start, effort, with_gradient):
        descent = self.descent if with_gradient else None
        return search(np.asarray(start, np.float32), self.images, effort, self.problem, descent)


both = pytest.mark.parametrize("with_gradient", [True, False], ids=["gradient", "all moves"])


@both
def test_no_effort_costs_more_than_rounding_and_more_effort_costs_less(with_gradient):
    codec = LinearCodec(12, 40, seed=0, bit_cost=500.0)
    start = np.random.default_rng(1).normal(0, 2, (10, 12))
    rounded = codec.costs(np.rint(start).astype(np.int64))
    means = [rounded.mean()]
    for effort in range(1, len(LEVELS) + 1):
        now = codec.costs(codec.search(start, effort, with_gradient))
        assert (now <= rounded + 1e-3).all()
        means.append(now.mean())
    assert (np.diff(means) <= 0.01 * means[0]).all()
    assert means[-1] < 0.7 * means[0]


def test_a_round_with_all_moves_ends_where_no_single_move_helps():
    codec = LinearCodec(5, 20, seed=2, bit_cost=300.0)
    found = np.zeros((10, 5), np.int64)
    for _ in range(6):
        found = codec.search(found, 9, with_gradient=False)
    reached = codec.costs(found)
    for latent, by in product(range(5), (-1, 1)):
        moved = found.copy()
        moved[:, latent] += by
        assert (codec.costs(moved) >= reached - 1e-3).all()


def test_steps_along_the_gradient_alone_lower_the_cost(monkeypatch):
    codec = LinearCodec(12, 40, seed=5, bit_cost=50.0)
    start = np.random.default_rng(6).normal(0, 2, (10, 12))
    monkeypatch.setattr(module, "LEVELS", (module.Level(40, 0, 1),))
    found = codec.search(start, 1, with_gradient=True)
    assert codec.costs(found).mean() < 0.6 * codec.costs(np.rint(start).astype(np.int64)).mean()


@pytest.mark.parametrize("slope", [1e25, np.inf])
def test_gradients_that_overflow_do_not_reach_the_symbols(slope):
    codec = LinearCodec(6, 20, seed=7, bit_cost=50.0)
    steep = Descent(lambda symbols, rows: (np.ones(len(rows), np.float32), np.full(symbols.shape, slope)), 0.2)
    start = np.random.default_rng(8).normal(0, 2, (10, 6)).astype(np.float32)
    with np.errstate(all="raise"):
        found = search(start, codec.images, 9, codec.problem, steep)
    assert (codec.costs(found) <= codec.costs(np.rint(start).astype(np.int64)) + 1e-3).all()


@pytest.mark.parametrize("numbers", [1, 50, 200, 500])
@both
def test_images_that_do_not_fit_into_memory_are_searched_on_a_part_of_their_pixels(
    numbers, with_gradient, monkeypatch
):
    """12 latents and 40 pixels are 960 numbers; the costs are those of all pixels all the same."""
    codec = LinearCodec(12, 40, seed=0, bit_cost=500.0)
    start = np.random.default_rng(1).integers(-2, 3, (10, 12))
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", numbers)
    found = codec.search(start, 9, with_gradient)
    before, after = codec.costs(start), codec.costs(found)
    assert (after <= before + 1e-3).all()
    assert after.mean() < 0.9 * before.mean()
    assert max(codec.decoded) <= max(1, numbers // 40)


@both
def test_free_bits_minimise_the_error_and_expensive_bits_the_rate(with_gradient):
    free, dear = (LinearCodec(5, 20, seed=3, bit_cost=cost) for cost in (0.0, 1e9))
    start = np.full((10, 5), 1)
    cheapest = dear.search(start, 9, with_gradient)
    assert not cheapest.any()
    assert free.costs(free.search(start, 9, with_gradient)).sum() < free.costs(cheapest).sum()


def test_a_move_that_costs_a_little_is_not_made():
    """A round tries the first 1, 2, 4, ... moves, or all: here three help, and the fourth would cost 0.5."""

    def decode(symbols):
        return symbols.astype(np.float32) * 10

    def no_bits(symbols):
        return np.zeros(len(symbols))

    problem = Problem(0.0, decode, no_bits, lambda symbols: np.zeros((3, *symbols.shape), np.float32))
    image = np.array([[10, 10, 10, 4.975]], np.float32)
    found = search(np.zeros((1, 4), np.float32), image, 1, problem, None)
    np.testing.assert_array_equal(found, [[1, 1, 1, 0]])


def greedy(products, toward, rates, latent):
    """Return the moves of one image in order, computed move by move."""
    order, toward = [], toward.copy()
    while True:
        costs = {
            move: products[move, move] + rates[move] - 2 * toward[move]
            for move in range(len(rates))
            if latent[move] not in latent[order]
        }
        if not costs or min(costs.values()) >= 0:
            return order
        order.append(min(costs, key=costs.get))
        toward -= products[order[-1]]


def test_collections_are_the_first_moves_of_each_image_in_greedy_order():
    random = np.random.default_rng(7)
    changes = random.normal(0, 1, (20, 9, 30)).astype(np.float32)
    products = changes @ changes.transpose(0, 2, 1)
    toward = random.normal(8, 12, (20, 9)).astype(np.float32)
    rates = random.normal(0, 5, (20, 9))
    latent = random.integers(0, 6, (20, 9))
    orders = [greedy(*each) for each in zip(products, toward, rates, latent, strict=True)]
    assert len(set(map(len, orders))) > 3
    found = [set() for _ in range(20)]
    for images, taken in module._collections(products, toward, rates, latent):
        for image, moves in zip(images, taken, strict=True):
            found[image].add(frozenset(np.flatnonzero(moves)))
    for order, collections in zip(orders, found, strict=True):
        lengths = {length for length in (1, 2, 4, 8) if length <= len(order)} | ({len(order)} if order else set())
        assert collections == {frozenset(order[:length]) for length in lengths}


@both
def test_no_images(with_gradient):
    codec = LinearCodec(5, 20, seed=4, bit_cost=1.0)
    codec.images = codec.images[:0]
    assert codec.search(np.zeros((0, 5)), 3, with_gradient).shape == (0, 5)
