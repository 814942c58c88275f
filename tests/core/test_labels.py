"""Labels: whatever is made of data carries the highest of their confidentialities and all of their sensitivities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.labels import (
    NOTES,
    ORDER,
    OUTSIDE,
    OWN_RECORD,
    PART_2,
    Ceiling,
    confidentiality,
    covers,
    lifted,
    may_carry,
    union,
)

LABELS = st.lists(st.sampled_from([*ORDER, "PSY", "ETH", PART_2, NOTES, "urn:x|y"]), max_size=5)
CEILINGS = st.builds(Ceiling, st.sampled_from(ORDER), st.frozensets(st.sampled_from(["PSY", "ETH", PART_2])))


@given(LABELS, LABELS)
def test_a_union_is_as_high_as_its_parts(one: list[str], other: list[str]) -> None:
    """Nothing is lost, nothing falls, and there is one confidentiality at most."""
    both = union(one, other)
    assert covers(both, one)
    assert covers(both, other)
    assert len([label for label in both if label in ORDER]) <= 1
    assert len(set(both)) == len(both)
    assert set(both) <= {*one, *other}


@given(LABELS, LABELS, LABELS)
def test_order_and_grouping_do_not_matter(one: list[str], other: list[str], third: list[str]) -> None:
    """Items first or scales first: a document is labelled alike."""
    assert set(union(one, union(other, third))) == set(union(union(third, one), other))
    assert union(one, one) == union(one)


@given(LABELS, LABELS, CEILINGS)
def test_more_labels_open_nothing(one: list[str], other: list[str], ceiling: Ceiling) -> None:
    """Adding labels never lets a datum out that was kept in, once it is known how confidential it is."""
    if any(label in ORDER for label in one) and may_carry(union(one, other), ceiling):
        assert may_carry(one, ceiling)


@pytest.mark.parametrize("labels", [[], ["PSY"], ["urn:x|R"]])
def test_what_does_not_say_is_very_restricted(labels: list[str]) -> None:
    """A datum without a confidentiality of ours goes nowhere but into its own record."""
    assert confidentiality(labels) == "V"
    assert not may_carry(labels, OUTSIDE)
    assert may_carry(labels, OWN_RECORD)


@pytest.mark.parametrize(
    ("labels", "goes"),
    [(["R", "PSY"], True), (["N"], True), (["V", "PSY"], False), (["R", PART_2], False), (["R", NOTES], False)],
)
def test_what_may_leave(labels: list[str], goes: bool) -> None:
    """Restricted data may leave where consent permits; very restricted data, notes and Part 2 data may not."""
    assert may_carry(labels, OUTSIDE) is goes


def test_a_decision_lifts_what_it_names() -> None:
    """A consent decision that names Part 2 data lets these through, and nothing else."""
    ceiling = lifted(OUTSIDE, PART_2)
    assert may_carry(["R", PART_2], ceiling)
    assert not may_carry(["R", PART_2, NOTES], ceiling)
    assert not may_carry(["V", PART_2], ceiling)
