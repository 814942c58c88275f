"""A goal review as a Communication, for a store that takes no Task: its words, and the Task as an attachment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.carried_review import HeldReview, Stages, over, read_carried, security, travelling_key
from fhir_alliance.fhir.carried_scores import FHIR_JSON, attached, attachment
from fhir_alliance.fhir.elements import software

_STAGES: Final = Stages(
    usual="in-progress",  # completed by whoever has dealt with it
    said={
        "cancelled": "stopped",
        "entered-in-error": "entered-in-error",
        "completed": "completed",
        "rejected": "not-done",
        "failed": "not-done",
        "on-hold": "on-hold",
    },
    meant={
        "completed": "completed",
        "stopped": "rejected",
        "not-done": "rejected",
        "on-hold": "on-hold",
        "entered-in-error": "entered-in-error",
    },
)


def review_message(
    task: Mapping[str, Any], group: str, held: Mapping[str, Any] | None = None, *, earlier: str = "",
    is_blind: bool = False,
) -> Write:  # fmt: skip
    """Return the write of a review's message. task: as it should stand, its references resolved.

    held: the message that is changed.  earlier: the id of one that cannot be changed, and that this one follows.
    is_blind: whether there is one cannot be seen.
    """
    key = travelling_key(task, is_further=bool(earlier) or is_blind)
    kept = {**task, "meta": {k: v for k, v in (task.get("meta") or {}).items() if k in ("profile", "security")}}
    body: dict[str, Any] = {
        "resourceType": "Communication",
        "id": key,
        "meta": security(task),
        "identifier": [{"system": ids.REVIEW, "value": key}],
        "status": _STAGES.of(task),
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
    if held is not None:
        firm = ("identifier", "sent", "inResponseTo", "recipient")
        body = over(held, body, firm=firm, passing=("statusReason",))
    return Write("Communication", ids.REVIEW, key, WriteMode.CREATE_ONCE, orjson.dumps(body), group)


def carried_in_messages(messages: Iterable[Mapping[str, Any]]) -> dict[str, HeldReview]:
    """Return, by the review's key, each review of ours in a message; of several that follow one another, the last."""
    return read_carried(messages, _attached_task, _STAGES)


def _attached_task(message: Mapping[str, Any]) -> Any:
    payload = message.get("payload")
    parts = payload if isinstance(payload, list) else []
    return attached(part.get("contentAttachment") if isinstance(part, dict) else None for part in parts)
