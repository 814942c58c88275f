"""Whether a client's Consent keeps one person out, told from a denial to everybody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_alliance.core.boundaries import Identity
from fhir_alliance.core.consent_rules import Actor, ConsentRecord, Provision
from fhir_alliance.core.exclusion import is_denied_by_name

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TOM = Identity(frozenset({"Practitioner/tom", "PractitionerRole/tom"}), frozenset({"Organization/clinic"}))


def rule(kind: str, *exceptions: Provision, **kinds: Any) -> Provision:
    """Return a rule."""
    return Provision(kind, provisions=exceptions, **kinds)


def to(*references: str) -> dict[str, Any]:
    """Return the element kind of actors."""
    return {"actors": frozenset(Actor(reference) for reference in references)}


@pytest.mark.parametrize(
    ("root", "is_out"),
    [
        (rule("deny"), False),
        (rule("permit"), False),
        (rule("permit", rule("deny", **to("Practitioner/tom"))), True),
        (rule("permit", rule("deny", **to("PractitionerRole/tom"))), True),
        (rule("permit", rule("deny", **to("Organization/clinic"))), True),
        (rule("permit", rule("deny", **to("Practitioner/lea"))), False),
        (rule("deny", **to("Practitioner/tom")), True),
        (rule("permit", rule("deny", actors=frozenset({Actor("", "IRCP")}))), False),
        (rule("permit", rule("deny", **to("Practitioner/tom"), purposes=frozenset({"HRESCH"}))), False),
        (rule("deny", rule("permit", **to("Practitioner/tom"))), False),
        (rule("permit", rule("deny", ends=NOW.replace(year=2025), **to("Practitioner/tom"))), False),
    ],
)
def test_who_is_denied_by_name(root: Provision, is_out: bool) -> None:
    """Somebody is kept out where they, or whom they act for, are named in a denial of treatment that is in force."""
    record = ConsentRecord("Consent/c", "Patient/anna", "active", "patient-privacy", None, "", root)
    assert is_denied_by_name([record], TOM, "Patient/anna", NOW) is is_out


def test_a_denial_to_everybody_names_nobody() -> None:
    """Beside a Consent that denies everything, one that names somebody still does."""
    roots = (rule("deny"), rule("deny", **to("Practitioner/tom")))
    records = [
        ConsentRecord(f"Consent/{n}", "Patient/anna", "active", "patient-privacy", None, "", root)
        for n, root in enumerate(roots)
    ]
    assert not is_denied_by_name(records[:1], TOM, "Patient/anna", NOW)
    assert is_denied_by_name(records, TOM, "Patient/anna", NOW)
