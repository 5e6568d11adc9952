"""Decoding returns what was quantised, for any image, and payloads have the size that the tables predict."""

import numpy as np
import pytest

from fmae_edge.evaluate.pca_codec import cheapest_levels, fit_pca_codecs
from fmae_edge.measure.quality import pooled_psnr
from fmae_edge.runtime.entropy.range_coder import TOTAL

STEP = 100.0


@pytest.fixture(scope="module")
def codec(images):
    (codec,) = fit_pca_codecs(images, [STEP])
    return codec


def test_decoding_returns_the_quantised_reconstruction(codec, images):
    payloads = codec.encode(images)
    np.testing.assert_array_equal(codec.decode(payloads), codec.reconstruct(codec.quantise(images)))
    assert pooled_psnr(images / 255, codec.decode(payloads) / 255) > 20
    assert codec.encode(images[7:8]) == payloads[7:8]


def test_any_image_can_be_encoded(codec):
    rng = np.random.default_rng(0)
    strange = np.stack(
        [
            np.zeros((28, 28)),
            np.full((28, 28), 255),
            *rng.integers(0, 256, (3, 28, 28)),
            np.indices((28, 28))[0] * 9,
        ]
    ).astype(np.uint8)
    np.testing.assert_array_equal(codec.decode(codec.encode(strange)), codec.reconstruct(codec.quantise(strange)))


def test_payloads_have_the_size_that_the_tables_predict(codec, images):
    symbols = codec.quantise(images)
    bits = sum(
        16 - np.log2(quantiser.sizes[column])
        for quantiser, column in zip(codec.quantisers, symbols.T, strict=True)
    )
    overhead = np.array([len(payload) for payload in codec.encode(images)]) - bits / 8
    assert 0 <= overhead.mean() < 0.6
    assert overhead.max() < 1.1


def test_tables_cover_all_positions_once(codec):
    for quantiser in codec.quantisers:
        assert len(quantiser.levels) == len(quantiser.decisions) + 1 >= 2
        assert (np.diff(quantiser.levels) > 0).all()
        assert (np.diff(quantiser.decisions) > 0).all()
        assert quantiser.sizes.min() >= 1
        np.testing.assert_array_equal(np.append(quantiser.starts, TOTAL)[1:], quantiser.starts + quantiser.sizes)
        assert quantiser.starts[0] == 0


def test_symbols_are_the_best_trade_between_error_and_bits(codec, images):
    """No other level costs less than the chosen one, except for what the last round moved."""
    slope = np.log(2) / 6 * STEP**2
    values = (images.reshape(len(images), -1) - codec.mean) @ codec.components
    symbols = codec.quantise(images)
    for column, quantiser in enumerate(codec.quantisers[:20]):
        cost = (values[:, column, None] - quantiser.levels) ** 2 + slope * (16 - np.log2(quantiser.sizes))
        chosen = cost[np.arange(len(values)), symbols[:, column]].mean()
        assert chosen <= 1.02 * cost.min(axis=1).mean()
    nearest = np.abs(values[:, 0, None] - codec.quantisers[0].levels).argmin(axis=1)
    assert (nearest != symbols[:, 0]).any()  # because bits count too


def test_finer_steps_cost_more_bytes_and_give_better_images(images):
    codecs = fit_pca_codecs(images, (160, 80, 40))
    sizes = [sum(map(len, codec.encode(images))) for codec in codecs]
    psnrs = [pooled_psnr(images / 255, codec.decode(codec.encode(images)) / 255) for codec in codecs]
    coded = [len(codec.quantisers) for codec in codecs]
    assert sizes == sorted(set(sizes))
    assert psnrs == sorted(set(psnrs))
    assert coded == sorted(coded)


def test_components_are_orthonormal_and_by_falling_variance(images):
    (codec,) = fit_pca_codecs(images, [40])
    kept = codec.components.shape[1]
    np.testing.assert_allclose(codec.components.T @ codec.components, np.eye(kept), atol=1e-9)
    variances = ((images.reshape(len(images), -1) - codec.mean) @ codec.components).var(axis=0)
    assert (np.diff(variances) < 1e-6).all()


def test_pixels_that_never_change_are_not_coded():
    images = np.zeros((50, 6, 6), np.uint8)
    images[:, 2, 3] = np.random.default_rng(0).integers(0, 256, 50)
    (codec,) = fit_pca_codecs(images, [20])
    assert len(codec.quantisers) == 1
    assert np.abs(codec.decode(codec.encode(images)).astype(int) - images).max() <= 30


def test_levels_are_means_and_rare_levels_are_dropped():
    values = np.array([0] * 500 + [20, 60] + [80] * 480 + [90] * 20, np.uint8)
    images = np.zeros((len(values), 4, 4), np.uint8)
    images[:, 1, 2] = values
    (codec,) = fit_pca_codecs(images, [40])
    symbols = codec.quantise(images)[:, 0]
    (quantiser,) = codec.quantisers
    assert len(quantiser.levels) == 2  # a level of its own for 20 or 60 would take ten bits
    coefficients = (images.reshape(len(images), -1) - codec.mean) @ codec.components[:, 0]
    np.testing.assert_allclose(quantiser.levels, [coefficients[symbols == symbol].mean() for symbol in (0, 1)])
    expected = [values[symbols == symbols[row]].mean() for row in (0, -1)]
    np.testing.assert_array_equal(codec.decode(codec.encode(images[[0, -1]]))[:, 1, 2], np.rint(expected))


def test_the_cheapest_levels_are_those_of_an_exhaustive_search():
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 10, 40):
        levels = np.sort(rng.normal(0, 10, count))
        costs = rng.exponential(20, count)
        values = np.linspace(-40, 40, 4001)
        chosen, decisions = cheapest_levels(levels, costs)
        searched = ((values[:, None] - levels) ** 2 + costs).argmin(axis=1)
        np.testing.assert_array_equal(np.array(chosen)[np.searchsorted(decisions, values)], searched)
