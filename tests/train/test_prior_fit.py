"""The fit of the prior keeps what suits images that it does not train on, whatever the number of threads."""

import pytest
import torch

from fmae_edge.model.learned_prior import Prior, group_sizes
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS, PriorFit
from fmae_edge.train.objective import quantise
from fmae_edge.train.prior_fit import fit_prior

LATENTS = 8
SETTINGS = PriorFit(steps=80, batch_size=64, warm_up=5, lr=0.01)


@pytest.fixture(scope="module")
def latents():
    """A few latents to fit to, and more of the same kind."""
    draws = torch.Generator().manual_seed(1)
    mixed = torch.randn(8, 8, generator=draws)
    return torch.randn(20, 8, generator=draws) @ mixed, torch.randn(1000, 8, generator=draws) @ mixed


@torch.no_grad()
def bits(prior, latents):
    steps = torch.tensor(QUALITY_STEPS)[torch.arange(len(latents)) % 9].unsqueeze(1)
    rounded = quantise(latents * UNITS, steps)
    return prior.bits(rounded, rounded, torch.arange(len(latents)) % 9).mean().item()


def fitted(latents, validation, settings=SETTINGS):
    torch.manual_seed(0)
    return fit_prior(Prior(LATENTS), latents, settings, 0, validation=validation)


def test_validation_keeps_few_latents_from_being_learned_by_heart(latents):
    few, others = latents
    blind, checked = fitted(few, None), fitted(few, others[:500])
    assert bits(checked, others[500:]) < 0.95 * bits(blind, others[500:])


def test_a_fit_never_makes_validation_worse(latents):
    few, others = latents
    torch.manual_seed(0)
    start = Prior(LATENTS)
    far = fit_prior(start, few[:1], PriorFit(steps=40, batch_size=8, warm_up=1, lr=0.5), 0, validation=others)
    assert bits(far, others) <= bits(start, others) + 0.05  # compared at other random qualities


def test_each_group_is_kept_at_its_own_best_step_with_any_number_of_threads(latents):
    few, others = latents
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(fitted(few, others).state_dict())
    finally:
        torch.set_num_threads(before)
    assert len(group_sizes(LATENTS)) > 2
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], rtol=1e-3, atol=1e-4)
