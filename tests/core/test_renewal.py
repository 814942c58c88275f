"""Consents that run out are asked for anew: once, in time, and no longer than needed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.consent import ConsentRecord, Provision
from fhir_alliance.core.renewal import Renewal, RenewalStatus, plan_renewals
from fhir_alliance.testing import START

ANNA = "Patient/anna"
DAY = timedelta(days=1)
TREAT, PAYMENT = frozenset({"TREAT"}), frozenset({"HPAYMT"})


def consent(name: str, ends: datetime | None, purposes: frozenset[str] = TREAT, **elements: Any) -> ConsentRecord:
    """Return a Consent of Anna's that permits."""
    root = Provision("permit", None, ends, purposes)
    record = ConsentRecord(f"Consent/{name}/_history/1", ANNA, "active", "patient-privacy", START, "", root)
    return msgspec.structs.replace(record, **elements)


def planned(*consents: ConsentRecord, standing: tuple[Renewal, ...] = (), days: int = 30) -> list[tuple[str, str]]:
    """Return the Consents that are asked for, or no longer, on the day after the start."""
    return [(r.consent, r.status.value) for r in plan_renewals(consents, standing, START + DAY, days)]


@pytest.mark.parametrize(
    ("ends", "asked"),
    [(START, True), (START + 31 * DAY, True), (START + 31 * DAY + timedelta(seconds=1), False), (None, False)],
    ids=["has run out", "runs out in 30 days", "later", "never"],
)
def test_in_time(ends: datetime | None, asked: bool) -> None:
    """From the set number of days before its end on, and after it, a new Consent is asked for."""
    assert planned(consent("a", ends)) == ([("Consent/a", "open")] if asked else [])


def test_once() -> None:
    """A request that stands, or that people ended, is not opened again; a new term of the same Consent asks anew."""
    [first] = plan_renewals([consent("a", START)], (), START + DAY, 30)
    for status in RenewalStatus:
        assert planned(consent("a", START), standing=(msgspec.structs.replace(first, status=status),)) == []
    assert planned(consent("a", START + DAY), standing=(first,)) == [("Consent/a", "open"), ("Consent/a", "closed")]


@pytest.mark.parametrize(
    ("other", "is_asked"),
    [
        (consent("b", START + 99 * DAY), False),
        (consent("b", None), False),
        (consent("b", None, TREAT | PAYMENT), False),
        (consent("b", None, frozenset()), False),
        (consent("b", None, PAYMENT), True),
        (consent("b", START + 99 * DAY, status="inactive"), True),
        (consent("b", START + 99 * DAY, unreadable="cannot be read"), True),
        (consent("b", None, root=Provision("deny", None, None, TREAT)), True),
        (consent("b", None, given=START + 99 * DAY), True),
    ],
    ids=["longer", "for good", "wider", "any purpose", "another purpose", "ended", "unreadable", "a denial", "to come"],
)  # fmt: skip
def test_where_another_stands(other: ConsentRecord, is_asked: bool) -> None:
    """A Consent that goes on longer and permits as much takes its place; nothing else does."""
    assert (("Consent/a", "open") in planned(consent("a", START), other)) is is_asked


def test_it_closes() -> None:
    """A request closes when a new Consent stands, and when the old one was ended; people's own endings stay."""
    standing = tuple(plan_renewals([consent("a", START)], (), START + DAY, 30))
    assert planned(consent("a", START), consent("b", None), standing=standing) == [("Consent/a", "closed")]
    assert planned(standing=standing) == [("Consent/a", "closed")]
    left = tuple(msgspec.structs.replace(renewal, status=RenewalStatus.LEFT) for renewal in standing)
    assert planned(standing=left) == []


def test_what_permits_nothing_is_not_renewed() -> None:
    """A denial that runs out is no consent that anybody would have to ask for."""
    assert planned(consent("a", START, root=Provision("deny", None, START))) == []
    nested = Provision("", None, START, provisions=(Provision("permit", purposes=TREAT),))
    assert planned(consent("a", START, root=nested)) == [("Consent/a", "open")]


def test_nobody_is_asked_for_a_client_who_has_died() -> None:
    """A Consent that runs out asks for nothing once the client has died, and a request that stands is closed."""
    [standing] = plan_renewals([consent("a", START)], (), START + DAY, 30)
    assert plan_renewals([consent("a", START)], (), START + DAY, 30, has_died=True) == []
    [closed] = plan_renewals([consent("a", START)], (standing,), START + DAY, 30, has_died=True)
    assert closed.status is RenewalStatus.CLOSED
