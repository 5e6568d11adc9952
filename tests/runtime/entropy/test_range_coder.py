"""The range coder decodes what it encoded, in few more bytes than the information of the intervals."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fmae_edge.runtime.entropy.range_coder import TOTAL, Decoder, SingleDecoder, encode

INTERVALS = st.tuples(st.integers(0, TOTAL - 1), st.integers(0, TOTAL)).map(
    lambda pair: (pair[0], min(pair[1], TOTAL - pair[0]))
)


def skewed(count, steps, seed):
    """Return intervals of symbols with a narrow distribution."""
    random = np.random.default_rng(seed)
    sizes = np.maximum((random.dirichlet(np.full(20, 0.1)) * 60000).astype(int), 1)
    sizes[0] += TOTAL - sizes.sum()
    symbols = random.choice(20, (count, steps), p=sizes / TOTAL)
    return (np.cumsum(sizes) - sizes)[symbols], sizes[symbols]


def read_one(message, starts, sizes):
    decoder = SingleDecoder(message)
    for start, size in zip(starts, sizes, strict=True):
        if size:
            table = sorted({0, int(start), int(start + size), TOTAL})
            assert table[decoder.next_of(table, 0, len(table) - 1)] == start


@settings(max_examples=200, deadline=None)
@given(st.lists(INTERVALS, max_size=40))
def test_every_position_lies_in_its_interval(intervals):
    starts, sizes = np.array(intervals, np.int64).reshape(-1, 2).T
    (message,) = encode(starts[None], sizes[None])
    read_one(message, starts, sizes)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(INTERVALS, min_size=12, max_size=12), min_size=8, max_size=12))
def test_many_messages_are_coded_to_the_same_bytes_as_each_alone(messages):
    both = np.array(messages, np.int64)
    starts, sizes = both[:, :, 0], both[:, :, 1]
    together = encode(starts, sizes)
    assert together == [encode(starts[row : row + 1], sizes[row : row + 1])[0] for row in range(len(both))]
    decoder = Decoder(together)
    for step in range(both.shape[1]):
        at, coded = decoder.position(), sizes[:, step] > 0
        assert (starts[coded, step] <= at[coded]).all()
        assert (at[coded] < (starts + sizes)[coded, step]).all()
        decoder.advance(starts[:, step], sizes[:, step])


def test_carries_run_through_many_bytes():
    # The last intervals in a row keep the number just under a power of 256; the next to last one tips it over
    starts = np.full((8, 30), TOTAL - 2)
    starts[:, -1] = np.arange(8) + TOTAL - 8
    sizes = np.full((8, 30), 2)
    sizes[:, -1] = 1
    for message, row in zip(encode(starts, sizes), range(8), strict=True):
        read_one(message, starts[row], sizes[row])


def test_a_message_takes_a_third_of_a_byte_more_than_its_information():
    starts, sizes = skewed(2000, 64, seed=0)
    information = (16 - np.log2(sizes)).sum(axis=1) / 8
    excess = np.array([len(message) for message in encode(starts, sizes)]) - information
    # A point of an interval, ended at the first byte that can: 1/2 - 1/ln 256 bytes on average
    assert excess.mean() == pytest.approx(0.32, abs=0.03)
    assert excess.max() < 1.1


@given(st.lists(st.integers(0, TOTAL - 1), max_size=200), st.integers(1, 2))
def test_an_interval_takes_two_bytes_at_most(starts, copies):
    intervals = np.array([starts] * 4 * copies, np.int64)  # few messages are coded in Python, many in numpy
    assert max(map(len, encode(intervals, np.ones_like(intervals)))) <= 2 * len(starts)


def test_zero_intervals_take_zero_bytes():
    empty = np.zeros((3, 0), np.int64)
    assert encode(empty, empty) == [b"", b"", b""]
    assert encode(np.zeros((9, 5), np.int64), np.zeros((9, 5), np.int64)) == [b""] * 9


@settings(max_examples=100, deadline=None)
@example([b"\xff" * 60] * 8)  # stays at the end of its interval, outside all 65,536 parts because of rounding
@given(st.lists(st.binary(max_size=60), min_size=8, max_size=12))
def test_arbitrary_bytes_decode_alike_in_both_decoders(messages):
    sizes = np.array([1, 100, 60000, TOTAL - 60101])
    starts = np.cumsum(sizes) - sizes
    table = [*starts.tolist(), TOTAL]
    together, alone = Decoder(messages), [SingleDecoder(message) for message in messages]
    for _ in range(80):
        at = together.position()
        assert ((at >= 0) & (at < TOTAL)).all()
        chosen = np.searchsorted(starts, at, side="right") - 1
        together.advance(starts[chosen], sizes[chosen])
        assert chosen.tolist() == [decoder.next_of(table, 0, len(sizes)) for decoder in alone]
        at = together.position()
        together.advance(at, np.ones_like(at))
        assert at.tolist() == [decoder.next_of_all() for decoder in alone]
