"""Calibration, rounding and the choice of int8 layers, by the properties that the int8 graphs rely on."""

import numpy as np
import pytest
import torch

from fmae_edge.export import quantise as quantising
from fmae_edge.export.int8_layers import Int8Layer, Quantiser, run_int8
from fmae_edge.export.int8_network import DEFAULT_MAX_LOSS_DB, FASTER, TOO_LOSSY, choose_layers
from fmae_edge.export.int8_target import TARGETS, int8_target
from fmae_edge.export.layers import Conv, Dense, Sigmoid, run
from fmae_edge.export.quantise import CALIBRATION_METHODS, LOGIT_LIMIT, quantise, upper_bound
from fmae_edge.export.rounding import round_weights, weight_scales

LEVELS = Quantiser(1 / 255, 0, 0, 255)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def correlated():
    """Inputs that are correlated with their neighbours, as pixels are, and positive, as after a ReLU."""
    steps = torch.randn(2000, 41, generator=generator())
    return (100 + 20 * (steps[:, :-1] + steps[:, 1:])).clamp(0, 255)


@pytest.fixture
def weights():
    return torch.randn(40, 6, generator=generator(1)) * torch.logspace(-2, 1, 6)


def pair_sums(integers):
    pairs = torch.nn.functional.pad(integers, (0, 0, 0, len(integers) % 2)).view(-1, 2, integers.shape[1])
    return pairs.clamp(min=0).sum(dim=1).max(), -pairs.clamp(max=0).sum(dim=1).min()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("rows", [40, 39])
def test_integers_fit_the_target(name, rows, weights, correlated):
    target = int8_target(name)
    weights, inputs = weights[:rows], correlated[:, :rows]
    integers = round_weights(weights, weight_scales(weights, target), [inputs], target)
    assert integers.abs().max() <= 127
    positive, negative = pair_sums(integers)
    if name == "avx2":
        assert max(positive, negative) <= 128
    else:
        assert max(positive, negative) > 128  # else the bound would not matter


def test_scales_are_the_finest_that_fit(weights):
    for name in TARGETS:
        target = int8_target(name)
        exact = weights / weight_scales(weights, target)
        positive, negative = pair_sums(exact)
        fills = [exact.abs().max() / 127, *((positive / 128, negative / 128) if name == "avx2" else ())]
        assert max(fills) == pytest.approx(1, abs=1e-5)


def test_outputs_change_less_than_with_rounding_to_nearest(weights, correlated):
    target = int8_target("avx2")
    scales = weight_scales(weights, target)
    nearest = torch.round(weights / scales).clamp(-127, 127)
    fitted = round_weights(weights, scales, [correlated], target)

    def error(integers):
        return (correlated.double() @ (integers.double() * scales - weights)).square().mean()

    assert error(fitted) < error(nearest) / 10
    in_parts = round_weights(weights, scales, correlated.split(7), target)
    torch.testing.assert_close(in_parts, fitted)


def test_a_layer_keeps_the_mean_of_each_output():
    torch.manual_seed(0)
    conv = Conv("conv", torch.randn(5, 3, 3, 2) / 9, torch.randn(5), 1)
    images = torch.rand(40, 6, 6, 2)
    (step,) = quantise([conv], images, LEVELS, int8_target("avx2"), "min-max")
    assert isinstance(step, Int8Layer)
    means = run_int8([step], LEVELS.quantise(images)).mean(dim=(0, 1, 2))
    torch.testing.assert_close(means, run([conv], images).mean(dim=(0, 1, 2)), rtol=0, atol=1e-3)


def test_a_layer_is_fitted_to_the_quantised_outputs_of_the_layers_before_it():
    """The outputs of the first layer lose their upper half; the second layer makes up for the missing mean."""
    first = Dense("first", torch.eye(4), torch.zeros(4), relu=True)
    second = Dense("second", torch.eye(4), torch.zeros(4))
    x = torch.rand(500, 4, generator=generator())
    coarse = Quantiser(0.5, 0, 0, 1)  # inputs become 0 or a half, on average far from their values
    steps = quantise([first, second], x, coarse, int8_target("avx2"), "min-max")
    found = run_int8(steps, coarse.quantise(x))
    torch.testing.assert_close(found.mean(dim=0), x.mean(dim=0), rtol=0, atol=0.01)
    assert (coarse.quantise(x) * 0.5).mean() < x.mean() - 0.1


def test_logits_have_the_range_in_which_a_gray_level_changes():
    dense = Dense("dense", 100 * torch.eye(3), torch.zeros(3))
    logits, sigmoid = quantise([dense, Sigmoid()], torch.rand(9, 3), LEVELS, int8_target("avx2"), "min-max")
    low = (logits.target.low - logits.target.zero_point) * logits.target.scale
    assert low == pytest.approx(-LOGIT_LIMIT, rel=0.01)
    assert round(255 / (1 + np.exp(LOGIT_LIMIT * 1.01))) == 0
    assert round(255 / (1 + np.exp(LOGIT_LIMIT * 0.97))) == 1
    assert (sigmoid.target.scale, sigmoid.target.zero_point) == (1 / 255, 0)


@pytest.mark.parametrize("method", CALIBRATION_METHODS)
def test_bounds_scale_with_the_values(method):
    values = np.random.default_rng(0).exponential(size=20_000).astype(np.float32)
    bound = upper_bound(values, method)
    assert upper_bound(8 * values, method) == pytest.approx(8 * bound, rel=1e-3)
    assert np.percentile(values, 99) < bound <= values.max()


def test_one_outlier_moves_only_the_maximum():
    values = np.random.default_rng(0).uniform(0, 1, 50_000).astype(np.float32)
    with_outlier = np.append(values, np.float32(10))
    assert upper_bound(with_outlier, "min-max") == 10
    assert upper_bound(with_outlier, "percentile") <= 1
    assert upper_bound(with_outlier, "entropy") < 3


@pytest.mark.parametrize("method", CALIBRATION_METHODS)
def test_a_layer_that_is_always_0_still_has_a_range(method):
    assert upper_bound(np.zeros(100, np.float32), method) > 0


def test_all_layers_run_in_int8_if_they_lose_little_together():
    stay_float, choices, loss = choose_layers(
        ["a", "b"], frozenset(), 20.0, lambda names: 19.98 + 0.005 * ("a" in names)
    )
    assert stay_float == frozenset()
    assert [(choice.name, choice.precision) for choice in choices] == [("a", "int8"), ("b", "int8")]
    assert [choice.loss_db for choice in choices] == pytest.approx([0.005, 0])
    assert [choice.reason for choice in choices] == [None, None]
    assert loss == pytest.approx(0.02)


def test_the_layers_that_lose_most_return_to_float_until_the_loss_is_small_enough():
    costs = {"a": 0.02, "b": 0.5, "c": 0.04, "d": 0.001}
    tried = []

    def psnr_with(names):
        tried.append(names)
        return 20.0 - sum(cost for name, cost in costs.items() if name not in names)

    stay_float, choices, loss = choose_layers(list(costs), frozenset(), 20.0, psnr_with)
    assert stay_float == {"b", "c"}
    assert {choice.name: choice.precision for choice in choices} == {
        "a": "int8",
        "b": "fp32",
        "c": "fp32",
        "d": "int8",
    }
    assert [choice.reason for choice in choices] == [None, TOO_LOSSY, TOO_LOSSY, None]
    assert loss == pytest.approx(0.021)
    assert 0.021 <= DEFAULT_MAX_LOSS_DB <= 0.05  # at most what is promised
    assert len(tried) == len(set(tried))  # each takes seconds


def test_layers_that_are_faster_in_float_stay_float_and_are_still_measured():
    costs = {"a": 0.01, "b": 0.005}
    stay_float, choices, loss = choose_layers(
        list(costs), frozenset("a"), 20.0, lambda names: 20.0 - sum(costs[name] for name in costs.keys() - names)
    )
    assert stay_float == {"a"}
    assert [(choice.precision, choice.loss_db) for choice in choices] == [
        ("fp32", pytest.approx(0.01)),
        ("int8", pytest.approx(0.005)),
    ]
    assert [choice.reason for choice in choices] == [FASTER, None]
    assert loss == pytest.approx(0.005)


def test_numbers_stay_real_between_float_layers_and_after_the_last_one():
    torch.manual_seed(0)
    layers = [
        Dense("a", torch.randn(4, 9), torch.randn(9), relu=True),
        Dense("b", torch.randn(9, 6), torch.randn(6)),
    ]
    layers += [Dense("c", torch.randn(6, 3), torch.randn(3)), Sigmoid()]
    x = torch.rand(50, 4)
    target = int8_target("avx2")
    steps = quantise(layers, x, None, target, "min-max", {"a", "b", "c"})
    np.testing.assert_array_equal(run_int8(steps, x), torch.round(run(layers, x) * 255))
    steps = quantise(layers[:2], x, LEVELS, target, "min-max", {"a"})
    assert steps[0].target == steps[1].source  # an int8 layer takes integers


def test_only_layers_from_the_first_that_changes_are_quantised_again(monkeypatch):
    random = generator()
    layers = [
        Dense(f"dense{at}", torch.randn(8, 8, generator=random), torch.randn(8, generator=random), relu=True)
        for at in range(5)
    ]
    inputs, target, rounded = torch.rand(50, 8, generator=random), int8_target("avx2"), []
    original = quantising.round_weights

    def counting(weights, *rest):
        rounded.append(weights)
        return original(weights, *rest)

    monkeypatch.setattr(quantising, "round_weights", counting)
    last = []
    for source, stay_float, most in (
        (LEVELS, {"dense0"}, 4),
        (LEVELS, {"dense0", "dense4"}, 0),
        (LEVELS, {"dense0", "dense3"}, 1),
        (LEVELS, {"dense0", "dense1"}, 3),
        (LEVELS, set(), 5),
        (LEVELS, {"dense4"}, 0),
        (None, {"dense0"}, 4),  # other inputs
        (None, {"dense0"}, 0),
    ):
        rounded.clear()
        steps = quantise(layers, inputs, source, target, "min-max", stay_float, last)
        assert len(rounded) == most
        afresh = quantise(layers, inputs, source, target, "min-max", stay_float)
        given = inputs if source is None else source.quantise(inputs)
        assert torch.equal(run_int8(steps, given), run_int8(afresh, given))


def test_the_choice_of_layers_tells_how_far_it_is():
    told = []
    choose_layers(["a", "b"], frozenset(), 20.0, lambda stay_float: 20.0, lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]
