"""The limits of chance in funnels, and shifts in run charts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.control_limits import THREE_SD, TWO_SD, share_limits, shifts

SHARES = st.decimals(0, 1, places=3)


def test_share_limits_by_hand() -> None:
    """Of 100 people with a true share of one half, 95 % lie within 0.5 -+ 1.96 * 0.05."""
    assert share_limits(Decimal("0.5"), 100, TWO_SD) == (Decimal("0.402"), Decimal("0.598"))


@given(SHARES, st.integers(1, 5000))
def test_more_people_make_the_funnel_narrower(centre: Decimal, people: int) -> None:
    """The limits hold the centre, stay within 0 to 1, and never widen with more people or fewer deviations."""
    low, high = share_limits(centre, people, THREE_SD)
    assert 0 <= low <= centre <= high <= 1
    more_low, more_high = share_limits(centre, people + 1, THREE_SD)
    assert low <= more_low
    assert more_high <= high
    inner = share_limits(centre, people, TWO_SD)
    assert low <= inner[0] <= inner[1] <= high


@pytest.mark.parametrize(("centre", "people"), [("1.01", 10), ("-0.01", 10), ("0.5", 0)])
def test_a_share_outside_its_range_is_refused(centre: str, people: int) -> None:
    """A share that is none, or a group without people, has no limits."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        share_limits(Decimal(centre), people, TWO_SD)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([1, 1, 1, 1, 1, 1, 9, 9, 9, 9, 9], []),  # the median is 1: the low ones lie on it, the five above are too few
        ([1, 1, 1, 1, 1, 1, 9, 9, 9, 9, 9, 9], [(0, 5), (6, 11)]),
        ([1, 1, 1, 1, 1, 9, 9, 9, 9, 9], []),  # five are no shift
        ([1, 1, 1, 5, 1, 1, 1, 9, 9, 9, 9, 9, 9], [(0, 6), (7, 12)]),  # one on the median is passed over
    ],
)
def test_shifts_are_six_on_one_side_of_the_median(values: list[int], found: list[tuple[int, int]]) -> None:
    """Six or more in a row on one side of the median are a shift; a value on it neither counts nor breaks the row."""
    assert shifts([Decimal(value) for value in values]) == found
