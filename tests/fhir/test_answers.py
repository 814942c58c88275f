"""Answers: what each is worth wherever it stands and however it is written, and why one is missing."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.model import Missing, Response
from fhir_alliance.fhir.inbound import Forms
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.testing import response_json

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=9, minutes=30)))
CATALOG = load_catalog()
FORMS = Forms(CATALOG.instruments, CATALOG.questionnaires)
POINTS = [2, 2, 2, 2, 1, 1, 2, 0, 0]
ITEMS = [item.link_id for item in CATALOG.find("phq-9").items]
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
# where answers' points have stood: SDC, FHIR R4's extension, its name in STU3, before STU3, and Argonaut
WEIGHT_URLS = [
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/questionnaire-ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/iso21090-CO-value",
    "http://fhir.org/guides/argonaut-questionnaire/StructureDefinition/extension-ordinalValue",
]


def response(form: dict[str, Any]) -> Response:
    """Return a form that can be read."""
    found = FORMS.read(json.dumps(form).encode(), NOW)
    assert isinstance(found, Response), found
    return found


def points_of(form: Response) -> list[Any]:
    """Return the points of a PHQ-9 in the order of its items; None where there is no answer."""
    return [form.answers.get(link_id) for link_id in ITEMS]


def loinc(code: str, **elements: Any) -> dict[str, Any]:
    """Return an answer coded in LOINC."""
    return {"valueCoding": {"system": "http://loinc.org", "code": code, **elements}}


def first(*answer: Any, **elements: Any) -> dict[str, Any]:
    """Return a PHQ-9 whose first item has other answers."""
    form = response_json(POINTS)
    form["item"][0] |= {"answer": list(answer)} | elements
    return form


def weight(points: float, url: str = "http://hl7.org/fhir/StructureDefinition/itemWeight") -> list[dict[str, Any]]:
    """Return the extension that says what an answer is worth."""
    return [{"url": url, "valueDecimal": points}]


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        pytest.param(loinc("LA6571-9"), 3, id="coded"),
        pytest.param(loinc("LA6571-9", display="Nearly every day"), 3, id="coded with a display"),
        pytest.param({"valueCoding": {"code": "LA6571-9"}}, 3, id="coded without a system"),
        pytest.param({"valueInteger": 3}, 3, id="integer"),
        pytest.param({"valueDecimal": 3.0}, 3, id="decimal"),
        pytest.param({"valueQuantity": {"value": 3}}, 3, id="quantity"),
        pytest.param({"valueInteger": 3, "extension": weight(3)}, 3, id="number with its weight"),
        *(
            pytest.param({"valueCoding": {"system": "urn:x", "code": "x", "extension": weight(2, url)}}, 2, id=url)
            for url in WEIGHT_URLS
        ),
        pytest.param({"valueCoding": {"system": "urn:x", "code": "x"}, "extension": weight(2)}, 2, id="on the answer"),
    ],
)
def test_an_answer_is_worth_what_it_says(answer: dict[str, Any], points: int) -> None:
    """Codes, whole numbers and stated weights, under every address in use, become points."""
    got = response(first(answer)).answers[ITEMS[0]]
    assert (got, type(got)) == (points, int)


def test_a_coding_without_a_system_is_remarked_on_once() -> None:
    """Reading by code alone leaves one remark, however many answers are so."""
    form = response_json(POINTS)
    for item in form["item"]:
        del item["answer"][0]["valueCoding"]["system"]
    assert response(form).remarks == ("Answer codings without a system were read by their code.",)
    assert response(response_json(POINTS)).remarks == ()


@pytest.mark.parametrize("place", ["group", "groups", "under an answer", "under the answer of a question"])
def test_items_are_found_wherever_they_are_nested(place: str) -> None:
    """Groups, and items under answers, are no hindrance."""
    form = response_json(POINTS)
    items = form["item"]
    form["item"] = {
        "group": [{"linkId": "g", "item": items}],
        "groups": [{"linkId": "g", "item": [{"linkId": "h", "item": [item]}]} for item in items],
        "under an answer": [{"linkId": "intro", "answer": [{"valueString": "x", "item": items}]}],
        "under the answer of a question": [items[0] | {"answer": [items[0]["answer"][0] | {"item": items[1:]}]}],
    }[place]
    assert points_of(response(form)) == POINTS


REASONS = [("asked-declined", Missing.DECLINED), ("masked", Missing.MASKED), ("unknown", None)]


@pytest.mark.parametrize(("reason", "missing"), REASONS)
@pytest.mark.parametrize("place", ["item", "answer", "coding"])
def test_why_an_answer_is_missing_is_kept(reason: str, missing: Missing | None, place: str) -> None:
    """Declined, masked and merely missing are told apart wherever the reason stands, and none is a zero."""
    why = [{"url": ABSENT, "valueCode": reason}]
    form = {
        "item": first(extension=why),
        "answer": first({"extension": why}),
        "coding": first({"valueCoding": {"extension": why}}),
    }[place]
    assert response(form).answers.get(ITEMS[0]) == missing


def test_prefer_not_to_say_is_declined() -> None:
    """The answer that the form itself offers for declining is declining."""
    system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
    form = first({"valueCoding": {"system": system, "code": "asked-declined"}})
    assert response(form).answers[ITEMS[0]] is Missing.DECLINED


def test_a_total_in_the_form_is_kept_and_not_trusted() -> None:
    """A total that the form carries, as whatever type and under whatever spelling, is no answer, and is kept aside."""
    for link_id in ("/44261-6", "44261-6", "phq-9-total"):
        for value in ({"valueDecimal": 27}, {"valueInteger": 27}, {"valueQuantity": {"value": 27}}):
            form = response_json(POINTS)
            form["item"].append({"linkId": link_id, "answer": [value]})
            assert response(form).totals == (("total", 27),)
            assert points_of(response(form)) == POINTS


CODES = ["LA6568-5", "LA6569-3", "LA6571-9", "LA9-9", "asked-declined"]
SYSTEMS = ["http://loinc.org", "http://terminology.hl7.org/CodeSystem/data-absent-reason", "urn:other"]
ANSWER = st.builds(
    lambda system, code: {"valueCoding": {"system": system, "code": code}},
    st.sampled_from(SYSTEMS),
    st.sampled_from(CODES),
)
ITEM = st.builds(
    lambda link_id, answer: {"linkId": link_id, "answer": [answer]},
    st.sampled_from([*ITEMS, "44250-9", "/69722-7", "unknown"]),
    ANSWER | st.sampled_from(["LA6568-5", "LA6570-1"]).map(loinc),
)


@given(items=st.lists(ITEM, max_size=12), extra=st.sampled_from([{"linkId": "intro"}, {"linkId": "g", "item": []}]))
def test_the_fast_way_and_the_careful_way_agree(items: list[dict[str, Any]], extra: dict[str, Any]) -> None:
    """A plain form, good or bad, and the same form with an item that only the careful way takes, are read alike."""
    plain, careful = (
        FORMS.read(json.dumps(response_json([None] * 9, item=found)).encode(), NOW)
        for found in (items, [*items, extra])
    )
    assert plain == careful


@pytest.mark.parametrize("points", range(4))
def test_a_plain_form_is_worth_its_points(points: int) -> None:
    """Every answer that the PHQ-9 offers is worth its place in the list."""
    assert points_of(response(response_json([points] * 9))) == [points] * 9


def test_points_that_are_not_whole_are_exact() -> None:
    """A number is read digit by digit: never as a binary fraction."""
    assert response(first({"valueDecimal": 2.0})).answers[ITEMS[0]] == 2
    form = response_json(POINTS)
    form["item"].append({"linkId": "/44261-6", "answer": [{"valueDecimal": 0.1}]})
    assert response(form).totals == (("total", Decimal("0.1")),)
