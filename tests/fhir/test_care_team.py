"""Roles as care teams say them."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_alliance.core.consent_request import Role
from fhir_alliance.fhir.care_team import team_roles
from fhir_alliance.fhir.identifiers import TERMS

TOM = "Practitioner/tom"


def team(reference: str, role: dict[str, Any], **elements: Any) -> dict[str, Any]:
    """Return a care team with one participant."""
    return {"status": "active", "participant": [{"member": {"reference": reference}, "role": [role]}]} | elements


@pytest.mark.parametrize(
    ("role", "found"),
    [
        ({"text": "lead therapist"}, {Role.TREATING}),
        ({"text": "Supervisor"}, {Role.SUPERVISING}),
        ({"text": "supervising psychologist"}, {Role.SUPERVISING}),
        ({"coding": [{"system": "http://example.org", "display": "Clinical psychologist"}]}, {Role.TREATING}),
        ({"coding": [{"system": TERMS, "code": "supervising"}]}, {Role.SUPERVISING}),
        ({"coding": [{"system": TERMS, "code": "notes-author"}]}, {Role.NOTES_AUTHOR}),
        ({"coding": [{"system": TERMS, "code": "custodian"}]}, set()),
        ({"coding": [{"system": TERMS, "code": "client"}]}, set()),
        ({"coding": [{"system": "http://example.org", "code": "supervising"}]}, set()),
        ({"text": "receptionist"}, set()),
        ({}, set()),
    ],
)  # fmt: skip
def test_what_a_participant_is(role: dict[str, Any], found: set[Role]) -> None:
    """Our own codes count as they are, else words tell; whoever has neither has no role."""
    assert set(team_roles([team(TOM, role)]).get(TOM, ())) == found


def test_relatives_are_family_and_nothing_else() -> None:
    """A related person is family, whatever a team calls them; an organization is not made a therapist by words."""
    found = team_roles(
        [team("RelatedPerson/r", {"text": "lead therapist"}), team("Organization/o", {"text": "therapy"})]
    )
    assert found == {"RelatedPerson/r": frozenset({Role.FAMILY})}


def test_only_active_teams_count() -> None:
    """A team that is no longer active gives no role; somebody of another server is nobody here."""
    assert team_roles([team(TOM, {"text": "lead"}, status="inactive")]) == {}
    assert team_roles([team("https://elsewhere.example/Practitioner/tom", {"text": "lead"})]) == {}
    base = "https://here.example/fhir"
    assert team_roles([team(f"{base}/Practitioner/tom", {"text": "lead"})], base) == {TOM: frozenset({Role.TREATING})}
