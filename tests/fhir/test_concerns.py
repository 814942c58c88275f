"""Concerns: what a form's safety item says reaches a clinician, also from a form that cannot be scored."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from fhir_alliance.core.model import Response
from fhir_alliance.core.safety import ConcernKind
from fhir_alliance.fhir.inbound import Forms, Parked, Skipped
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.testing import response_json

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=9, minutes=30)))
CATALOG = load_catalog()
FORMS = Forms(CATALOG.instruments, CATALOG.questionnaires)
PHQ_9 = CATALOG.find("phq-9")
SAFETY = PHQ_9.items[8].link_id
NONE, SOME, MOST = "LA6568-5", "LA6569-3", "LA6571-9"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def loinc(code: str) -> dict[str, Any]:
    """Return an answer coded in LOINC."""
    return {"valueCoding": {"system": "http://loinc.org", "code": code}}


def with_safety(answer: Any, **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 whose safety item has this answer; None leaves the item out."""
    form = response_json([2, 2, 2, 2, 1, 1, 2, 0, None], **elements)
    if answer is not None:
        form["item"].append({"linkId": SAFETY, "answer": answer})
    return form


def read(line: bytes) -> tuple[Any, ConcernKind | None]:
    """Return what a line is read as, and why a clinician should look at it."""
    found = FORMS.read(line, NOW)
    concern = FORMS.concern_of(found) if isinstance(found, Response) else getattr(found, "concern", None)
    assert concern is None or (concern.subject, concern.response_key) == ("Patient/p1", "r1")
    return found, concern and concern.kind


def kind(form: dict[str, Any]) -> ConcernKind | None:
    """Return why a clinician should look at a form."""
    return read(json.dumps(form).encode())[1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([loinc(NONE)], None),
        ([loinc(SOME)], ConcernKind.ANSWERED),
        ([loinc(MOST)], ConcernKind.ANSWERED),
        ([{"valueInteger": 1}], ConcernKind.ANSWERED),
        (None, ConcernKind.UNANSWERED),
        ([], ConcernKind.UNANSWERED),
        ([{"extension": [{"url": ABSENT, "valueCode": "asked-declined"}]}], ConcernKind.UNANSWERED),
        ([{"extension": [{"url": ABSENT, "valueCode": "masked"}]}], ConcernKind.UNANSWERED),
        ([loinc("LA9-9")], ConcernKind.UNREADABLE),
        ([loinc(NONE)] * 2, ConcernKind.UNREADABLE),
        ([{"valueInteger": 9}], ConcernKind.UNREADABLE),
        ([{"valueInteger": "none"}], ConcernKind.UNREADABLE),
        ({"valueInteger": 0}, ConcernKind.UNREADABLE),
    ],
)
def test_what_the_safety_item_says_reaches_a_clinician(answer: Any, expected: ConcernKind | None) -> None:
    """An answer, a gap and an unreadable answer each call for a look; the lowest answer calls for none."""
    assert kind(with_safety(answer)) == expected


ELSEWHERE = {"linkId": "/44250-9", "answer": [{"valueInteger": "x"}]}
REPEATED = json.dumps(with_safety([loinc(MOST)])).replace('"id"', '"status": "completed", "id"').encode()
MANY = [{"linkId": f"x{number}"} for number in range(5000)]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param({"authored": None}, "FA207", id="no date"),
        pytest.param({"authored": 2026}, "FA204", id="date of the wrong type"),
        pytest.param({"item": [{"linkId": "other", "answer": [{"valueInteger": 1}]}]}, "FA209", id="unknown item"),
        pytest.param({"item": [{"linkId": SAFETY, "answer": [loinc(NONE)]}]}, "FA215", id="answered twice"),
        pytest.param({"item": [ELSEWHERE]}, "FA212", id="another item broken"),
        pytest.param({"encounter": "Encounter/1"}, "FA204", id="session of the wrong type"),
        pytest.param({"status": "done"}, "FA205", id="no such status"),
        pytest.param({"implicitRules": "urn:x"}, "FA214", id="modifier"),
        pytest.param({"item": MANY}, "FA216", id="too many items"),
        pytest.param({"questionnaire": PHQ_9.url + "|0.9"}, "FA217", id="unknown version"),
    ],
)
def test_a_form_that_cannot_be_scored_still_says_what_worries(fault: dict[str, Any], code: str) -> None:
    """Whatever a form is parked for, its safety item, where it can be found, calls for a look."""
    form = with_safety([loinc(MOST)], **{key: value for key, value in fault.items() if key != "item"})
    form["item"] += fault.get("item", [])
    found, concern = read(json.dumps(form).encode())
    assert isinstance(found, Parked)
    assert found.code == code
    assert concern in (ConcernKind.ANSWERED, ConcernKind.UNREADABLE)


@pytest.mark.parametrize(("status", "expected"), [("completed", ConcernKind.UNANSWERED), ("in-progress", None)])
def test_a_wreck_that_lacks_the_safety_item_is_silent_once_it_is_finished(
    status: str, expected: ConcernKind | None
) -> None:
    """In a finished form that as a whole cannot be read, a missing safety item still calls for a look."""
    assert kind(with_safety(None, status=status, authored=2026)) is expected


def test_a_form_with_a_repeated_key_still_says_what_worries() -> None:
    """Where one key stands twice somewhere, the safety item still calls for a look."""
    found, concern = read(REPEATED)
    assert isinstance(found, Parked)
    assert concern in (ConcernKind.ANSWERED, ConcernKind.UNREADABLE)


@pytest.mark.parametrize("status", ["in-progress", "stopped"])
def test_an_unfinished_form_speaks_but_is_not_yet_silent(status: str) -> None:
    """In a form still being filled in, an answer counts at once; an item without one says nothing yet."""
    assert kind(with_safety([loinc(SOME)], status=status)) is ConcernKind.ANSWERED
    assert kind(with_safety(None, status=status)) is None
    assert isinstance(read(json.dumps(with_safety(None, status=status)).encode())[0], Skipped)


@pytest.mark.parametrize("subject", [None, {"display": "x"}, {"reference": "Group/g"}])
def test_nobody_is_looked_for_without_a_client(subject: Any) -> None:
    """A form that names no client of this store is parked; there is nobody to look after."""
    form = {key: value for key, value in (with_safety([loinc(MOST)]) | {"subject": subject}).items() if value}
    found, concern = read(json.dumps(form).encode())
    assert isinstance(found, Parked)
    assert (found.code, concern) == ("FA206", None)


def test_a_form_entered_in_error_calls_for_nothing() -> None:
    """What was entered in error is withdrawn, whatever it says."""
    assert kind(with_safety([loinc(MOST)], status="entered-in-error")) is None


def test_a_concern_repeats_no_answer() -> None:
    """A concern says which form and why, in the instrument's name; it holds no answer and no name."""
    form = with_safety([loinc(MOST)], subject="Patient/p1", encounter={"reference": "Encounter/e1"})
    found, _ = read(json.dumps(form).encode())
    concern = FORMS.concern_of(found)
    assert concern is not None
    assert (concern.reference, concern.encounter) == ("QuestionnaireResponse/r1", "Encounter/e1")
    assert (concern.instrument, concern.title) == ("phq-9", PHQ_9.title)
    assert MOST not in repr(concern)
