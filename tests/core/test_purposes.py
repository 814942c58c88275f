"""Purposes of use: a whole and consistent tree."""

from __future__ import annotations

import pytest

from fhir_alliance.core.purposes import ANY, KNOWN, PARENT, covers


def test_the_tree_is_whole() -> None:
    """All 63 codes that HL7 has below PurposeOfUse are there, and each leads up to it."""
    assert len(KNOWN) == 63
    assert all(covers(ANY, code) for code in KNOWN)
    assert set(PARENT.values()) <= KNOWN


@pytest.mark.parametrize(
    ("wider", "purpose"),
    [
        ("TREAT", "TREAT"), ("TREAT", "ETREAT"), ("TREAT", "BTG"), ("ETREAT", "BTG"), ("HPAYMT", "COVAUTH"),
        ("HPAYMT", "ELIGDTRM"), ("HOPERAT", "HQUALIMP"), ("HOPERAT", "TRAIN"), ("HRESCH", "CLINTRCHPC"),
    ],
)  # fmt: skip
def test_a_wider_purpose_covers(wider: str, purpose: str) -> None:
    """A purpose covers itself and what is part of it, and never what it is part of."""
    assert covers(wider, purpose)
    assert wider == purpose or not covers(purpose, wider)


@pytest.mark.parametrize(("one", "other"), [("TREAT", "HPAYMT"), ("HRESCH", "CLINTRL"), ("COVAUTH", "CLMATTCH")])
def test_purposes_beside_each_other_do_not_cover(one: str, other: str) -> None:
    """Purposes of different branches have nothing to do with each other: a clinical trial's care is no research."""
    assert not covers(one, other)
    assert not covers(other, one)


def test_an_unknown_purpose_covers_itself_alone() -> None:
    """A purpose that HL7 does not have is no part of any, not even of all purposes."""
    assert covers("http://example.org|FooBar", "http://example.org|FooBar")
    assert not covers(ANY, "http://example.org|FooBar")
    assert not covers("http://example.org|FooBar", "TREAT")
