"""The exported prior: integers that cost as many bits as the trained floats, or tables without a network."""

import numpy as np
import pytest
import torch

from fmae_edge.export.integer_prior import (
    COLUMNS,
    WIDTHS_PER_OCTAVE,
    build_prior,
    logistic_masses,
    to_starts,
    widths_below,
)
from fmae_edge.model.learned_prior import Prior
from fmae_edge.model.recipe import QUALITY_STEPS, UNITS, PriorFit
from fmae_edge.runtime.entropy.prior import FRACTIONS, NetworkPrior, TablePrior, read_prior
from fmae_edge.runtime.entropy.symbol_bits import SymbolBits
from fmae_edge.runtime.entropy.symbol_coder import clip_symbols
from fmae_edge.train.prior_fit import fit_prior

SIZE = 10


@pytest.fixture(scope="module")
def latents():
    """Latents that depend on each other: three hidden causes of ten values."""
    random = np.random.default_rng(0)
    causes = random.normal(0, 0.5, (3000, 3)) @ random.normal(0, 1, (3, SIZE))
    return (causes + random.normal(0, 0.05, causes.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(latents):
    torch.manual_seed(0)
    settings = PriorFit(steps=150, warm_up=20)
    return fit_prior(Prior(SIZE, hidden=32), torch.from_numpy(latents[:2000]), settings, seed=0)


def mean_bits(content, latents, unit, quality):
    prior = read_prior(content, SIZE, QUALITY_STEPS, "the prior")
    symbols = clip_symbols(np.rint(latents / np.float32(unit * QUALITY_STEPS[quality])))
    return SymbolBits(prior, quality).count(symbols).mean()


def test_integers_cost_what_floats_cost(latents, fitted):
    content, qualities = build_prior(fitted, latents[:2000])
    assert qualities.unit == 1 / UNITS
    assert isinstance(read_prior(content, SIZE, QUALITY_STEPS, "it"), NetworkPrior)
    held_out = latents[2000:]
    for quality in (0, 4, 8):
        step = QUALITY_STEPS[quality]
        rounded = torch.from_numpy(np.rint(held_out * UNITS / step) * step)
        with torch.no_grad():
            floats = fitted.bits(rounded, rounded, torch.full((len(rounded),), quality)).mean().item()
        # Counted tables may gain and rounding may lose; the tables of few images cost up to half a bit more
        assert mean_bits(content, held_out, qualities.unit, quality) < 1.02 * floats + 0.5


def test_integer_widths_are_rounded_not_truncated(latents, fitted):
    content, qualities = build_prior(fitted, latents[:2000])
    integers = read_prior(content, SIZE, QUALITY_STEPS, "it")
    for quality in (0, 4, 8):
        step = QUALITY_STEPS[quality]
        symbols = clip_symbols(np.rint(latents[2000:] / np.float32(qualities.unit * step)))
        _, rows = integers.predict_all(integers.known(symbols, quality), quality)
        known = torch.from_numpy(symbols).float() * step
        with torch.no_grad():
            _, widths = fitted.pack().predict(known, torch.full((len(known),), quality))
        exact = WIDTHS_PER_OCTAVE * widths.numpy() - widths_below(step)
        inside = (exact > 1) & (exact < 30)
        assert inside.mean() > 0.5
        assert abs((rows // FRACTIONS - exact)[inside].mean()) < 0.2  # quarter octaves; truncation gives -0.5


def test_the_network_beats_the_table_where_latents_depend_on_each_other(latents, fitted):
    network, qualities = build_prior(fitted, latents[:2000])
    table, _ = build_prior(None, latents[:2000])
    unit = float(latents[:2000].std(axis=0).mean()) / 48
    assert isinstance(read_prior(table, SIZE, QUALITY_STEPS, "it"), TablePrior)
    # At the finest quality of each, for steps of equal size
    networks = mean_bits(network, latents[2000:], qualities.unit, 8) / SIZE + np.log2(qualities.unit)
    tables = mean_bits(table, latents[2000:], unit, 8) / SIZE + np.log2(unit)
    assert networks < tables - 0.5


def test_constant_latents_can_be_exported():
    for prior in (None, Prior(SIZE, hidden=8)):
        constant = np.full((50, SIZE), 0.25, np.float32)
        constant[:, 0] = np.linspace(-1, 1, 50)
        content, _ = build_prior(prior, constant)
        read_prior(content, SIZE, QUALITY_STEPS, "it")


def test_tables_are_complete_for_any_counts():
    formula = logistic_masses()
    assert (formula >= 0).all()
    np.testing.assert_allclose(formula.sum(axis=1), 1)
    counts = np.zeros(formula.shape, np.int64)
    counts[0, 5] = 10**9
    starts = to_starts(counts, formula).astype(np.int64)
    sizes = np.diff(starts, append=65536)
    assert starts.shape == (len(formula), COLUMNS)
    assert (sizes >= 1).all()
    assert sizes[0, 5] == 65536 - COLUMNS + 1


def test_a_step_twice_as_long_narrows_by_an_octave():
    assert widths_below(40) - widths_below(20) == 4
