"""Encounters and Goals as the rules see them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fhir_alliance.core.model import Mode
from fhir_alliance.core.rules.chart import GoalTarget, Session
from fhir_alliance.fhir.chart import read_session, read_targets
from fhir_alliance.runs.catalog import load_catalog

INSTRUMENTS = load_catalog().instruments
LOINC = {"coding": [{"system": "http://loinc.org", "code": "44261-6"}]}
OURS = {"coding": [{"system": "https://fhir-alliance.org/fhir/CodeSystem/scores", "code": "phq-9-total"}]}


def encounter(**elements: Any) -> dict[str, Any]:
    """Return a session by video."""
    return {
        "resourceType": "Encounter", "id": "s1", "status": "finished", "class": {"code": "VR"},
        "period": {"start": "2026-01-05T10:00:00+01:00"},
        "participant": [{"individual": {"reference": "Practitioner/tom"}}],
    } | elements  # fmt: skip


def test_a_session() -> None:
    """An Encounter tells when, how and with whom; one that was cancelled was not held."""
    when = datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert read_session(encounter()) == Session("Encounter/s1", when, Mode.VIDEO, "Practitioner/tom", True)
    for status in ("cancelled", "planned", "entered-in-error"):
        held = read_session(encounter(status=status))
        assert held is not None
        assert not held.is_held


@pytest.mark.parametrize("period", [{}, {"start": "soon"}, {"start": "2026-01-05T10:00:00"}, "today"])
def test_a_session_without_a_moment_is_none(period: Any) -> None:
    """Without a moment that can be placed in time, nothing is guessed."""
    assert read_session(encounter(period=period)) is None


def goal(*targets: Any, **elements: Any) -> dict[str, Any]:
    """Return an active Goal."""
    return {"resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "target": list(targets)} | elements


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"measure": LOINC, "detailQuantity": {"value": 5, "comparator": "<"}}, {"below": 5}),
        ({"measure": OURS, "detailQuantity": {"value": 5, "comparator": "<="}}, {"high": 5}),
        ({"measure": LOINC, "detailQuantity": {"value": 5, "comparator": ">"}}, {"above": 5}),
        ({"measure": LOINC, "detailQuantity": {"value": 5, "comparator": ">="}}, {"low": 5}),
        ({"measure": LOINC, "detailQuantity": {"value": 5}}, {"low": 5, "high": 5}),
        ({"measure": LOINC, "detailRange": {"low": {"value": 1}, "high": {"value": 4}}}, {"low": 1, "high": 4}),
    ],
)
def test_a_target_on_a_score(target: dict[str, Any], expected: dict[str, Any]) -> None:
    """A target names its scale by the published code or ours, and its bounds by comparator or range."""
    assert read_targets([goal(target)], INSTRUMENTS) == (GoalTarget("Goal/g", None, "phq-9", "total", **expected),)


def test_a_target_that_is_only_a_day() -> None:
    """A target in words still has its day; one on a scale that is not known has only that."""
    other = {"coding": [{"system": "http://loinc.org", "code": "0-0"}]}
    only = GoalTarget("Goal/g", date(2026, 3, 1))
    assert read_targets([goal({"detailString": "better", "dueDate": "2026-03-01"})], INSTRUMENTS) == (only,)
    strange = {"measure": other, "detailQuantity": {"value": 1}, "dueDate": "2026-03-01"}
    assert read_targets([goal(strange)], INSTRUMENTS) == (only,)


@pytest.mark.parametrize(
    "found",
    [
        goal({"measure": LOINC, "detailQuantity": {"value": 5}}, lifecycleStatus="completed"),
        goal(),
        goal({"measure": LOINC}),
        goal({"measure": LOINC, "detailQuantity": {"value": "low"}}),
        goal({"measure": "phq-9", "dueDate": "soon"}),
    ],
)
def test_what_is_no_target(found: dict[str, Any]) -> None:
    """A Goal that is not active, or says neither a day nor a number that can be read, has no target."""
    assert read_targets([found], INSTRUMENTS) == ()
