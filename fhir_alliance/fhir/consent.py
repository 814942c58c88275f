"""From Consent (R4) to the record that the gate decides on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any

from fhir_alliance.core.consent import ConsentRecord, Provision
from fhir_alliance.fhir.identifiers import local

_READ = frozenset({"id", "extension", "type", "period", "purpose", "class", "code", "provision"})
_BASE_OF_POLICY = {"OPTIN": "deny", "OPTOUT": "permit"}  # v3-ActCode: opt-in starts closed, opt-out open


def read_consent(resource: Mapping[str, Any], base: str = "") -> ConsentRecord:
    """Return the Consent as a record; what cannot be understood makes it `unreadable`, never permissive."""
    reference = f"Consent/{resource.get('id', '?')}"
    version = (resource.get("meta") or {}).get("versionId")
    trouble = ""
    if resource.get("implicitRules") or resource.get("modifierExtension"):
        trouble = "carries a modifier"
    try:
        root = _provision(resource.get("provision") or {}, 0)
        given = _moment(resource["dateTime"], end=False) if "dateTime" in resource else None
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        root, given, trouble = Provision(""), None, "cannot be read"
    return ConsentRecord(
        reference + (f"/_history/{version}" if version else ""),
        local(str((resource.get("patient") or {}).get("reference", "")), base),
        str(resource.get("status", "")),
        _scope(resource),
        given,
        _base(resource),
        root,
        trouble,
    )


def _provision(rule: Mapping[str, Any], depth: int) -> Provision:
    if depth > 32:
        raise ValueError("provisions nested too deep")
    period = rule.get("period") or {}
    return Provision(
        str(rule.get("type", "")),
        _moment(period["start"], end=False) if "start" in period else None,
        _moment(period["end"], end=True) if "end" in period else None,
        frozenset(str(purpose["code"]) for purpose in rule.get("purpose", ())),
        frozenset(str(kind["code"]) for kind in rule.get("class", ())),
        frozenset(
            (str(coding.get("system", "")), str(coding["code"]))
            for concept in rule.get("code", ())
            for coding in concept.get("coding", ())
        ),
        tuple(sorted(set(rule) - _READ)),
        tuple(_provision(child, depth + 1) for child in rule.get("provision", ())),
    )


def _scope(resource: Mapping[str, Any]) -> str:
    codings = (resource.get("scope") or {}).get("coding") or ()
    return next((str(coding.get("code", "")) for coding in codings), "")


def _base(resource: Mapping[str, Any]) -> str:
    for coding in (resource.get("policyRule") or {}).get("coding") or ():
        if coding.get("code") in _BASE_OF_POLICY:
            return _BASE_OF_POLICY[coding["code"]]
    return ""


def _moment(text: str, *, end: bool) -> datetime:
    """Return the first or last moment that a FHIR dateTime of any precision covers, in UTC.

    A bare day has no zone; it is taken at its widest (UTC-12 to UTC+14 would be wider still, but a
    consent that runs to a day is in force all of that day where the clinic is, so a day in UTC is kept).
    """
    if len(text) == 4:
        text += "-12-31" if end else "-01-01"
    elif len(text) == 7:
        year, month = int(text[:4]), int(text[5:])
        if end:
            following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
            return datetime.fromtimestamp(following.timestamp() - 1, UTC)
        text += "-01"
    if len(text) == 10:
        day = datetime.fromisoformat(text).date()
        return datetime.combine(day, time.max if end else time.min, UTC)
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time needs its zone")
    return when.astimezone(UTC)
