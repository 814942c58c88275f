"""Reviews to Tasks, and stored Tasks back to reviews.

A Task belongs to the people who work it: a change of ours keeps whatever they wrote, and only adds or
removes evidence, or cancels what has lost its ground.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any

import msgspec
import orjson

from fhir_alliance.core.labels import union
from fhir_alliance.core.model import (
    Achievement,
    Decision,
    Ending,
    Evidence,
    Level,
    Proposal,
    Review,
    ReviewKind,
    ReviewStatus,
    TaskStatus,
    Write,
    WriteMode,
)
from fhir_alliance.core.stages import brings_quiet, status_of
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.elements import MISSHAPEN, instant, software, stored_moment, value_of
from fhir_alliance.fhir.labels import codings, labels_of, raised

_TITLE = {
    ReviewKind.GOAL: "Review goals and tasks with the client",
    ReviewKind.SAFETY: "Clinician review of a safety answer",
}
_PROFILE = {ReviewKind.GOAL: ids.GOAL_REVIEW_PROFILE, ReviewKind.SAFETY: ids.SAFETY_REVIEW_PROFILE}
_PRIORITY = {Level.ROUTINE: "routine", Level.URGENT: "urgent"}
_LABELS = ("R", "PSY")  # what every review carries at least
_PROPOSAL = "proposed-achievement"
_MAY_CONFIRM = ("Patient/", "RelatedPerson/", "Practitioner/", "PractitionerRole/")
_CITED = re.compile(r"(.*?) \[([a-z][a-z-]*): (.*)\]", re.DOTALL)  # a sentence, its rule, and what it cites


def new_task(review: Review, group: str = "") -> Write:
    """Return the write that creates a review's Task once."""
    task: dict[str, Any] = {
        "resourceType": "Task",
        "id": review.key,
        "meta": {"profile": [_PROFILE[review.kind]], "security": codings(union(_LABELS, review.labels))},
        "identifier": [{"system": ids.REVIEW, "value": review.key}],
        "status": "requested",
        "intent": "order",
        "priority": _PRIORITY[review.level],
        "code": {"coding": [{"system": ids.TERMS, "code": review.kind.value}], "text": _title(review)},
        "description": _description(review),
        "for": {"reference": review.subject},
        "authoredOn": instant(review.opened),
        "lastModified": instant(review.opened),
        "requester": software(),
        "restriction": {"period": {"end": instant(review.due)}},
        "input": _inputs(review),
    }
    for element, reference in (("focus", review.focus), ("encounter", review.encounter), ("owner", review.owner)):
        if reference:
            task[element] = {"reference": reference}
    if review.care_plan:
        task["basedOn"] = [{"reference": review.care_plan}]
    if review.episode:
        task["groupIdentifier"] = {"system": ids.EPISODE, "value": review.episode}
    if reason := next((e.score_key for e in review.evidence if e.score_key), ""):
        task["reasonReference"] = {"reference": f"Observation/{reason}"}
    return Write("Task", ids.REVIEW, review.key, WriteMode.CREATE_ONCE, orjson.dumps(task), group)


def changed_task(stored: Mapping[str, Any], review: Review, now: datetime, group: str = "") -> Write:
    """Return the write that brings a stored Task to what the review now says, keeping what people wrote."""
    task = {**stored, "lastModified": instant(now)}
    if meta := raised(stored, review.labels):
        task["meta"] = meta
    if review.status is ReviewStatus.CANCELLED:
        ending = {"coding": [{"system": ids.TERMS, "code": review.ending.value}]} if review.ending else {}
        task |= {"status": "cancelled", "statusReason": {**ending, "text": review.note}}
    elif _ending_of(stored) is not None:  # we ended it, and its ground has come back
        task |= {"status": review.stage.value, "restriction": {"period": {"end": instant(review.due)}}}
        del task["statusReason"]
    if review.evidence:  # what a review rested on stays in it for the record when all of it is gone
        task["input"] = _inputs_again(stored, review)
        _reason_again(task)
        if stored.get("priority", "routine") == "routine":  # people may have raised it; it never falls silently
            task["priority"] = _PRIORITY[review.level]
        task["description"] = _described_again(stored, review)
    return Write("Task", ids.REVIEW, review.key, WriteMode.KEEP_CURRENT, orjson.dumps(task), group)


def review_identifier(resource: Mapping[str, Any]) -> str:
    """Return the key under which we wrote a Task, or "" when it is not ours."""
    return value_of(resource, ids.REVIEW)


def read_review(resource: Mapping[str, Any], base: str = "") -> Review | None:
    """Return the review in a stored Task, or None when the Task is not ours, or no longer has the shape of one."""
    try:
        return _read_review(resource, base)
    except MISSHAPEN:
        return None


def _read_review(resource: Mapping[str, Any], base: str) -> Review | None:
    key = review_identifier(resource)
    code = next((c.get("code") for c in (resource.get("code") or {}).get("coding") or ()), "")
    if not key or code not in [kind.value for kind in ReviewKind]:
        return None
    inputs = resource.get("input") or ()
    stage = _stage(resource)
    status = status_of(stage)
    return Review(
        key,
        ReviewKind(code),
        status,
        _reference(resource, "for", base),
        str((resource.get("groupIdentifier") or {}).get("value", "")),
        Level.ROUTINE if resource.get("priority", "routine") == "routine" else Level.URGENT,
        tuple(_read_evidence(entry) for entry in inputs if _is_ours(entry)),
        tuple(str(e["valueString"]) for e in inputs if _is_agenda(e)),
        stored_moment(resource.get("authoredOn")),
        stored_moment(((resource.get("restriction") or {}).get("period") or {}).get("end")),
        _reference(resource, "owner", base),
        _reference(resource, "focus", base),
        stored=str(resource.get("id", "")),
        closed_on=_closed_on(resource) if brings_quiet(stage) else None,
        stage=stage,
        ending=_ending_of(resource),
        proposal=_proposal_of(inputs),
        decision=_decision_of(resource),
        labels=labels_of(resource),
        confirmed_by=_confirmed_by(resource, base),
        title="" if (text := str((resource.get("code") or {}).get("text", ""))) == _TITLE[ReviewKind(code)] else text,
    )


def is_carried_out(task: Mapping[str, Any]) -> bool:
    """Return whether what people confirmed in a Task has been done to the Goal: it is done once."""
    return any(_kind_of(entry) == "goal-update" for entry in task.get("output") or ())


def carried_out(task: Mapping[str, Any], goal: str, now: datetime) -> dict[str, Any]:
    """Return a Task that says that its decision has been carried out. goal: the Goal's reference."""
    done = {"type": _type("goal-update"), "valueReference": {"reference": goal}}
    return {**task, "output": [*task.get("output", ()), done], "lastModified": instant(now)}


def _description(review: Review) -> str:
    """Return the reasons as plain sentences under the title."""
    sentences = " ".join(dict.fromkeys(evidence.sentence for evidence in review.evidence))
    return f"{_title(review)}. {sentences}"


def _title(review: Review) -> str:
    return review.title or _TITLE[review.kind]


def _described_again(stored: Mapping[str, Any], review: Review) -> str:
    """Return the description with our reasons as they are now, and with whatever people wrote behind them."""
    before, standing = str(stored.get("description", "")), read_review(stored)
    ours = _description(standing) if standing is not None else ""
    return _description(review) + before[len(ours) :] if before.startswith(ours) else before


def _inputs_again(stored: Mapping[str, Any], review: Review) -> list[dict[str, Any]]:
    """Return the inputs as they should be: our reasons as they are now, and whatever people added."""
    wanted = {evidence.key: evidence for evidence in review.evidence}
    agenda = [_agenda_input(line) for line in review.agenda]
    others = []
    for entry in stored.get("input", ()):
        if not _is_ours(entry):
            others += [] if _is_agenda(entry) or _kind_of(entry) == _PROPOSAL else [entry]
        elif (evidence := wanted.pop(_finding_of(entry), None)) is not None:
            others.append(entry if _read_evidence(entry) == evidence else _told_again(entry, evidence))
    return [*agenda, *others, *map(_evidence_input, wanted.values()), *_proposal_inputs(review)]


def _told_again(entry: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Return a reason told anew, under the reference that the store gave its score."""
    fresh, reference = _evidence_input(evidence), (entry.get("valueReference") or {}).get("reference")
    if reference:
        fresh["valueReference"] |= {"type": "Observation", "reference": reference}
    return fresh


def _reason_again(task: dict[str, Any]) -> None:
    """Let the Task's reason be one that it still rests on."""
    references = [str(e["valueReference"]["reference"]) for e in task["input"] if _is_ours(e) and _has_score(e)]
    if (task.get("reasonReference") or {}).get("reference") in references:
        return
    task.pop("reasonReference", None)
    if references:
        task["reasonReference"] = {"reference": references[0]}


def _has_score(entry: Mapping[str, Any]) -> bool:
    return bool((entry.get("valueReference") or {}).get("reference"))


def _inputs(review: Review) -> list[dict[str, Any]]:
    evidence = map(_evidence_input, review.evidence)
    return [*map(_agenda_input, review.agenda), *evidence, *_proposal_inputs(review)]


def _proposal_inputs(review: Review) -> list[dict[str, Any]]:
    """Return what the scores say of the Task's focus, as a proposal to the people who decide."""
    if review.proposal is None:
        return []
    code = {"system": ids.GOAL_ACHIEVEMENT, "code": review.proposal.status.value}
    return [{"type": _type(_PROPOSAL), "valueCodeableConcept": {"coding": [code], "text": review.proposal.sentence}}]


def _type(code: str) -> dict[str, Any]:
    return {"coding": [{"system": ids.TERMS, "code": code}]}


def _agenda_input(line: str) -> dict[str, Any]:
    return {"type": _type("agenda"), "valueString": line}


def _evidence_input(evidence: Evidence) -> dict[str, Any]:
    """Return one reason: the finding's key as a logical reference, the score it points to, the sentence."""
    value: dict[str, Any] = {"identifier": {"system": ids.FINDING, "value": evidence.key}}
    if evidence.score_key:
        value |= {"type": "Observation", "reference": f"Observation/{evidence.score_key}"}
    citation = f" [{evidence.rule}: {evidence.citation}]" if evidence.citation else ""
    entry: dict[str, Any] = {
        "type": _type("evidence"),
        "valueReference": {**value, "display": evidence.sentence + citation},
    }
    if evidence.repairs:
        entry["extension"] = [
            {"url": ids.REPAIRS, "valueIdentifier": {"system": ids.FINDING, "value": key}} for key in evidence.repairs
        ]
    return entry


def _read_evidence(entry: Mapping[str, Any]) -> Evidence:
    value = entry.get("valueReference") or {}
    display = str(value.get("display", ""))
    cited = _CITED.fullmatch(display)
    sentence, rule, citation = cited.groups() if cited is not None else (display, "", "")
    score_key = str(value.get("reference", "")).rpartition("/")[2]
    repairs = tuple(
        str((extension.get("valueIdentifier") or {}).get("value", ""))
        for extension in entry.get("extension") or ()
        if extension.get("url") == ids.REPAIRS
    )
    return Evidence(_finding_of(entry), rule, sentence, score_key, citation, repairs)


def _kind_of(entry: Mapping[str, Any]) -> str:
    codings = (entry.get("type") or {}).get("coding") or ()
    return next((str(c.get("code", "")) for c in codings if c.get("system") == ids.TERMS), "")


def _is_agenda(entry: Mapping[str, Any]) -> bool:
    return _kind_of(entry) == "agenda" and "valueString" in entry


def _is_ours(entry: Mapping[str, Any]) -> bool:
    return _kind_of(entry) == "evidence"


def _finding_of(entry: Mapping[str, Any]) -> str:
    return str(((entry.get("valueReference") or {}).get("identifier") or {}).get("value", ""))


def _stage(resource: Mapping[str, Any]) -> TaskStatus:
    """Return how far people have come; a status that FHIR R4 does not know counts as asked for, so it is not lost."""
    try:
        return TaskStatus(resource.get("status", ""))
    except ValueError:
        return TaskStatus.REQUESTED


def _ending_of(resource: Mapping[str, Any]) -> Ending | None:
    """Return why we cancelled the Task, or None where it stands open, or a person ended it."""
    if resource.get("status") != "cancelled":
        return None
    said = _codes((resource.get("statusReason") or {}).get("coding"))
    return next((ending for ending in Ending if ending.value in said), None)


def _decision_of(resource: Mapping[str, Any]) -> Decision | None:
    """Return what client and clinician decided, from the Task's output; None where they did not say."""
    for entry in resource.get("output") or ():
        if _kind_of(entry) == "decision":
            said = _codes((entry.get("valueCodeableConcept") or {}).get("coding"))
            return next((decision for decision in Decision if decision.value in said), None)
    return None


def _proposal_of(inputs: Iterable[Mapping[str, Any]]) -> Proposal | None:
    for entry in inputs:
        if _kind_of(entry) == _PROPOSAL:
            concept = entry.get("valueCodeableConcept") or {}
            said = {coding.get("code") for coding in concept.get("coding") or ()}
            status = next((status for status in Achievement if status.value in said), None)
            return Proposal(status, str(concept.get("text", ""))) if status is not None else None
    return None


def _confirmed_by(resource: Mapping[str, Any], base: str) -> str:
    """Return who wants the Goal updated, or "" where nobody did who may: client, relative or clinician."""
    for entry in resource.get("output") or ():
        if _kind_of(entry) == "confirmed-by":
            reference = _reference(entry, "valueReference", base)
            return reference if reference.startswith(_MAY_CONFIRM) else ""
    return ""


def _codes(codings: Any) -> set[str]:
    return {str(coding.get("code", "")) for coding in codings or () if coding.get("system") == ids.TERMS}


def _reference(resource: Mapping[str, Any], element: str, base: str) -> str:
    return ids.local(str((resource.get(element) or {}).get("reference", "")), base)


def _closed_on(resource: Mapping[str, Any]) -> date | None:
    """Return the day a Task was closed: its execution's end, else its last change."""
    end = (resource.get("executionPeriod") or {}).get("end")
    changed = (resource.get("meta") or {}).get("lastUpdated")
    text = end or changed or resource.get("lastModified")
    return date.fromisoformat(str(text)[:10]) if text else None


def unlinked(write: Write, standing: Collection[str]) -> Write:
    """Return a Task's write without references to scores of ours that stand nowhere by themselves.

    standing: keys of those that do. The reasons keep their sentences, and name their findings by identifier.
    """
    task = orjson.loads(write.body)
    for entry in task.get("input", ()):
        value = entry.get("valueReference", {})
        if _lost(value, standing):
            del value["reference"], value["type"]
    if _lost(task.get("reasonReference", {}), standing):
        key = task["reasonReference"]["reference"].rpartition("/")[2]
        task["reasonReference"] = {"type": "Observation", "identifier": {"system": ids.SCORE, "value": key}}
    return msgspec.structs.replace(write, body=orjson.dumps(task))


def _lost(reference: Mapping[str, Any], standing: Collection[str]) -> bool:
    kind, _, key = str(reference.get("reference", "")).rpartition("/")
    return kind == "Observation" and len(key) == 64 and key not in standing
