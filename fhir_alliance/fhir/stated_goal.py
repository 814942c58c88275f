"""A Goal in the words in which it stands, and a Patient's name, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any

from fhir_alliance.core.course import StatedGoal

NO_WORDS = "(a goal without words)"


def read_goal(resource: Mapping[str, Any]) -> StatedGoal | None:
    """Return the goal, or None where it was entered in error; one that has not the shape of FHIR has no words."""
    if resource.get("lifecycleStatus") == "entered-in-error":
        return None
    try:
        return _read(resource)
    except (TypeError, AttributeError, KeyError):
        return StatedGoal(f"Goal/{resource.get('id', '')}", NO_WORDS, "")


def _read(resource: Mapping[str, Any]) -> StatedGoal:
    description = resource.get("description") or {}
    displays = [str(coding["display"]) for coding in description.get("coding") or () if coding.get("display")]
    targets = [_day(target.get("dueDate")) for target in resource.get("target") or ()]
    achieved = (resource.get("achievementStatus") or {}).get("coding") or ()
    state = [str(resource.get("lifecycleStatus", "")), *(str(coding.get("code", "")) for coding in achieved)]
    return StatedGoal(
        f"Goal/{resource.get('id', '')}",
        str(description.get("text") or next(iter(displays), NO_WORDS)),
        ", ".join(word for word in state if word),
        _day(resource.get("startDate")),
        next((day for day in targets if day is not None), None),
    )


def name_of(patient: Mapping[str, Any]) -> str:
    """Return a Patient's official name, or else the first one that is not old; empty where there is none.

    What has not the shape of FHIR is no name.
    """
    with suppress(TypeError, AttributeError):
        return _name(patient)
    return ""


def _name(patient: Mapping[str, Any]) -> str:
    names = [name for name in patient.get("name") or () if name.get("use") != "old"]
    names.sort(key=lambda name: name.get("use") != "official")
    for name in names:
        parts = [*map(str, name.get("given") or ()), str(name.get("family", ""))]
        if said := str(name.get("text") or " ".join(part for part in parts if part)):
            return said
    return ""


def _day(text: Any) -> date | None:
    """Return the day of a FHIR date of full precision; a year or month alone has no place on a day's axis."""
    with suppress(ValueError):
        return date.fromisoformat(str(text)[:10])
    return None
