"""The packed prior has the same results, gradients and fit as the networks of its groups one by one."""

import copy
import math
import threading

import pytest
import safetensors.torch
import torch

from fmae_edge.model.learned_prior import FIRST_LOG2_WIDTH, MEAN_SCALE, PackedPrior, Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS, PriorFit
from fmae_edge.train.objective import quantise
from fmae_edge.train.prior_fit import fit_prior
from tests.conftest import CHECKPOINT


class GroupByGroup(torch.nn.Module):
    """The definition of the prior: one small network per group, with the weights of `prior`."""

    def __init__(self, prior):
        super().__init__()
        self.groups = copy.deepcopy(prior).groups

    def predict(self, latents, quality):
        means, widths = [], []
        for group in self.groups:
            mean, width = group.last(group.hidden(latents, quality)[1]).chunk(2, dim=1)
            means.append(mean * MEAN_SCALE)
            widths.append((width + FIRST_LOG2_WIDTH).clamp(-1, 9))
        return torch.cat(means, dim=1), torch.cat(widths, dim=1)

    def bits(self, values, context, quality):
        means, widths = self.predict(context, quality)
        half = torch.tensor(QUALITY_STEPS)[quality].unsqueeze(1) / 2
        upper, lower = (torch.sigmoid((half * sign - (values - means).abs()) / 2**widths) for sign in (1, -1))
        return -torch.log2((upper - lower).clamp(min=0) + 2.0**-20).sum(dim=1)


@pytest.fixture(params=[1, 6, 64])
def prior(request):
    torch.manual_seed(request.param)
    return Prior(request.param, hidden=16)


def draw(size, count=200):
    """Draw latents that depend on each other, rounded as the codec does, and a quality for each."""
    quality = torch.randint(len(QUALITY_STEPS), (count,))
    latents = UNITS * (torch.randn(count, 1) + 0.2 * torch.randn(count, size))
    return quantise(latents, torch.tensor(QUALITY_STEPS)[quality].unsqueeze(1)), quality


def test_packed_results_are_those_of_each_group(prior):
    latents, quality = draw(len(prior.pack().mean_rows))
    for batched, single in zip(
        prior.pack().predict(latents, quality), GroupByGroup(prior).predict(latents, quality), strict=True
    ):
        torch.testing.assert_close(batched, single, rtol=1e-5, atol=1e-4)


def test_bits_and_gradients_are_those_of_each_group(prior):
    latents, quality = draw(len(prior.pack().mean_rows))
    reference = GroupByGroup(prior)
    noisy = latents + torch.rand_like(latents) - 0.5
    bits, expected = prior.bits(noisy, latents, quality), reference.bits(noisy, latents, quality)
    torch.testing.assert_close(bits, expected, rtol=1e-5, atol=1e-4)
    bits.mean().backward()
    expected.mean().backward()
    for (name, parameter), same in zip(prior.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, same.grad, rtol=1e-3, atol=1e-5, msg=name)


def fit_group_by_group(prior, latents, seed, steps):
    """Fit the networks one by one, in one optimiser, to what `fit_prior` promises."""
    fitted = GroupByGroup(prior)
    optimiser = torch.optim.AdamW(fitted.parameters(), lr=0.0, weight_decay=0.0)
    draws = torch.Generator().manual_seed(seed)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = (
            0.004 * min(1.0, step / 5) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        )
        chosen, quality = (torch.randint(n, (100,), generator=draws) for n in (len(latents), len(QUALITY_STEPS)))
        rounded = quantise(latents[chosen] * UNITS, torch.tensor(QUALITY_STEPS)[quality].unsqueeze(1))
        optimiser.zero_grad()
        fitted.bits(rounded, rounded, quality).mean().backward()
        optimiser.step()
    return fitted


@pytest.mark.parametrize("threads", [1, 3, 50])
def test_the_fit_is_that_of_each_group_for_any_number_of_threads(prior, threads):
    latents = draw(len(prior.pack().mean_rows))[0] / UNITS
    expected = fit_group_by_group(prior, latents, seed=5, steps=20).state_dict()
    settings = PriorFit(steps=20, batch_size=100, lr=0.004, warm_up=5)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        fitted = fit_prior(prior, latents, settings, seed=5).state_dict()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert list(fitted) == list(expected)
    moved = 0.0
    for name, start in prior.state_dict().items():
        torch.testing.assert_close(fitted[name], expected[name], rtol=1e-3, atol=1e-4, msg=name)
        moved = max(moved, (fitted[name] - start).abs().max().item())
    assert moved > 0.02


def test_packing_and_unpacking_changes_nothing(prior):
    other = copy.deepcopy(prior)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    for share in (slice(0, 1), slice(1, None)):
        if list(prior.groups[share]):
            other.unpack(share, prior.pack(share))
    for name, weights in prior.state_dict().items():
        assert torch.equal(other.state_dict()[name], weights), name


def test_progress_counts_steps_and_an_interrupt_ends_all_threads():
    torch.manual_seed(0)
    prior, seen, threads = Prior(8, hidden=4), [], threading.active_count()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fit_prior(prior, draw(8)[0] / UNITS, PriorFit(steps=5), 0, lambda *step: seen.append(step))

        def interrupt(done, total):
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit_prior(prior, draw(8)[0] / UNITS, PriorFit(steps=10**9), 0, interrupt)
    finally:
        torch.set_num_threads(before)
    assert seen == [(done, 5) for done in range(1, 6)]
    assert threading.active_count() == threads


def test_the_shipped_checkpoint_has_the_names_of_this_prior():
    weights = safetensors.torch.load((CHECKPOINT / "prior.safetensors").read_bytes())
    prior = Prior(64)
    prior.load_state_dict(weights)
    assert isinstance(prior.pack(), PackedPrior)
