"""Encounters and Goals as the rules see them: meetings with their mode, and targets with their day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from fhir_alliance.core.model import Instrument, Number
from fhir_alliance.core.rules.chart import GoalTarget, Session
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.answers import whole
from fhir_alliance.fhir.observation import scale_codes
from fhir_alliance.fhir.session import mode_of

_HELD: Final = frozenset({"finished", "in-progress", "triaged", "arrived"})
_COMPARATORS: Final = {"<": "below", "<=": "high", ">": "above", ">=": "low"}


def read_session(encounter: Mapping[str, Any], base: str = "") -> Session | None:
    """Return the meeting that an Encounter tells of, or None where it does not say when."""
    begun = _moment(str(_object(encounter.get("period")).get("start", "")))
    if begun is None or not encounter.get("id"):
        return None
    people = (
        ids.local(str(_object(p.get("individual")).get("reference", "")), base)
        for p in encounter.get("participant") or ()
    )
    therapist = next((p for p in people if p.startswith(("Practitioner/", "PractitionerRole/"))), "")
    is_held = encounter.get("status") in _HELD
    return Session(f"Encounter/{encounter['id']}", begun, mode_of(encounter), therapist, is_held)


def read_targets(goals: Iterable[Mapping[str, Any]], instruments: Mapping[str, Instrument]) -> tuple[GoalTarget, ...]:
    """Return the targets of active Goals; a Goal without any has none, and a target in words only has its day."""
    scales = _scales_by_code(instruments)
    return tuple(
        target
        for goal in goals
        if goal.get("lifecycleStatus") == "active" and goal.get("id")
        for part in goal.get("target") or ()
        if (target := _target(f"Goal/{goal['id']}", part, scales)) is not None
    )


def _target(goal: str, part: Mapping[str, Any], scales: Mapping[tuple[str, str], tuple[str, str]]) -> GoalTarget | None:
    """Return one target, or None where it says neither a day nor a number on a scale that is known."""
    codes = (
        (str(c.get("system", "")), str(c.get("code", ""))) for c in _object(part.get("measure")).get("coding") or ()
    )
    instrument, scale = next((scales[code] for code in codes if code in scales), ("", ""))
    bounds = dict(_bounds(part)) if scale else {}
    target = GoalTarget(goal, _day(str(part.get("dueDate", ""))), instrument, scale, **bounds)
    return target if target.due is not None or target.is_measured else None


def _bounds(part: Mapping[str, Any]) -> Iterator[tuple[str, Number]]:
    """Yield which points count as reached; a plain quantity is the very number."""
    quantity = _object(part.get("detailQuantity"))
    value = _number(quantity.get("value"))
    if value is not None:
        name = _COMPARATORS.get(str(quantity.get("comparator", "")))
        yield from [(name, value)] if name else [("low", value), ("high", value)]
    for name, end in _object(part.get("detailRange")).items():
        number = _number(end.get("value")) if isinstance(end, Mapping) and name in ("low", "high") else None
        if number is not None:
            yield name, number


def _scales_by_code(instruments: Mapping[str, Instrument]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return instrument and scale by each code that a score of theirs carries."""
    return {
        (code.system, code.code): (instrument.id, scale.id)
        for instrument in instruments.values()
        for scale in instrument.scales
        for code in scale_codes(instrument, scale)
    }


def _object(value: Any) -> Mapping[str, Any]:
    """Return what has the shape of an object; a store may hold what has not."""
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> Number | None:
    try:
        return None if value is None or isinstance(value, bool) else whole(Decimal(str(value)))
    except InvalidOperation:
        return None


def _moment(text: str) -> datetime | None:
    """Return a moment in UTC; a bare day counts as its noon."""
    try:
        found = datetime.fromisoformat(text + "T12:00:00+00:00" if len(text) == 10 else text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
