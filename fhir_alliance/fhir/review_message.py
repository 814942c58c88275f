"""A goal review as a Communication, for a store that takes no Task: its words, and the Task as an attachment.

The Task is read back from there with what people have made of the message since, so that reviews work as elsewhere:
evidence joins, a review that lost its ground ends, and what a person completed stays so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.carried_scores import FHIR_JSON, attached, attachment
from fhir_alliance.fhir.elements import is_shaped, software
from fhir_alliance.fhir.task import review_identifier

HeldReview: TypeAlias = tuple[Mapping[str, Any], dict[str, Any]]  # a message, and the Task in it as it is now
_SAID: Final = {  # Communication.status by Task.status, where it is not "in-progress"
    "cancelled": "stopped",
    "entered-in-error": "entered-in-error",
    "completed": "completed",
    "rejected": "not-done",
    "failed": "not-done",
    "on-hold": "on-hold",
}
_MEANT: Final = {  # Task.status by what people make of Communication.status
    "completed": "completed",
    "stopped": "rejected",
    "not-done": "rejected",
    "on-hold": "on-hold",
    "entered-in-error": "entered-in-error",
}


def review_message(task: Mapping[str, Any], group: str, earlier: str = "", *, is_blind: bool = False) -> Write:
    """Return the write of a review's message. task: as it should stand, its references resolved.

    earlier: the id of a message that cannot be changed and that this one follows.  is_blind: whether there is one
    cannot be seen. In both cases the key derives from the reasons as well, so that new ones are a new message.
    """
    review = review_identifier(task)
    key = derived(review, *sorted(_reasons(task))) if earlier or is_blind else review
    meta = {name: value for name, value in (task.get("meta") or {}).items() if name == "security"}
    kept = {**task, "meta": {k: v for k, v in (task.get("meta") or {}).items() if k in ("profile", "security")}}
    body: dict[str, Any] = {
        "resourceType": "Communication",
        "id": key,
        "meta": meta,
        "identifier": [{"system": ids.REVIEW, "value": key}],
        "status": _SAID.get(str(task.get("status")), "in-progress"),  # completed by whoever has dealt with it
        "category": [{"coding": [{"system": ids.COMMUNICATION_CATEGORY, "code": "notification"}]}],
        "priority": task.get("priority", "routine"),
        "topic": task["code"],
        "subject": task["for"],
        "sent": task["lastModified"] if earlier else task["authoredOn"],
        "sender": software(),
        "payload": [
            {"contentString": task["description"]},
            {"contentAttachment": attachment(FHIR_JSON, "The review (FHIR)", orjson.dumps(kept))},
        ],
    }
    for element, name in (("focus", "about"), ("owner", "recipient")):
        if element in task:
            body[name] = [task[element]]
    for name in ("encounter", "basedOn", "statusReason"):
        if name in task:
            body[name] = task[name]
    if earlier:
        body["inResponseTo"] = [{"reference": f"Communication/{earlier}"}]
    return Write("Communication", ids.REVIEW, key, WriteMode.CREATE_ONCE, orjson.dumps(body), group)


def carried_in_messages(messages: Iterable[Mapping[str, Any]]) -> dict[str, HeldReview]:
    """Return, by the review's key, each review of ours in a message; of several that follow one another, the last."""
    found: dict[str, HeldReview] = {}
    for message in messages:
        task = _task(message)
        key = review_identifier(task) if task is not None else ""
        if task is not None and key and (key not in found or _changed(found[key][1]) <= _changed(task)):
            found[key] = (message, task)
    return found


def _task(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the Task in a message, with what people have made of the message; None where there is none of ours."""
    payload = message.get("payload")
    parts = payload if isinstance(payload, list) else []
    found = attached(part.get("contentAttachment") if isinstance(part, dict) else None for part in parts)
    if not isinstance(found, dict) or found.get("resourceType") != "Task" or not is_shaped(found):
        return None
    status = str(message.get("status", ""))
    if status != _SAID.get(str(found.get("status")), "in-progress"):  # a person has changed it since
        found.pop("statusReason", None)
        found["status"] = _MEANT.get(status, "requested")
        held = message.get("meta")
        since = held.get("lastUpdated") if isinstance(held, dict) else None
        found |= {"meta": {**found.get("meta", {}), "lastUpdated": since}} if since else {}
    return found


def _changed(task: Mapping[str, Any]) -> str:
    return str(task.get("lastModified", ""))


def _reasons(task: Mapping[str, Any]) -> Iterable[str]:
    values = (entry.get("valueReference") or {} for entry in task.get("input") or ())
    return (str((value.get("identifier") or {}).get("value", "")) for value in values)
