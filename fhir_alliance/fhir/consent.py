"""From Consent (R4) to the record that the gate decides on."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Any

from fhir_alliance.core.consent import ConsentRecord, Provision
from fhir_alliance.fhir.identifiers import local

_READ = frozenset({"id", "extension", "type", "period", "purpose", "class", "code", "provision"})
# v3-ActCode, a grantor's assent or dissent to the terms of an agreement
_BASE_OF_POLICY = {"OPTIN": "permit", "OPTOUT": "deny"}
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-\d\d(T.+)?)?)?", re.ASCII)
_PRIVACY = "patient-privacy"


def read_consent(resource: Mapping[str, Any], base: str = "") -> ConsentRecord:
    """Return the Consent as a record; what cannot be understood makes it `unreadable`, never permissive."""
    reference = f"Consent/{resource.get('id', '?')}"
    try:
        return _read(resource, reference, base)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError):
        subject = ""
        with suppress(TypeError, AttributeError):
            subject = local(str((resource.get("patient") or {}).get("reference", "")), base)
        return ConsentRecord(reference, subject, "", "", None, "", Provision(""), "cannot be read")


def _read(resource: Mapping[str, Any], reference: str, base: str) -> ConsentRecord:
    version = (resource.get("meta") or {}).get("versionId")
    has_modifier = resource.get("implicitRules") or resource.get("modifierExtension")
    return ConsentRecord(
        reference + (f"/_history/{version}" if version else ""),
        local(str((resource.get("patient") or {}).get("reference", "")), base),
        str(resource.get("status", "")),
        _scope(resource),
        _moment(resource["dateTime"], end=False) if "dateTime" in resource else None,
        _base(resource),
        _provision(resource.get("provision") or {}, 0),
        "carries a modifier" if has_modifier else "",
    )


def _provision(rule: Mapping[str, Any], depth: int) -> Provision:
    if depth > 32:
        raise ValueError("provisions nested too deep")
    period = rule.get("period", {})
    if not isinstance(period, dict):
        raise TypeError("a period is an object")
    concepts = rule.get("code", ())
    in_words = ["code"] if any(not concept.get("coding") for concept in concepts) else []
    return Provision(
        str(rule.get("type", "")),
        _moment(period["start"], end=False) if "start" in period else None,
        _moment(period["end"], end=True) if "end" in period else None,
        frozenset(str(purpose["code"]) for purpose in rule.get("purpose", ())),
        frozenset(str(kind["code"]) for kind in rule.get("class", ())),
        frozenset(
            (str(coding.get("system", "")), str(coding["code"]))
            for concept in concepts
            for coding in concept.get("coding", ())
        ),
        tuple(sorted([*(set(rule) - _READ), *in_words])),
        tuple(_provision(child, depth + 1) for child in rule.get("provision", ())),
    )


def _scope(resource: Mapping[str, Any]) -> str:
    """Return the scope's code: privacy where any coding says so."""
    codes = [str(coding.get("code", "")) for coding in (resource.get("scope") or {}).get("coding") or ()]
    return _PRIVACY if _PRIVACY in codes else next(iter(codes), "")


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
    if not isinstance(text, str) or _DATE.fullmatch(text) is None:
        raise ValueError("not a FHIR dateTime")
    if len(text) <= 10:
        year, month, day = (int(part) for part in f"{text}-00-00"[:10].split("-"))
        first = date(year, month or 1, day or 1)
        if not end:
            return datetime.combine(first, time.min, UTC)
        last_month = month or 12
        return datetime.combine(date(year, last_month, day or monthrange(year, last_month)[1]), time.max, UTC)
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time needs its zone")
    return when
