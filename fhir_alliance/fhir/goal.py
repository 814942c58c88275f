"""Goals: what can be judged of them, and the update that people have confirmed. Never an update without that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import orjson

from fhir_alliance.core.achievement import Pursued
from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import Achievement, Decision, Instrument, Number, Review, Write, WriteMode
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.chart import read_targets
from fhir_alliance.fhir.elements import instant, software
from fhir_alliance.fhir.labels import codings

# HL7 Person-Centered Outcomes, profile pco-gas-goal-profile: the five levels in the client's own words
_LEVELS: Final = "http://hl7.org/fhir/us/pco/StructureDefinition/pco-goal-attainment-scaling"
_ENDED: Final = {Decision.GOAL_REACHED: "completed", Decision.GOAL_ENDED: "cancelled"}


def read_pursued(goal: Mapping[str, Any], instruments: Mapping[str, Instrument]) -> Pursued:
    """Return a Goal as far as its achievement can be judged."""
    points = {
        option.code.code: option.weight
        for instrument in instruments.values()
        if instrument.goals is not None
        for item in instrument.items
        for option in item.options
    }
    return Pursued(f"Goal/{goal.get('id', '')}", read_targets([goal], instruments), dict(_levels(goal, points)))


def _levels(goal: Mapping[str, Any], points: Mapping[str, Number]) -> list[tuple[Number, str]]:
    found = []
    for extension in goal.get("extension") or ():
        if extension.get("url") == _LEVELS:
            parts = {part.get("url"): part for part in extension.get("extension") or ()}
            code = str(((parts.get("level") or {}).get("valueCoding") or {}).get("code"))
            text = (parts.get("text") or {}).get("valueString")
            if code in points and text:
                found.append((points[code], str(text)))
    return found


def version_of(resource: Mapping[str, Any]) -> str:
    """Return the version of a resource; where its store gives none, one that changes with its content."""
    version = (resource.get("meta") or {}).get("versionId")
    return str(version) if version else sha256(orjson.dumps(resource, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def confirmed_update(goal: Mapping[str, Any], review: Review) -> dict[str, Any] | None:
    """Return the Goal as people have confirmed it in a review, or None where their decision asks for no update.

    Reached: completed and achieved. Ended: cancelled. Kept: what was proposed to them, if anything was. A goal that
    people changed they have changed themselves, and one that the client did not want to talk about stays as it is.
    """
    lifecycle, achievement = _ENDED.get(review.decision) if review.decision else None, _achievement(review)
    updated = dict(goal)
    if lifecycle is not None:
        updated["lifecycleStatus"] = lifecycle
    if achievement is not None:
        updated["achievementStatus"] = {"coding": [{"system": ids.GOAL_ACHIEVEMENT, "code": achievement.value}]}
    if updated == goal:
        return None
    return updated | ({"statusDate": review.closed_on.isoformat()} if review.closed_on else {})


def goal_key(goal: Mapping[str, Any]) -> str:
    """Return the key under which a Goal is written."""
    return derived("goal", str(goal["id"]))


def goal_write(goal: Mapping[str, Any], version: str, group: str) -> Write:
    """Return the write of a confirmed Goal. version: of the Goal that it was made of, which it names.

    group: what is written in the same transaction, or not at all.
    """
    key = goal_key(goal)
    goal = {**goal, "meta": {**(goal.get("meta") or {}), "versionId": version}}
    return Write("Goal", "", key, WriteMode.KEEP_CURRENT, orjson.dumps(goal), group)


def provenance_write(goal: str, task: str, review: Review, now: datetime) -> Write:
    """Return who confirmed a Goal's update, in which review, and what carried it out. goal, task: references."""
    role = {"coding": [{"system": ids.PROVENANCE_ROLE, "code": "author"}]}
    assembler = {"coding": [{"system": ids.PROVENANCE_ROLE, "code": "assembler"}]}
    key = derived("provenance", review.key, goal)
    body = {
        "resourceType": "Provenance",
        "id": key,
        "meta": {"security": codings(("R", "PSY")), "tag": [{"system": ids.PROVENANCE, "code": key}]},
        "target": [{"reference": goal}],
        "recorded": instant(now),
        "activity": {"coding": [{"system": ids.DATA_OPERATION, "code": "UPDATE"}]},
        "agent": [
            {"type": role, "who": {"reference": review.confirmed_by}},
            {"type": assembler, "who": software()},
        ],
        "entity": [{"role": "source", "what": {"reference": task}}],
    }
    return Write("Provenance", ids.PROVENANCE, key, WriteMode.ACCOMPANY, orjson.dumps(body), review.key)


def _achievement(review: Review) -> Achievement | None:
    if review.decision is Decision.GOAL_REACHED:
        return Achievement.ACHIEVED
    if review.decision is Decision.GOAL_KEPT and review.proposal is not None:
        return review.proposal.status
    return None
