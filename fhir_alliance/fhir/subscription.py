"""The one Subscription of ours on a server: it tells that forms changed, and nothing of what stands in them.

Source: FHIR R4, Subscription (hl7.org/fhir/R4/subscription.html): a rest-hook without `payload` sends no content.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from fhir_alliance.fhir.elements import instant
from fhir_alliance.fhir.identifiers import BASE

NOTICE_HEADER: Final = "X-FHIR-Alliance-Notice"
CRITERIA: Final = "QuestionnaireResponse?"  # in any status: an unfinished form can hold a safety answer
_TAG: Final = {"system": f"{BASE}/sid/subscription", "code": "listen"}


class State(StrEnum):
    """Subscription.status, as far as it matters here. REQUESTED: the server has to turn it on."""

    REQUESTED = "requested"
    ACTIVE = "active"
    ERROR = "error"
    OFF = "off"
    GONE = "gone"  # no status of FHIR: it is not there any more


def subscription(address: str, secret: str, end: datetime) -> dict[str, Any]:
    """Return the Subscription as it is asked for.

    address: where notices are sent.  secret: stands in a header of every notice.  end: from when on the server has
    to stop by itself, should nobody switch it off.
    """
    channel: dict[str, Any] = {"type": "rest-hook", "endpoint": address}
    if secret:
        channel["header"] = [f"{NOTICE_HEADER}: {secret}"]
    return {
        "resourceType": "Subscription",
        "meta": {"tag": [_TAG]},
        "status": State.REQUESTED.value,
        "end": instant(end),
        "reason": "New and changed questionnaire responses are scored soon after they come.",
        "criteria": CRITERIA,
        "channel": channel,
    }


def switched_off(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Subscription of ours as it is left behind: off, and without its secret."""
    channel = {name: value for name, value in stored["channel"].items() if name != "header"}
    return {**stored, "status": State.OFF.value, "channel": channel}


def is_ours(stored: Mapping[str, Any], address: str) -> bool:
    """Return whether a Subscription is one of ours that sends its notices to this address."""
    tags = (stored.get("meta") or {}).get("tag") or ()
    return _TAG in [{"system": tag.get("system"), "code": tag.get("code")} for tag in tags] and (
        (stored.get("channel") or {}).get("endpoint") == address
    )


def state_of(stored: Mapping[str, Any]) -> State:
    """Return what a server says of a Subscription; what is no status counts as an error."""
    said = stored.get("status")
    return State(said) if said in set(State) - {State.GONE} else State.ERROR
