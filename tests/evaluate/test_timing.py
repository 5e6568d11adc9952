"""Interleaved timing runs every variant in every round and times every call."""

import time

from fmae_edge.evaluate.bench import interleave


def test_every_variant_runs_in_every_round_in_changing_order():
    order, rounds = [], []
    variants = {name: (lambda name=name: order.append(name)) for name in "abc"}
    times = interleave(variants, rounds=12, slice_seconds=0, on_round=lambda *progress: rounds.append(progress))
    assert rounds == [(k, 12) for k in range(1, 13)]
    assert order[:3] == ["a", "b", "c"]  # the warm-up is not measured
    measured = [tuple(order[at : at + 3]) for at in range(3, len(order), 3)]
    assert all(sorted(round_) == ["a", "b", "c"] for round_ in measured)
    assert len(set(measured)) > 1
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 12, "b": 12, "c": 12}


def test_a_slice_has_as_many_calls_as_fit_and_each_is_timed():
    times = interleave({"slow": lambda: time.sleep(0.02), "fast": lambda: None}, rounds=2, slice_seconds=0.01)
    assert len(times["slow"]) == 2
    assert times["slow"].min() >= 0.02
    assert len(times["fast"]) > 20
