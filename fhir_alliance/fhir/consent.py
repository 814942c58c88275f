"""From Consent (R4) to the record that is decided on: to the letter, and closed where it cannot be understood."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Any

from fhir_alliance.core.consent_rules import Actor, ConsentRecord, DataReference, Provision
from fhir_alliance.fhir.identifiers import ACT_CODE, CONFIDENTIALITY, TERMS, V3, local

_READ = frozenset(
    {
        "id", "extension", "type", "period", "actor", "action", "securityLabel", "purpose", "class", "code",
        "dataPeriod", "data", "provision",
    }
)  # fmt: skip
# v3-ActCode, a grantor's assent or dissent to the terms of an agreement; E: with exceptions, which the provisions state
_DISSENT, _ASSENT = frozenset({"OPTOUT", "OPTOUTE"}), frozenset({"OPTIN"})
_PURPOSES = frozenset({"", V3 + "ActReason", "http://hl7.org/fhir/v3/ActReason"})
_LABELS = frozenset({"", CONFIDENTIALITY, ACT_CODE, TERMS, "http://hl7.org/fhir/v3/ActCode"})
_ROLES = frozenset({"", V3 + "ParticipationType", V3 + "RoleCode", TERMS})
_RECIPIENT = "IRCP"
_UNKNOWN = "?"  # somebody whom this store cannot name
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
        _provision(resource.get("provision") or {}, 0, base),
        "carries a modifier" if has_modifier else "",
    )


def _provision(rule: Mapping[str, Any], depth: int, base: str) -> Provision:
    if depth > 32:
        raise ValueError("provisions nested too deep")
    period, about = rule.get("period", {}), rule.get("dataPeriod", {})
    if not isinstance(period, dict) or not isinstance(about, dict):
        raise TypeError("a period is an object")
    concepts, actions = rule.get("code", ()), rule.get("action", ())
    vague = {kind for kind, said in (("code", concepts), ("action", actions)) if not all(map(_codings, said))}
    unread = [*(set(rule) - _READ), *(name for name, p in (("period", period), ("dataPeriod", about)) if _is_cut(p))]
    return Provision(
        str(rule.get("type", "")),
        _moment(period["start"], end=False) if "start" in period else None,
        _moment(period["end"], end=True) if "end" in period else None,
        frozenset(_short(purpose, _PURPOSES) for purpose in rule.get("purpose", ())),
        frozenset(str(kind["code"]) for kind in rule.get("class", ())),
        frozenset((str(c.get("system", "")), str(c["code"])) for concept in concepts for c in _codings(concept)),
        tuple(sorted(unread)),
        tuple(_provision(child, depth + 1, base) for child in rule.get("provision", ())),
        frozenset(_actor(actor, base) for actor in rule.get("actor", ())),
        frozenset(str(c["code"]) for concept in actions for c in _codings(concept)),
        frozenset(_short(label, _LABELS) for label in rule.get("securityLabel", ())),
        frozenset(_data(named, base) for named in rule.get("data", ())),
        _moment(about["start"], end=False) if "start" in about else None,
        _moment(about["end"], end=True) if "end" in about else None,
        frozenset(vague),
    )


def _codings(concept: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    found: Iterable[Mapping[str, Any]] = concept.get("coding", ())
    return found


def _is_cut(period: Mapping[str, Any]) -> bool:
    """Return whether a period says that one of its ends is not known."""
    return any(name.startswith("_") for name in period)


def _short(coding: Mapping[str, Any], own: frozenset[str]) -> str:
    """Return the code of a coding; with its system where that is none of the usual ones."""
    system, code = str(coding.get("system", "")), str(coding["code"])
    return code if system in own else f"{system}|{code}"


def _actor(actor: Mapping[str, Any], base: str) -> Actor:
    """Return whom a rule is about. Somebody named otherwise than by a reference of this store is not known here."""
    roles = [_short(coding, _ROLES) for coding in _codings(actor.get("role") or {})]
    role = _RECIPIENT if _RECIPIENT in roles else next(iter(roles), "")
    named = actor.get("reference") or {}
    if not set(named) - {"display", "extension", "id"}:
        return Actor("", role)
    return Actor(local(str(named.get("reference", "")), base) or _UNKNOWN, role)


def _data(named: Mapping[str, Any], base: str) -> DataReference:
    return DataReference(str(named["meaning"]), local(str(named["reference"].get("reference", "")), base))


def _scope(resource: Mapping[str, Any]) -> str:
    """Return the scope's code: privacy where any coding says so."""
    codes = [str(coding.get("code", "")) for coding in (resource.get("scope") or {}).get("coding") or ()]
    return _PRIVACY if _PRIVACY in codes else next(iter(codes), "")


def _base(resource: Mapping[str, Any]) -> str:
    """Return what the policy decides; a dissent among its codes is never read as assent."""
    codes = {coding.get("code", "") for coding in _codings(resource.get("policyRule") or {}) or ()}
    if codes & _DISSENT:
        return "deny"
    return "permit" if codes & _ASSENT else ""


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
