import pytest

from fmae_edge.model.recipe import Recipe


def test_the_learning_rate_rises_then_falls_to_nothing():
    recipe = Recipe(lr=0.5)
    rates = [recipe.learning_rate(step / 100) for step in range(101)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(0.5)
    assert 0 < rates[0] < 0.05
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 10**4000},  # which no float can hold
        {"batch_size": -1},
        {"batch_size": 10**400},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": 1.5},
    ],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Recipe(**wrong)
