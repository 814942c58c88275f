"""FHIR's many ways to say when: dateTime, Period, Age and Range, as spans of one calendar.

As CQL's FHIRHelpers and QICoreCommon read them: a Period without an end goes on; an age lasts the whole year of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_alliance.core.measures.calendar import (
    Bound,
    Edge,
    Moment,
    Span,
    before,
    days_later,
    moment,
    moment_of,
    months_later,
)

NOT_SAID: Final = Span(Edge.UNKNOWN, Edge.UNKNOWN)
ACTIVE: Final = frozenset({"active", "recurrence", "relapse"})
_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"
# UCUM's units of time: months or days in one of them
_MONTHS: Final = {"a": 12, "mo": 1, "year": 12, "years": 12, "month": 1, "months": 1}
_DAYS: Final = {"wk": 7, "d": 1, "week": 7, "weeks": 7, "day": 1, "days": 1}


def span_of(resource: Mapping[str, Any], element: str, birth: Moment | None = None) -> Span:
    """Return when an element that can be told in several ways says it was; both ends unknown where it does not.

    element: without its type: "effective", "performed", "onset".  birth: what ages are counted from.
    """
    for suffix in ("DateTime", "Instant"):
        if f"{element}{suffix}" in resource:
            point = moment(str(resource[f"{element}{suffix}"]))
            return NOT_SAID if point is None else Span(point, point)
    if isinstance(period := resource.get(f"{element}Period"), dict):
        return period_of(period)
    if isinstance(age := resource.get(f"{element}Age"), dict):
        return Span(_aged(age, birth), _end_of_year(_aged(age, birth)))
    if isinstance(ages := resource.get(f"{element}Range"), dict):
        return Span(_aged(ages.get("low"), birth), _end_of_year(_aged(ages.get("high"), birth)))
    return NOT_SAID


def period_of(period: Any) -> Span:
    """Return a Period: without a start it is not known when it began, without an end it goes on."""
    if not isinstance(period, dict) or not (period.get("start") or period.get("end")):
        return NOT_SAID
    start, end = period.get("start"), period.get("end")
    return Span(_bound(start, Edge.UNKNOWN), _bound(end, Edge.END))


def point_of(text: Any) -> Span:
    """Return one date or datetime as a span."""
    point = moment(text) if isinstance(text, str) else None
    return NOT_SAID if point is None else Span(point, point)


def prevalence(condition: Mapping[str, Any], birth: Moment | None) -> Span:
    """Return from when to when a condition was there.

    Without an onset it was always there; without an abatement it goes on, if its clinical status says that it is
    active, and otherwise nobody knows. Source: QICoreCommon 4.0.000, `prevalenceInterval`.
    """
    start, end = span_of(condition, "onset", birth).start, _abated(condition, birth)
    if end is Edge.UNKNOWN and clinical_status(condition) in ACTIVE:
        end = Edge.END
    return Span(Edge.BEGINNING if start is Edge.UNKNOWN else start, end)


def clinical_status(condition: Mapping[str, Any]) -> str:
    """Return the code of HL7's clinical status, or ""."""
    return code_in(condition.get("clinicalStatus"), _CLINICAL)


def code_in(concept: Any, system: str) -> str:
    """Return the first code of a concept in a code system, or ""."""
    for coding in (concept.get("coding") or ()) if isinstance(concept, dict) else ():
        if isinstance(coding, dict) and coding.get("system") == system:
            return str(coding.get("code", ""))
    return ""


def _abated(condition: Mapping[str, Any], birth: Moment | None) -> Bound:
    end = span_of(condition, "abatement", birth).end
    if isinstance(condition.get("abatementPeriod"), dict):  # QICoreCommon leaves its end out
        return before(end) if isinstance(end, Moment) else Edge.UNKNOWN
    return end


def _bound(text: Any, absent: Edge) -> Bound:
    if text is None:
        return absent
    return (moment(text) if isinstance(text, str) else None) or Edge.UNKNOWN


def _aged(age: Any, birth: Moment | None) -> Bound:
    """Return the day on which somebody reached an age."""
    if not isinstance(age, dict) or birth is None or birth.day is None:
        return Edge.UNKNOWN
    value, unit = age.get("value"), str(age.get("code") or age.get("unit") or "")
    if not isinstance(value, (int, float)):
        return Edge.UNKNOWN
    try:
        if unit in _MONTHS:
            return moment_of(months_later(birth.day, int(value * _MONTHS[unit])))
        return moment_of(days_later(birth.day, int(value * _DAYS[unit]))) if unit in _DAYS else Edge.UNKNOWN
    except (ValueError, OverflowError):
        return Edge.UNKNOWN


def _end_of_year(bound: Bound) -> Bound:
    """Return the last day of the year that begins on a day."""
    if not isinstance(bound, Moment) or bound.day is None:
        return bound
    return moment_of(days_later(months_later(bound.day, 12), -1))
