"""Builders of synthetic instruments, forms and resources, for tests of this package and of instrument packs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_alliance.core.model import (
    Band,
    Code,
    Critical,
    Direction,
    Family,
    FormStatus,
    Formula,
    Instrument,
    Item,
    Licence,
    MissingRule,
    Number,
    Option,
    Rater,
    Response,
    Scale,
    Score,
    Threshold,
    Wording,
)
from fhir_alliance.core.rules.chart import Chart, Course, Rulebook
from fhir_alliance.core.rules.settings import RuleSettings
from fhir_alliance.runs.rule_cards import shipped_cards

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ANSWER_SYSTEM = "https://example.org/CodeSystem/answers"


def make_instrument(
    items: int = 4, low: int = 0, high: int = 3, *, max_missing: int = 0, formula: Formula = Formula.SUM,
    reversed_items: Sequence[str] = (), family: Family = Family.OUTCOME, higher_is: Direction = Direction.WORSE,
    caseness: Number | None = None, bands: Sequence[Band] = (), critical: str = "", name: str = "toy",
) -> Instrument:  # fmt: skip
    """Return an instrument with items q1..qN, codes a0..aM for the points low..high, and one scale, "total"."""
    options = tuple(Option(Code(ANSWER_SYSTEM, f"a{points}"), points) for points in range(low, high + 1))
    made = tuple(
        Item(f"q{n}", (), options, low, high, True, Critical(1, "test") if f"q{n}" == critical else None)
        for n in range(1, items + 1)
    )
    whole = 1 if formula is Formula.MEAN else items
    scale = Scale(
        "total", "Toy total", (), tuple(item.link_id for item in made), low * whole, high * whole, higher_is,
        MissingRule(max_missing, "test"), "test", formula, frozenset(reversed_items), bands=tuple(bands),
        caseness=None if caseness is None else Threshold(caseness, "test"),
    )  # fmt: skip
    return Instrument(
        name, "1.0.0", f"https://example.org/Questionnaire/{name}", "Toy", family, Rater.CLIENT, (), made, (scale,),
        Licence("nobody", Wording.OWN, "test", "test"),
    )  # fmt: skip


def make_form(answers: Mapping[str, Any], *, key: str = "r1", status: FormStatus = FormStatus.COMPLETED) -> Response:
    """Return a form of the toy instrument by client p1."""
    return Response(
        key, f"QuestionnaireResponse/{key}", "1", "toy", status, "Patient/p1", Rater.CLIENT, "Patient/p1",
        "", "en", START.isoformat(), START, dict(answers),
    )  # fmt: skip


def make_score(value: Any, week: int, *, scale: str = "total", instrument: str = "toy", subject: str = "p1") -> Score:
    """Return a complete score of a client, `week` weeks after the start."""
    key = f"{subject}-{instrument}-{scale}-{week}"
    when = START + timedelta(weeks=week)
    return Score(key, instrument, "1.0.0", scale, f"Patient/{subject}", Rater.CLIENT, when, value, 4, 4, 4)


def make_charts(scores: Iterable[Score]) -> list[Chart]:
    """Return a chart for each client among the scores."""
    by_client: dict[str, list[Score]] = {}
    for score in scores:
        by_client.setdefault(score.subject, []).append(score)
    return [Chart(subject, tuple(own)) for subject, own in by_client.items()]


def make_book(*instruments: Instrument, courses: Sequence[Course] = (), **settings: Any) -> Rulebook:
    """Return a rulebook of these instruments with the shipped cards. settings: as in `RuleSettings`."""
    by_id = {instrument.id: instrument for instrument in instruments}
    return Rulebook(by_id, shipped_cards(), RuleSettings(**settings), tuple(courses))


def response_json(
    points: Sequence[int | None], *, name: str = "r1", subject: str = "Patient/p1",
    authored: str = "2026-01-05T10:00:00+01:00",
    questionnaire: str = "https://fhir-alliance.org/fhir/Questionnaire/phq-9|1.0.0", **elements: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return a PHQ-9 QuestionnaireResponse with these points in item order; None is left unanswered.

    elements: further or other elements; a value of None removes one.
    """
    link_ids = ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]
    codes = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")
    items = [
        {"linkId": f"/{link}", "answer": [{"valueCoding": {"system": "http://loinc.org", "code": codes[point]}}]}
        for link, point in zip(link_ids, points, strict=True)
        if point is not None
    ]
    resource: dict[str, Any] = {
        "resourceType": "QuestionnaireResponse",
        "id": name,
        "meta": {"versionId": "1"},
        "questionnaire": questionnaire,
        "status": "completed",
        "subject": {"reference": subject},
        "authored": authored,
        "source": {"reference": subject},
        "item": items,
    }
    return {key: value for key, value in (resource | elements).items() if value is not None}
