"""Muon makes orthogonal updates with the RMS of AdamW."""

import pytest
import torch

from fmae_edge.model.autoencoder import Autoencoder
from fmae_edge.model.config import ModelConfig
from fmae_edge.train.muon import Muon, orthogonalise
from fmae_edge.train.optimiser import Optimisers


@pytest.mark.parametrize("shape", [(64, 6272), (6272, 64), (128, 576), (5, 5), (1, 9)])
def test_singular_values_get_close_to_one_and_vectors_stay(shape):
    matrix = torch.randn(*shape)
    result = orthogonalise(matrix)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    core = left.T @ result @ right.T
    found = core.diagonal()
    large = values > 0.05 * values.max()
    assert ((found > 0.6) & (found < 1.3))[large].all()
    assert (core - torch.diag(found)).abs().max() < 0.02


def test_collected_factors_give_the_plain_iteration():
    matrix = torch.randn(20, 50, dtype=torch.float64)
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalise(matrix), x, rtol=1e-9, atol=1e-9)


def test_a_step_has_the_rms_of_adamw():
    weight = torch.nn.Parameter(torch.zeros(64, 32, 3, 3))
    weight.grad = torch.randn_like(weight)
    Muon([weight], lr=0.01).step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.25)
    assert (weight * weight.grad).sum() < 0  # downhill


def test_a_zero_gradient_changes_nothing():
    weight = torch.nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1).step()
    torch.testing.assert_close(weight.detach(), torch.ones(4, 4))


def test_layers_that_touch_pixels_and_biases_are_not_orthogonalised():
    model = Autoencoder(ModelConfig(latent_size=8, widths=(4, 8)))
    optimisers = [
        {id(each) for group in one.param_groups for each in group["params"]} for one in Optimisers(model)._all
    ]
    touching = [model.encoder.convs[0].weight, model.decoder.transposed[-1].weight]
    outer = [each for each in model.parameters() if each.ndim == 1] + touching
    assert optimisers[1] == {id(each) for each in outer}
    assert optimisers[0] == {id(each) for each in model.parameters()} - optimisers[1]
