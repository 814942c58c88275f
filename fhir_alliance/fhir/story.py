"""Changes as a story: what was, what is, and why. Told of one client, to somebody who may read their record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.core.model import Review, ReviewKind, ReviewStatus
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.difference import Change
from fhir_alliance.fhir.finding import finding_identifier
from fhir_alliance.fhir.observation import score_identifier
from fhir_alliance.fhir.task import read_review

_NAMES: Final = {ReviewKind.GOAL: "Goal review", ReviewKind.SAFETY: "Safety review"}


class Passage(msgspec.Struct, frozen=True):
    """One thing that has changed. when: the day it is about.  was: empty where it is new."""

    subject: str
    what: str
    when: str
    was: str
    now: str
    why: str


def told(change: Change, stored: Mapping[str, Any] | None, base: str = "") -> Passage | None:
    """Return the story of one change, or None where it has none of its own (a panel, a request, an artefact).

    stored: the resource before it, if there was one.  base: the server's own address.
    """
    body: Mapping[str, Any] = orjson.loads(change.write.body)
    if finding_identifier(body):
        return _finding(body, stored or {}, base)
    if body.get("resourceType") == "Goal":
        return _goal(body, stored or {}, base)
    if body.get("resourceType") == "Observation":
        return _observation(body, stored or {}, base)
    if body.get("resourceType") == "Task":
        return _task(body, stored, base)
    return None


def _observation(body: Mapping[str, Any], stored: Mapping[str, Any], base: str) -> Passage | None:
    title = str((body.get("code") or {}).get("text", ""))
    if "hasMember" in body or not score_identifier(body) or not title:
        return None
    subject = ids.local(str((body.get("subject") or {}).get("reference", "")), base)
    day = str(body.get("effectiveDateTime", ""))[:10]
    was, now = (_said(stored) if stored else ""), _said(body)
    return Passage(subject, title, day, was, now, _why(body, stored))


def _finding(body: Mapping[str, Any], stored: Mapping[str, Any], base: str) -> Passage:
    """Return the story of a finding: its sentence, as long as its scores say so."""
    said = [
        " ".join(str(note.get("text", "")) for note in resource.get("note") or ())
        if resource.get("status") != "entered-in-error"
        else "withdrawn"
        for resource in (stored, body)
    ]
    why = "its scores no longer say so" if said[1] == "withdrawn" else str((body.get("method") or {}).get("text", ""))
    subject = ids.local(str((body.get("subject") or {}).get("reference", "")), base)
    day = str(body.get("effectiveDateTime", ""))[:10]
    return Passage(subject, str(body["code"]["text"]), day, said[0], said[1], why)


def _goal(body: Mapping[str, Any], stored: Mapping[str, Any], base: str) -> Passage:
    """Return the story of a goal that people wanted updated."""
    subject = ids.local(str((body.get("subject") or {}).get("reference", "")), base)
    name, day = f"Goal/{body.get('id', '')}", str(body.get("statusDate", ""))
    return Passage(subject, name, day, _stage_of(stored), _stage_of(body), "confirmed in its review")


def _stage_of(goal: Mapping[str, Any]) -> str:
    """Return a goal's lifecycle and achievement in words."""
    codes = [str(coding.get("code", "")) for coding in (goal.get("achievementStatus") or {}).get("coding") or ()]
    return ", ".join(code for code in (str(goal.get("lifecycleStatus", "")), *codes) if code)


def _said(observation: Mapping[str, Any]) -> str:
    """Return a score in words: its number and band, or why it has none."""
    if observation.get("status") == "entered-in-error":
        return "withdrawn"
    quantity = observation.get("valueQuantity")
    if quantity is None:
        notes = [str(note.get("text", "")) for note in observation.get("note") or ()]
        return f"no score ({notes[0].rstrip('.')})" if notes else "no score"
    bands = [str(band.get("text", "")) for band in observation.get("interpretation") or ()]
    return f"{quantity.get('value')}" + (f" ({bands[0]})" if bands and bands[0] else "")


def _why(body: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    status = body.get("status")
    if not stored:
        return "a new form"
    if status == "entered-in-error":
        return "the form was withdrawn as entered in error"
    reasons = [str(note["text"]) for note in body.get("note") or () if note not in (stored.get("note") or [])]
    if status == "amended":
        return "the form was amended"
    return "; ".join(reasons).rstrip(".") or "the form or its scoring was corrected"


def _task(body: Mapping[str, Any], stored: Mapping[str, Any] | None, base: str) -> Passage | None:
    after = read_review(body, base)
    before = read_review(stored, base) if stored is not None else None
    if after is None:
        return None
    day = after.opened.date().isoformat()
    subject, what = after.subject, _NAMES[after.kind]
    if before is None:
        return Passage(subject, what, day, "", "open", " ".join(e.sentence for e in after.evidence))
    reason = str((body.get("statusReason") or {}).get("text", ""))
    return Passage(subject, what, day, _state(before), _state(after), reason or " ".join(_differences(before, after)))


def _state(review: Review) -> str:
    if review.status is ReviewStatus.OPEN:
        return f"open ({review.stage.value}, {review.level.value})"
    return review.stage.value + (f" ({review.ending.value})" if review.ending else "")


def _differences(before: Review, after: Review) -> list[str]:
    """Return what has come, gone, and is told anew among the reasons."""
    was = {reason.key: reason.sentence for reason in before.evidence}
    now = {reason.key: reason.sentence for reason in after.evidence}
    lines = [f"New: {sentence}" for key, sentence in now.items() if key not in was]
    lines += [f"No longer: {sentence}" for key, sentence in was.items() if key not in now]
    return lines + [f"Corrected: {now[key]}" for key in was.keys() & now.keys() if now[key] != was[key]]
