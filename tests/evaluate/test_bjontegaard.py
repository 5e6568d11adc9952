"""Rate differences computed by hand, and errors for curves that cannot be compared."""

import pytest

from fmae_edge.evaluate.bjontegaard import pareto_front, rate_difference

CURVE = [(10.0, 20.0), (14.0, 21.5), (20.0, 22.8), (30.0, 24.0), (45.0, 25.0)]


def scaled(factor):
    return [(size * factor, psnr) for size, psnr in CURVE]


def test_a_curve_does_not_differ_from_itself():
    found = rate_difference(CURVE, CURVE)
    assert found.percent == pytest.approx(0, abs=1e-9)
    assert (found.low_db, found.high_db) == (20, 25)


@pytest.mark.parametrize(("factor", "percent"), [(0.5, -50), (0.18, -82), (2, 100)])
def test_a_rate_multiplied_by_a_factor(factor, percent):
    assert rate_difference(CURVE, scaled(factor)).percent == pytest.approx(percent)


def test_the_order_and_beaten_settings_do_not_matter():
    beaten = [*reversed(CURVE), (20.0, 22.0), (21.0, 22.8), (50.0, 24.9)]
    assert rate_difference(CURVE, beaten).percent == pytest.approx(0, abs=1e-9)
    assert pareto_front(beaten) == CURVE


def test_only_the_shared_psnr_range_counts():
    other = [(size / 2, psnr) for size, psnr in CURVE[:4]] + [(400.0, 30.0)]
    found = rate_difference(CURVE[1:], other)
    assert (found.low_db, found.high_db) == (21.5, 25)
    assert rate_difference(CURVE, other[:4]).high_db == 24
    assert rate_difference(CURVE, other[:4]).percent == pytest.approx(-50, abs=1)


def test_curves_that_cannot_be_compared_are_an_error():
    with pytest.raises(ValueError, match="share no PSNR: 20.00 to 25.00 dB and 30.00 to 35.00 dB"):
        rate_difference(CURVE, [(size, psnr + 10) for size, psnr in CURVE])
    with pytest.raises(ValueError, match="the test curve has 3 of 3 points"):
        rate_difference(CURVE, CURVE[:3])
    with pytest.raises(ValueError, match="the anchor curve has 1 of 5 points"):
        rate_difference([(size, 20.0) for size, _ in CURVE], CURVE)
