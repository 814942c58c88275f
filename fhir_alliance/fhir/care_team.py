"""Who is what to a client, as the client's care teams say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_alliance.core.consent_request import Role
from fhir_alliance.fhir.identifiers import TERMS, local

# Words in a participant's role, in the languages of our forms. "Lead" is how teams mark who treats.
_SUPERVISING = ("supervis", "superviseur", "supervisión")
_TREATING = (
    "lead", "therap", "thérap", "terap", "psycholog", "psiquiatr", "psychiatr", "psycholog", "psicólog", "counsel",
    "clinician", "behandel",
)  # fmt: skip
_STAFF = ("Practitioner/", "PractitionerRole/", "CareTeam/")
_ROLES = {role.value: role for role in Role}


def team_roles(teams: Iterable[Mapping[str, Any]], base: str = "") -> dict[str, frozenset[Role]]:
    """Return the roles of a client's active care teams by reference.

    A role that our code system names counts as it is; else the words of the role are read. A relative is family.
    Who takes part without any of this has no role.
    """
    found: dict[str, set[Role]] = {}
    for team in teams:
        if team.get("status", "active") != "active":
            continue
        for participant in team.get("participant") or ():
            reference = local(str((participant.get("member") or {}).get("reference", "")), base)
            if reference:
                found.setdefault(reference, set()).update(_roles(reference, participant.get("role") or ()))
    return {reference: frozenset(roles) for reference, roles in found.items() if roles}


def _roles(reference: str, concepts: Iterable[Mapping[str, Any]]) -> set[Role]:
    if reference.startswith("RelatedPerson/"):
        return {Role.FAMILY}
    roles = set[Role]()
    for concept in concepts:
        codings = concept.get("coding") or ()
        roles |= {_ROLES[c["code"]] for c in codings if c.get("system") == TERMS and c.get("code") in _ROLES}
        words = " ".join([str(concept.get("text", "")), *(str(c.get("display", "")) for c in codings)]).lower()
        if reference.startswith(_STAFF):
            if any(word in words for word in _SUPERVISING):
                roles.add(Role.SUPERVISING)
            elif any(word in words for word in _TREATING):
                roles.add(Role.TREATING)
    return roles - {Role.CUSTODIAN, Role.CLIENT}  # no care team makes somebody the record, or the client
