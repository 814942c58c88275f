"""Therapists' shares: shrunken toward all, never told of small caseloads."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.measures.therapists import FEWEST_CLIENTS, FEWEST_THERAPISTS, Caseload, estimates
from fhir_alliance.errors import StopRun

loads = st.integers(FEWEST_CLIENTS, 80).flatmap(lambda n: st.builds(Caseload, st.just(n), st.integers(0, n)))


@given(st.dictionaries(st.text("abcdef", min_size=1), loads, min_size=FEWEST_THERAPISTS, max_size=12))
def test_each_share_lies_between_the_therapists_own_and_that_of_all(caseloads: dict[str, Caseload]) -> None:
    """Shrinking never goes beyond either end, and the interval holds the share."""
    told = estimates(caseloads)
    for one in told.told:
        own = Decimal(one.caseload.reached) / one.caseload.clients
        assert min(own, told.overall) - Decimal("1e-20") <= one.share <= max(own, told.overall) + Decimal("1e-20")
        assert 0 <= one.low <= one.share <= one.high <= 1


def test_therapists_who_differ_no_more_than_by_chance_are_told_alike() -> None:
    """Where the spread is no wider than chance makes it, everybody has the share of all, no surer than that is."""
    told = estimates({f"t{n}": Caseload(20, 10 + n % 2) for n in range(6)})
    assert told.alike
    assert {one.share for one in told.told} == {told.overall}
    # 1.96 * sqrt(0.525 * 0.475 / (120 + 1)) = 0.0890
    assert {(round(one.low, 3), round(one.high, 3)) for one in told.told} == {(Decimal("0.436"), Decimal("0.614"))}


def test_a_hand_worked_example() -> None:
    """Five of 20 clients with 2, 6, 10, 14, 18 reached: half of all, and the first is drawn from 0.10 up to 0.130."""
    told = estimates({f"t{n}": Caseload(20, reached) for n, reached in enumerate((2, 6, 10, 14, 18))})
    # spread 20 * (0.16 + 0.04 + 0 + 0.04 + 0.16) = 8; chance 0.25 * 4 = 1; size 100 - 2000 / 100 = 80
    # alike (8 - 1) / (0.25 * (80 - 4)) = 0.36842; weight (1 - 0.36842) / 0.36842 = 1.71429
    # share (2 + 1.71429 * 0.5) / 21.71429 = 0.13158
    assert told.overall == Decimal("0.5")
    assert round(told.told[0].share, 5) == Decimal("0.13158")


def test_small_caseloads_are_refused() -> None:
    """A therapist with ten clients is counted among the refused and appears nowhere."""
    caseloads = {f"t{n}": Caseload(20, 10) for n in range(5)} | {"small": Caseload(10, 10)}
    told = estimates(caseloads)
    assert told.refused == 1
    assert "small" not in {one.therapist for one in told.told}


def test_few_therapists_are_refused_altogether() -> None:
    """Of four therapists nothing is told: the spread between them cannot be known."""
    with pytest.raises(StopRun, match="FA718"):
        estimates({f"t{n}": Caseload(50, 25) for n in range(4)})


def test_they_come_in_no_order_of_merit() -> None:
    """The order is that of the references, whatever the shares."""
    caseloads = {name: Caseload(20, reached) for name, reached in zip("edcba", (1, 5, 9, 13, 17), strict=True)}
    assert [one.therapist for one in estimates(caseloads).told] == list("abcde")


def test_nobody_reached_it() -> None:
    """A share of nothing is told as nothing."""
    told = estimates({f"t{n}": Caseload(20, 0) for n in range(5)})
    assert {one.share for one in told.told} == {Decimal(0)}
