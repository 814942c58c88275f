"""A goal review as a ServiceRequest of intent `proposal`: a suggestion that is no order, with the Task contained in it.

FHIR R4 has three intents below an order: "proposal: The request is a suggestion made by someone/something that does not
have an intention to ensure it occurs and without providing an authorization to act" (hl7.org/fhir/R4,
valueset-request-intent). R4 gives a request no reason for its status, so that it stands in our note. A contained
resource has no labels of its own (invariant dom-5): those of the request are the review's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.carried_review import HeldReview, Stages, over, read_carried, security, travelling_key
from fhir_alliance.fhir.elements import NAME, software
from fhir_alliance.fhir.task import review_identifier

_CONTAINED: Final = "review"
_STAGES: Final = Stages(
    usual="active",  # completed or revoked by whoever has dealt with it
    said={
        "draft": "draft",
        "cancelled": "revoked",
        "rejected": "revoked",
        "failed": "revoked",
        "completed": "completed",
        "on-hold": "on-hold",
        "entered-in-error": "entered-in-error",
    },
    meant={
        "draft": "draft",
        "revoked": "rejected",
        "completed": "completed",
        "on-hold": "on-hold",
        "entered-in-error": "entered-in-error",
    },
)


def review_request(
    task: Mapping[str, Any], group: str, held: Mapping[str, Any] | None = None, *, earlier: str = "",
    is_blind: bool = False,
) -> Write:  # fmt: skip
    """Return the write of a review's request. task: as it should stand, its references resolved.

    held: the request that is changed.  earlier: the id of one that cannot be changed, and that this one replaces.
    is_blind: whether there is one cannot be seen.
    """
    key = travelling_key(task, is_further=bool(earlier) or is_blind)
    kept = {name: value for name, value in task.items() if name not in ("meta", "text")}
    body: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "id": key,
        "meta": security(task),
        "contained": [{**kept, "id": _CONTAINED, "intent": "proposal"}],
        "identifier": [{"system": ids.REVIEW, "value": key}],
        "status": _STAGES.of(task),
        "intent": "proposal",
        "priority": task.get("priority", "routine"),
        "code": task["code"],
        "subject": task["for"],
        "authoredOn": task["lastModified"] if earlier else task["authoredOn"],
        "requester": software(),
        "supportingInfo": [*([task["focus"]] if "focus" in task else []), {"reference": f"#{_CONTAINED}"}],
        "note": [*_others(held), *_notes(task)],
    }
    if reasons := _reasons(task):
        body["reasonReference"] = reasons
    if period := (task.get("restriction") or {}).get("period"):
        body["occurrencePeriod"] = period
    if "owner" in task:
        body["performer"] = [task["owner"]]
    for name in ("encounter", "basedOn"):
        if name in task:
            body[name] = task[name]
    if earlier:
        body["replaces"] = [{"reference": f"ServiceRequest/{earlier}"}]
    if held is not None:
        firm = ("identifier", "intent", "authoredOn", "replaces", "performer")
        body = over(held, body, firm=firm, passing=("reasonReference",))
    return Write("ServiceRequest", ids.REVIEW, key, WriteMode.CREATE_ONCE, orjson.dumps(body), group)


def carried_in_requests(requests: Iterable[Mapping[str, Any]]) -> dict[str, HeldReview]:
    """Return, by the review's key, each review of ours in a request; of several that replace one another, the last."""
    return read_carried(requests, _contained_task, _STAGES)


def _contained_task(request: Mapping[str, Any]) -> Any:
    for each in request.get("contained") or ():
        if each.get("resourceType") == "Task" and (key := review_identifier(each)):
            return {**each, "id": key}
    return None


def _notes(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what people read: the reasons, and why the review has ended, where it has."""
    words = [task["description"], (task.get("statusReason") or {}).get("text")]
    return [{"authorString": NAME, "text": text} for text in words if text]


def _others(held: Mapping[str, Any] | None) -> list[Any]:
    """Return the notes that people have added."""
    return [note for note in (held or {}).get("note") or () if note.get("authorString") != NAME]


def _reasons(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the scores that a review rests on; by its identifier, where one stands nowhere by itself."""
    values = [entry.get("valueReference") or {} for entry in task.get("input") or ()]
    named = [str(value.get("reference", "")) for value in values if value.get("type") == "Observation"]
    found = [{"reference": reference} for reference in dict.fromkeys(filter(None, named))]
    alone = task.get("reasonReference")
    return found or ([alone] if alone else [])
