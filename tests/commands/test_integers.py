"""Options that take integers: any length is parsed, and a wrong value is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmae_edge.commands.console import UsageError
from fmae_edge.commands.options import integer

AT_MOST = 2**63 - 1


@given(st.integers(0, AT_MOST), st.integers(0, 5000), st.sampled_from(["", "+"]))
def test_zeros_and_signs_change_nothing(number, zeros, sign):
    assert integer("-n", 0)(f"{sign}{'0' * zeros}{number}") == number


@given(st.integers(-20, 20), st.integers(-5, 5), st.integers(-5, 5))
def test_the_range_includes_its_ends(number, least, most):
    parse = integer("--of", least, most)
    if least <= number <= most:
        assert parse(str(number)) == parse(number) == number
    else:
        with pytest.raises(UsageError, match=f"^--of is '{number}'; expected an integer from {least} to {most}$"):
            parse(str(number))


@pytest.mark.parametrize("number", [10**18 - 1, 10**18, AT_MOST])
def test_the_longest_integers_are_read(number):
    assert integer("-n", 0)(str(number)) == number


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("0", "of at least 1"),
        ("-20000000000000000000", "of at least 1"),
        ("five", "of at least 1"),
        (str(AT_MOST + 1), f"from 1 to {AT_MOST}"),
        ("7" * 5000, f"from 1 to {AT_MOST}"),
    ],
)
def test_the_largest_integer_is_named_only_if_it_matters(text, bounds):
    with pytest.raises(UsageError, match=f"expected an integer {bounds}$"):
        integer("--of", 1)(text)


@pytest.mark.parametrize("text", ["", "five", "5.0", "1_0", " 5", "5\n", "\u0665", "5e0", "--5", str(AT_MOST + 1)])
def test_other_text_is_refused(text):
    with pytest.raises(UsageError, match="^--of is '"):
        integer("--of", 0)(text)


def test_a_long_value_is_cut():
    with pytest.raises(UsageError) as caught:
        integer("--of", 0)("7" * 100_000)
    assert len(str(caught.value)) < 120


def test_a_long_value_is_cut_within_its_quotes():
    with pytest.raises(UsageError, match=r"^-n is '7{40}'\.\.\.; expected an integer from 1 to 9$"):
        integer("-n", 1, 9)("7" * 5000)
