"""Requests to renew a Consent, as Tasks: one for each Consent that runs out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.core.renewal import Renewal, RenewalStatus
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import instant, software, stored_moment, value_of
from fhir_alliance.fhir.labels import codings

RENEW_CONSENT: Final = "renew-consent"
OPEN: Final = frozenset({"draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold"})
_TITLE: Final = "Ask the client for a new consent"


def new_renewal(renewal: Renewal, now: datetime) -> Write:
    """Return the write that creates a request's Task once."""
    ran_out = renewal.ends < now
    task = {
        "resourceType": "Task",
        "id": renewal.key,
        "meta": {"security": codings(("R",))},
        "identifier": [{"system": ids.RENEWAL, "value": renewal.key}],
        "status": "requested",
        "intent": "order",
        "priority": "routine",
        "code": {"coding": [{"system": ids.TERMS, "code": RENEW_CONSENT}], "text": _TITLE},
        "description": f"{_TITLE}. The consent {'ran' if ran_out else 'runs'} out on {renewal.ends:%Y-%m-%d}.",
        "focus": {"reference": renewal.consent},
        "for": {"reference": renewal.subject},
        "authoredOn": instant(now),
        "lastModified": instant(now),
        "requester": software(),
        "restriction": {"period": {"end": instant(max(renewal.ends, now))}},
    }
    return Write("Task", ids.RENEWAL, renewal.key, WriteMode.CREATE_ONCE, orjson.dumps(task))


def closed_renewal(stored: Mapping[str, Any], renewal: Renewal, now: datetime) -> Write:
    """Return the write that closes a request, keeping what people wrote."""
    reason = {"text": "A consent stands again, the old one was ended, or the client has died."}
    task = {**stored, "status": "completed", "statusReason": reason, "lastModified": instant(now)}
    return Write("Task", ids.RENEWAL, renewal.key, WriteMode.KEEP_CURRENT, orjson.dumps(task))


def renewal_identifier(resource: Mapping[str, Any]) -> str:
    """Return the key under which we wrote a request, or "" when it is not ours."""
    return value_of(resource, ids.RENEWAL)


def read_renewal(resource: Mapping[str, Any], base: str = "") -> Renewal:
    """Return the request in a stored Task of ours."""
    return Renewal(
        renewal_identifier(resource),
        ids.local(str((resource.get("for") or {}).get("reference", "")), base),
        ids.local(str((resource.get("focus") or {}).get("reference", "")), base),
        stored_moment(((resource.get("restriction") or {}).get("period") or {}).get("end")),
        RenewalStatus.OPEN if resource.get("status") in OPEN else RenewalStatus.LEFT,
        str(resource.get("id", "")),
    )
