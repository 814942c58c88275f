"""Safety reviews as they travel: who has taken a Task, the supervisor's Task, and a message where no Task is taken."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.core.model import Evidence, Review, Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import MISSHAPEN, instant, software, stored_moment, value_of
from fhir_alliance.fhir.task import new_task, read_review

# Task.status: those that wait for somebody or are being done, and those that were handed back undone.
OPEN: Final = ("draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold")
HANDED_BACK: Final = ("rejected", "failed")
# Communication.status: messages that wait for somebody, and those that were handed back undone.
OPEN_MESSAGES: Final = ("preparation", "in-progress", "on-hold")
NOT_DONE: Final = ("not-done",)
_TAKEN = frozenset({"accepted", "in-progress", "completed"})
_PRIORITIES = ("routine", "urgent", "asap", "stat")  # FHIR's request-priority, in its order


class Acknowledgement(msgspec.Struct, frozen=True):
    """That somebody has taken a review: when, and who as a reference, empty where the Task names nobody."""

    when: datetime
    by: str


def acknowledgement(task: Mapping[str, Any], base: str = "") -> Acknowledgement | None:
    """Return when and by whom a safety review was taken, or None where nobody has.

    An `acknowledged` output outranks the Task's owner and last change: the owner may be a role, and later changes move
    the time. A message is taken when it was received; by whom it does not say.
    """
    if task.get("resourceType") == "Communication":
        return Acknowledgement(stored_moment(task["received"]), "") if task.get("received") else None
    if task.get("status") not in _TAKEN:
        return None
    said = [output for output in task.get("output") or () if _is_acknowledged(output)]
    who = next((o["valueReference"].get("reference") for o in said if "valueReference" in o), "")
    when = next((o["valueDateTime"] for o in said if "valueDateTime" in o), "")
    changed = task.get("lastModified") or (task.get("meta") or {}).get("lastUpdated")
    owner = (task.get("owner") or {}).get("reference", "")
    return Acknowledgement(stored_moment(when or changed), ids.local(str(who or owner), base))


def is_handed_back(task: Mapping[str, Any]) -> bool:
    """Return whether the one who was asked has handed the review back undone."""
    return task.get("status") in (*HANDED_BACK, *NOT_DONE)


def is_escalation(task: Mapping[str, Any]) -> bool:
    """Return whether the Task or message is the supervisor's: it is part of the one that nobody took."""
    return bool(task.get("partOf") or task.get("basedOn"))


def told_review(message: Mapping[str, Any], base: str = "") -> Review | None:
    """Return the safety review that a message of ours tells, or None for any other."""
    try:
        return _told_review(message, base)
    except MISSHAPEN:
        return None


def _told_review(message: Mapping[str, Any], base: str) -> Review | None:
    names = {"topic": "code", "subject": "for", "sent": "authoredOn"}
    task = {names.get(name, name): value for name, value in message.items()}
    task |= {name: message[many][0] for many, name in (("about", "focus"), ("recipient", "owner")) if message.get(many)}
    task["status"] = "requested"
    review = read_review(task, base)
    if review is None:
        return None
    said = " ".join(part["contentString"] for part in message["payload"])
    return msgspec.structs.replace(review, evidence=(Evidence(review.key, "safety-answer", said, "", ""),))


def withdrawn_message(message: Mapping[str, Any], note: str, group: str) -> Write:
    """Return the write that ends a message because its form was withdrawn. note: why, for whoever got it."""
    body = orjson.dumps({**message, "status": "stopped", "statusReason": {"text": note}})
    return Write("Communication", ids.REVIEW, value_of(message, ids.REVIEW), WriteMode.KEEP_CURRENT, body, group)


def escalation_task(review: Review, parent: Mapping[str, Any]) -> Write:
    """Return the write that creates the supervisor's Task once, part of its parent and never less pressing.

    A Task cannot be part of a message; it is then based on it.
    """
    write = new_task(review, review.key)
    task = orjson.loads(write.body)
    kind = str(parent.get("resourceType", "Task"))
    task["partOf" if kind == "Task" else "basedOn"] = [{"reference": f"{kind}/{parent['id']}"}]
    task["priority"] = max("asap", str(parent.get("priority", "routine")), key=_rank)
    return msgspec.structs.replace(write, body=orjson.dumps(task))


def communication(task: Write, sent: datetime) -> Write:
    """Return the message that says what a Task would have said, under its identifier, for a store that takes none."""
    said = orjson.loads(task.body)
    message: dict[str, Any] = {
        "resourceType": "Communication",
        "id": said["id"],
        "meta": {"profile": [ids.SAFETY_MESSAGE_PROFILE], "security": said["meta"]["security"]},
        "identifier": said["identifier"],
        "status": "in-progress",  # completed by whoever has read it
        "category": [{"coding": [{"system": ids.COMMUNICATION_CATEGORY, "code": "alert"}]}],
        "priority": said["priority"],
        "topic": said["code"],
        "subject": said["for"],
        "sent": instant(sent),
        "sender": software(),
        "payload": [{"contentString": said["description"]}],
    }
    for element, name in (("focus", "about"), ("owner", "recipient")):
        if element in said:
            message[name] = [said[element]]
    if "encounter" in said:
        message["encounter"] = said["encounter"]
    if is_escalation(said):
        message["partOf"] = said.get("partOf") or said["basedOn"]
    return Write("Communication", task.system, task.value, WriteMode.CREATE_ONCE, orjson.dumps(message), task.group)


def _rank(priority: str) -> int:
    return _PRIORITIES.index(priority) if priority in _PRIORITIES else 0


def _is_acknowledged(output: Mapping[str, Any]) -> bool:
    said = (output.get("type") or {}).get("coding") or ()
    return any(c.get("system") == ids.TERMS and c.get("code") == "acknowledged" for c in said)
