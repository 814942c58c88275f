"""Requests for questionnaires as SDC Tasks, and what the record says of how often a client wants to be asked.

Shape: HL7 Structured Data Capture, profile sdc-task: code complete-questionnaire, the canonical as input, no focus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.core.ordering import Client, Request, RequestStatus
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import instant, software, stored_moment, value_of

SDC: Final = "http://hl7.org/fhir/uv/sdc/CodeSystem/temp"
_DAYS: Final = {"d": 1, "wk": 7, "mo": 30, "a": 365}  # a month is taken as 30 days, as a cadence needs no calendar
_STATUS: Final = {
    RequestStatus.OPEN: "requested",
    RequestStatus.PAUSED: "on-hold",
    RequestStatus.ANSWERED: "completed",
    RequestStatus.EXPIRED: "cancelled",
    RequestStatus.NEEDLESS: "cancelled",
}
_REASON: Final = {RequestStatus.EXPIRED: "Not answered by its date.", RequestStatus.NEEDLESS: "The client has died."}
_OPEN: Final = frozenset({"draft", "requested", "received", "accepted", "ready", "in-progress"})


def new_request(request: Request) -> Write:
    """Return the write that creates a request's Task once."""
    task = {
        "resourceType": "Task",
        "id": request.key,
        "identifier": [{"system": ids.REQUEST, "value": request.key}],
        "status": _STATUS[request.status],
        "intent": "order",
        "priority": "routine",
        "code": {"coding": [{"system": SDC, "code": "complete-questionnaire"}], "text": "Answer a questionnaire"},
        "for": {"reference": request.subject},
        "authoredOn": instant(request.opened),
        "lastModified": instant(request.opened),
        "requester": software(),
        "owner": {"reference": request.subject},
        "restriction": {"period": {"start": instant(request.opened), "end": instant(request.due)}},
        "input": [
            {"type": {"coding": [{"system": SDC, "code": "questionnaire"}]}, "valueCanonical": request.canonical}
        ],
    }
    return Write("Task", ids.REQUEST, request.key, WriteMode.CREATE_ONCE, orjson.dumps(task))


def changed_request(stored: Mapping[str, Any], request: Request, now: datetime) -> Write:
    """Return the write that brings a stored Task to what the request now says, keeping what people wrote."""
    task = {**stored, "status": _STATUS[request.status], "lastModified": instant(now)}
    if request.status is RequestStatus.ANSWERED:
        kind = {"coding": [{"system": SDC, "code": "questionnaire-response"}]}
        task["output"] = [{"type": kind, "valueReference": {"reference": request.response}}]
    if request.status in _REASON:
        task["statusReason"] = {"text": _REASON[request.status]}
    return Write("Task", ids.REQUEST, request.key, WriteMode.KEEP_CURRENT, orjson.dumps(task))


def read_request(resource: Mapping[str, Any], instruments: Mapping[str, str], base: str = "") -> Request | None:
    """Return the request in a stored Task of ours, or None for any other.

    instruments: id by the canonical's url.
    """
    key = request_identifier(resource)
    canonical = next((str(i["valueCanonical"]) for i in resource.get("input") or () if "valueCanonical" in i), "")
    instrument = instruments.get(canonical.partition("|")[0], "")
    if not key or not instrument:
        return None
    period = (resource.get("restriction") or {}).get("period") or {}
    return Request(
        key,
        ids.local(str((resource.get("for") or {}).get("reference", "")), base),
        instrument,
        canonical,
        _status(str(resource.get("status", ""))),
        stored_moment(resource.get("authoredOn")),
        stored_moment(period.get("end")),
        str(resource.get("id", "")),
    )


def request_identifier(resource: Mapping[str, Any]) -> str:
    """Return the key under which we wrote a request, or "" when it is not ours."""
    return value_of(resource, ids.REQUEST)


def clients_of(
    episodes: Iterable[Mapping[str, Any]],
    care_plans: Iterable[Mapping[str, Any]],
    instruments: Mapping[str, str],
    base: str = "",
) -> list[Client]:
    """Return the clients in care: with an active episode or care plan, and the plan's own cadences.

    An activity of the plan that instantiates a Questionnaire gives that client's own cadence by its timing; one on
    hold, stopped or cancelled asks for none.
    """
    own: dict[str, dict[str, int]] = {}
    for resource in episodes:
        if resource.get("status") == "active":
            own.setdefault(_subject(resource, base), {})
    for resource in care_plans:
        if resource.get("status") == "active":
            own.setdefault(_subject(resource, base), {}).update(_plan_cadences(resource, instruments))
    return [Client(subject, own[subject]) for subject in sorted(own) if subject]


def wish_for_fewer(flags: Iterable[Mapping[str, Any]], base: str = "") -> frozenset[str]:
    """Return who asked for fewer forms: the subjects of active Flags with our code `fewer-forms`."""
    return frozenset(_subject(flag, base) for flag in flags if flag.get("status") == "active" and _asks_for_fewer(flag))


def _plan_cadences(plan: Mapping[str, Any], instruments: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for activity in plan.get("activity") or ():
        detail = activity.get("detail") or {}
        for canonical in detail.get("instantiatesCanonical") or ():
            instrument = instruments.get(str(canonical).partition("|")[0])
            days = 0 if detail.get("status") in ("on-hold", "stopped", "cancelled") else _timing_days(detail)
            if instrument is not None and days is not None:
                found[instrument] = days
    return found


def _timing_days(detail: Mapping[str, Any]) -> int | None:
    """Return the days between two occurrences of a timing, at least one; None where it does not say."""
    repeat = (detail.get("scheduledTiming") or {}).get("repeat") or {}
    unit = _DAYS.get(str(repeat.get("periodUnit", "")))
    if unit is None or not repeat.get("period"):
        return None
    return max(1, round(float(repeat["period"]) * unit / int(repeat.get("frequency", 1))))


def _asks_for_fewer(flag: Mapping[str, Any]) -> bool:
    codings = (flag.get("code") or {}).get("coding") or ()
    return any(c.get("system") == ids.TERMS and c.get("code") == "fewer-forms" for c in codings)


def _subject(resource: Mapping[str, Any], base: str) -> str:
    named = resource.get("subject") or resource.get("patient") or {}
    return ids.local(str(named.get("reference", "")), base)


def _status(status: str) -> RequestStatus:
    if status in _OPEN:
        return RequestStatus.OPEN
    return RequestStatus.PAUSED if status == "on-hold" else RequestStatus.CLOSED
