"""What a review hangs on, from the client's Goals, CarePlans, CareTeams and the session's Encounter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fhir_alliance.core.reviews import Setting
from fhir_alliance.fhir.identifiers import local

_OWNERS = ("Practitioner/", "PractitionerRole/")


def setting_of(
    subject: str,
    encounter: Mapping[str, Any] | None,
    goals: Sequence[Mapping[str, Any]],
    care_plans: Sequence[Mapping[str, Any]],
    care_teams: Sequence[Mapping[str, Any]],
    base: str = "",
) -> Setting:
    """Return the client's setting; what the record does not hold stays empty, nothing is guessed."""
    seen = encounter or {}
    pursued = _active(goals, "Goal", "lifecycleStatus", "startDate")
    return Setting(
        subject,
        _first(seen.get("episodeOfCare"), base),
        f"Encounter/{seen['id']}" if seen.get("id") else "",
        _lead(care_teams, base) or _practitioner(seen, base),
        next(iter(pursued), ""),
        next(iter(_active(care_plans, "CarePlan", "status", "created")), ""),
        tuple(pursued),
    )


def _active(resources: Iterable[Mapping[str, Any]], kind: str, status: str, date: str) -> list[str]:
    """Return the references of the active ones, the one that stands longest first."""
    active = [r for r in resources if r.get(status) == "active" and r.get("id")]
    return [f"{kind}/{r['id']}" for r in sorted(active, key=lambda r: (str(r.get(date, "9999")), str(r["id"])))]


def supervisor_of(care_teams: Iterable[Mapping[str, Any]], base: str = "") -> str:
    """Return who supervises the client's care, or "" where the care team does not say.

    The stem is the same word in English, German, Spanish and French.
    """
    return _with_role(care_teams, "supervis", base)


def _lead(care_teams: Iterable[Mapping[str, Any]], base: str) -> str:
    return _with_role(care_teams, "lead", base)


def _with_role(care_teams: Iterable[Mapping[str, Any]], word: str, base: str) -> str:
    """Return the participant of an active care team whose role has a word."""
    for team in care_teams:
        if team.get("status", "active") != "active":
            continue
        for participant in team.get("participant") or ():
            reference = local(str((participant.get("member") or {}).get("reference", "")), base)
            if reference.startswith(_OWNERS) and word in _words(participant.get("role") or ()):
                return reference
    return ""


def _words(concepts: Iterable[Mapping[str, Any]]) -> str:
    texts = [str(c.get("text", "")) for c in concepts]
    texts += [str(coding.get("display", "")) for c in concepts for coding in c.get("coding") or ()]
    return " ".join(texts).lower()


def _practitioner(encounter: Mapping[str, Any], base: str) -> str:
    for participant in encounter.get("participant") or ():
        reference = local(str((participant.get("individual") or {}).get("reference", "")), base)
        if reference.startswith(_OWNERS):
            return reference
    return ""


def _first(references: Any, base: str) -> str:
    return next((local(str(r.get("reference", "")), base) for r in references or ()), "")
