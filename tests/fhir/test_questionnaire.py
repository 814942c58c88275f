"""Questionnaires: valid R4, scored alike by FHIRPath and by us, and published only as far as the licence goes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.questionnaire import Questionnaire
from fhirpathpy import evaluate
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models

from fhir_alliance.core.conformance import Case
from fhir_alliance.core.goals import goal_attainment
from fhir_alliance.core.model import Direction, Formula, GoalRating, Instrument, Missing, NoValue, Wording
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import walk
from fhir_alliance.fhir.identifiers import LOINC, WEIGHT_URLS
from fhir_alliance.fhir.questionnaire import calculated_items, check_questionnaire, publishable, read_items
from fhir_alliance.runs.catalog import load_cases, load_catalog, shipped

CATALOG = load_catalog()
SHIPPED = sorted(CATALOG.instruments)
ITEM_WEIGHT = "http://hl7.org/fhir/StructureDefinition/itemWeight"
VARIABLE = "http://hl7.org/fhir/StructureDefinition/variable"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
DECLINED = {"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "asked-declined"}
CASES = [
    pytest.param(name, case, id=f"{name}: {case.name}")
    for name in SHIPPED
    for case in load_cases(shipped("questionnaires") / name, CATALOG.find(name))
]


def data(node: Any) -> Any:
    """Return what a FHIRPath node holds."""
    return node.data if isinstance(node, ResourceNode) else node


def engine(questionnaire: Mapping[str, Any]) -> dict[str, Any]:
    """Return what fhirpathpy lacks: SDC's weight(), and round() as FHIRPath has it (a half goes up)."""
    weights = {
        (coding.get("system"), coding["code"]): extension["valueDecimal"]
        for item in walk(questionnaire["item"])
        for option in item.get("answerOption", ())
        for coding in (option["valueCoding"],)
        for extension in option.get("extension", ())
        if extension["url"] == ITEM_WEIGHT
    }

    def weight(nodes: list[Any]) -> list[Decimal]:
        keys = [(data(node).get("system"), data(node).get("code")) for node in nodes]
        return [Decimal(str(weights[key])) for key in keys if key in weights]

    def rounded(nodes: list[Any], places: int) -> list[Decimal]:
        return [Decimal(str(data(n))).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) for n in nodes]

    return {
        "userInvocationTable": {
            "weight": {"fn": weight, "arity": {0: []}},
            "round": {"fn": rounded, "arity": {1: ["Integer"]}},
        }
    }


def calculated(form: Mapping[str, Any], link_id: str, filled: dict[str, Any]) -> list[Any]:
    """Return what fhirpathpy makes of a calculated item of a filled form, by the variables that stand on the item."""
    (item,) = [item for item in walk(form["item"]) if item["linkId"] == link_id]
    known = {"resource": filled, "questionnaire": form}
    options = engine(form)
    for variable in (e["valueExpression"] for e in item["extension"] if e["url"] == VARIABLE):
        known[variable["name"]] = evaluate(filled, variable["expression"], known, models["r4"], options)
    found: list[Any] = evaluate(filled, calculated_items(form)[link_id], known, models["r4"], options)
    return found


def response(instrument: Instrument, case: Case) -> dict[str, Any]:
    """Return a case as the QuestionnaireResponse that a form filler would send."""
    codes = {item.link_id: {option.weight: option.code for option in item.options} for item in instrument.items}
    items = []
    for link_id, answer in case.answers.items():
        if isinstance(answer, Missing):
            coding = DECLINED
        elif not codes[link_id]:
            items.append({"linkId": link_id, "answer": [{"valueDecimal": answer}]})
            continue
        else:
            coding = {"system": codes[link_id][answer].system, "code": codes[link_id][answer].code}
        items.append({"linkId": link_id, "answer": [{"valueCoding": coding}]})
    return {"resourceType": "QuestionnaireResponse", "status": "completed", "item": items}


def total_link_ids(instrument: Instrument) -> dict[str, str]:
    """Return under which linkId each scale's calculated item stands."""
    found = {}
    for scale in instrument.scales:
        for code in scale.codes:
            found[f"/{code.code}"] = scale.id
        found[f"{instrument.id}-{scale.id}"] = scale.id
    return found


@pytest.mark.parametrize(("name", "case"), CASES)
def test_calculated_items_agree_with_the_scorer(name: str, case: Case) -> None:
    """Each calculatedExpression gives our score, and nothing at all (never zero) where we give none."""
    instrument, form = CATALOG.find(name), CATALOG.questionnaires[name]
    filled = response(instrument, case)
    plans = {plan.scale_id: plan for plan in Scorer(instrument).plans}
    scale_of = total_link_ids(instrument)
    totals = calculated_items(form)
    assert {scale_of[link_id] for link_id in totals} == set(plans)
    for link_id in totals:
        if plans[scale_of[link_id]].formula is Formula.GOAL_ATTAINMENT:
            continue  # over groups of goals, which a case cannot say
        ours = plans[scale_of[link_id]].evaluate(case.answers)[0]
        assert [Decimal(str(number)) for number in calculated(form, link_id, filled)] == (
            [Decimal(ours)] if isinstance(ours, int | Decimal) else []
        )


def goals_form(goals: list[tuple[int | None, float | None]]) -> dict[str, Any]:
    """Return a GAS form with these ratings and weights; None is left out."""
    code = {option.weight: option.code for option in CATALOG.find("gas").items[0].options}
    groups = []
    for rating, weight in goals:
        answers: dict[str, Any] = {}
        if rating is not None:
            answers["/107332-9"] = {"valueCoding": {"system": code[rating].system, "code": code[rating].code}}
        if weight is not None:
            answers["gas-weight"] = {"valueDecimal": weight}
        inner = [{"linkId": link_id, "answer": [answer]} for link_id, answer in answers.items()]
        groups.append({"linkId": "gas-goals", "item": inner})
    return {"resourceType": "QuestionnaireResponse", "status": "completed", "item": groups}


@pytest.mark.parametrize(
    ("goals", "score"),
    [
        ([(0, None)], 50),
        ([(1, None)], 60),
        ([(1, 1), (1, 1), (1, 1)], "63.69"),
        ([(-1, 1), (0, 2), (1, 3)], "54.41"),
        ([(-2, None), (2, 2.5)], "60.14"),
        ([(1, None), (None, None)], None),
    ],
)
def test_goal_attainment_is_calculated_alike(goals: list[tuple[int | None, float | None]], score: Any) -> None:
    """The calculated GAS T score is ours, for weighed and unweighed goals, and nothing where one is not rated."""
    form, filled = CATALOG.questionnaires["gas"], goals_form(goals)
    ratings = [GoalRating("Goal/1", Missing.UNANSWERED if x is None else x, Decimal(str(w or 1))) for x, w in goals]
    ours = goal_attainment(ratings, 2)
    theirs = calculated(form, "gas-total", filled)
    assert [Decimal(str(number)) for number in theirs] == ([] if score is None else [Decimal(score)])
    assert isinstance(ours, NoValue) if score is None else ours == Decimal(score)


@pytest.mark.parametrize("name", SHIPPED)
def test_an_empty_form_has_no_total(name: str) -> None:
    """No calculatedExpression turns an empty form into a number."""
    form = CATALOG.questionnaires[name]
    empty = {"resourceType": "QuestionnaireResponse", "status": "completed"}
    for link_id in calculated_items(form):
        assert calculated(form, link_id, empty) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_questionnaires_are_valid_r4(name: str) -> None:
    """Every Questionnaire that ships parses as FHIR R4, both as it stands and as it is published."""
    Questionnaire.model_validate_json(orjson.dumps(CATALOG.questionnaires[name]))
    Questionnaire.model_validate_json(orjson.dumps(CATALOG.questionnaire(name)))


@pytest.mark.parametrize("name", SHIPPED)
def test_forms_may_be_left_incomplete(name: str) -> None:
    """No item is required, so that a validating server takes a partial form."""
    assert not any(item.get("required") for item in walk(CATALOG.questionnaires[name]["item"]))


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_stand_in_both_dialects(name: str) -> None:
    """Each scored answer carries its points as itemWeight and as ordinalValue, and they agree."""
    scored = {item.link_id for item in CATALOG.find(name).items}
    for item in walk(CATALOG.questionnaires[name]["item"]):
        for option in item.get("answerOption", ()) if item["linkId"] in scored else ():
            found = {e["url"]: e["valueDecimal"] for e in option.get("extension", ())}
            if option["valueCoding"]["code"] != DECLINED["code"]:
                assert set(found) == {ITEM_WEIGHT, ORDINAL}
                assert len(set(found.values())) == 1


@pytest.mark.parametrize("name", SHIPPED)
def test_totals_are_hidden_and_nobody_types_them(name: str) -> None:
    """Calculated items are hidden, read-only decimals, and are never taken for items that a client answers."""
    form = CATALOG.questionnaires[name]
    answered = {item.link_id for item in read_items(form)}
    totals = calculated_items(form)
    for item in walk(form["item"]):
        if item["linkId"] in totals:
            hidden = {e["url"].rpartition("/")[2]: e.get("valueBoolean") for e in item["extension"]}
            assert item["type"] == "decimal"
            assert item["readOnly"] is True
            assert hidden["questionnaire-hidden"] is True
    assert not answered & set(totals)


@pytest.mark.parametrize("name", ["phq-9", "gad-7"])
def test_loinc_items_are_named_by_their_code(name: str) -> None:
    """PHQ-9 and GAD-7 items have their LOINC code as code and, with a slash, as linkId."""
    for item in CATALOG.find(name).items:
        assert [f"/{code.code}" for code in item.codes if code.system == LOINC] == [item.link_id]


def test_no_protected_wording_ships() -> None:
    """The WAI-SR goes out with item numbers and bare numbers as answers, and with no other word."""
    for form in (CATALOG.questionnaires["wai-sr"], CATALOG.questionnaire("wai-sr")):
        items = [item for item in walk(form["item"]) if item["type"] != "decimal"]
        assert [item["text"] for item in items] == [f"Item {number}" for number in range(1, 13)]
        assert {o["valueCoding"]["display"] for item in items for o in item["answerOption"]} == set("12345")


@pytest.mark.parametrize("name", ["alliance-checkin", "alliance-checkin-therapist"])
def test_the_check_in_says_what_it_is_not(name: str) -> None:
    """Title and description of the check-in say that it is not validated and neither the WAI nor the SRS."""
    form = CATALOG.questionnaires[name]
    for text in (form["title"], form["description"]):
        for words in ("not validated", "no norms", "not the WAI", "not the SRS"):
            assert words in text
    instrument = CATALOG.find(name)
    assert not instrument.validated
    for scale in instrument.scales:
        assert (scale.bands, scale.caseness, scale.higher_is) == ((), None, Direction.BETTER)


def test_the_two_check_ins_are_parallel() -> None:
    """Client and therapist answer the same items with the same answers, under the same linkIds."""
    client, therapist = (CATALOG.find(name) for name in ("alliance-checkin", "alliance-checkin-therapist"))
    assert client.items == therapist.items
    assert [(s.id, s.items, s.reversed) for s in client.scales] == [
        (s.id, s.items, s.reversed) for s in therapist.scales
    ]


def test_the_setting_is_no_part_of_the_alliance() -> None:
    """A poor connection or room never lowers an alliance score."""
    for name in ("alliance-checkin", "alliance-checkin-therapist"):
        instrument = CATALOG.find(name)
        assert "setting" in {item.link_id for item in instrument.items}
        assert not any("setting" in scale.items for scale in instrument.scales)


def _question(*weights: tuple[str, Any], **elements: Any) -> dict[str, Any]:
    extensions = [{"url": url, "valueDecimal": value} for url, value in weights]
    return {
        "linkId": "q",
        "type": "choice",
        "answerOption": [{"valueCoding": {"system": "s", "code": "a", "extension": extensions}}],
    } | elements


@pytest.mark.parametrize("url", sorted(WEIGHT_URLS))
@pytest.mark.parametrize("place", ["option", "coding"])
def test_weights_are_read_wherever_they_stand(url: str, place: str) -> None:
    """Points are read under every address in use, on the option and on its coding."""
    extension = [{"url": url, "valueDecimal": 2.0}]
    coding: dict[str, Any] = {"system": "s", "code": "a"}
    option: dict[str, Any] = {"valueCoding": coding}
    (option if place == "option" else coding)["extension"] = extension
    (item,) = read_items({"item": [{"linkId": "q", "type": "choice", "answerOption": [option]}]})
    assert [(o.code.code, o.weight) for o in item.options] == [("a", 2)]
    assert (item.low, item.high, item.whole) == (2, 2, True)


def test_contradicting_weights_stop() -> None:
    """An answer that states two different numbers of points is refused, never guessed."""
    with pytest.raises(StopRun, match="FA103"):
        read_items({"item": [_question((ITEM_WEIGHT, 1), (ORDINAL, 2))]})


def test_groups_are_flattened_and_the_rest_is_left_out() -> None:
    """Items in groups are found in order; displays, text, totals and answers without points are no items."""
    inner = _question((ITEM_WEIGHT, 1), linkId="inner")
    form = {
        "item": [
            {"linkId": "head", "type": "display"},
            {"linkId": "group", "type": "group", "item": [inner, {"linkId": "free", "type": "text"}]},
            _question(linkId="unweighted"),
            {"linkId": "number", "type": "integer", "extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/minValue", "valueInteger": 0},
                {"url": "http://hl7.org/fhir/StructureDefinition/maxValue", "valueInteger": 10},
            ]},
            {"linkId": "total", "type": "decimal", "readOnly": True},
        ]
    }  # fmt: skip
    items = read_items(form)
    assert [item.link_id for item in items] == ["inner", "number"]
    assert (items[1].low, items[1].high) == (0, 10)


def test_a_form_without_its_totals_is_found() -> None:
    """A Questionnaire that lacks a calculated item, a copyright, or has a linkId twice is reported."""
    instrument, form = CATALOG.find("gad-7"), dict(CATALOG.questionnaires["gad-7"])
    assert list(check_questionnaire(instrument, form)) == []
    assert list(check_questionnaire(instrument, form | {"item": form["item"][:-1]}))
    assert list(check_questionnaire(instrument, form | {"item": [*form["item"], form["item"][1]]}))
    assert list(check_questionnaire(instrument, {k: v for k, v in form.items() if k != "copyright"}))


def test_a_skeleton_is_published_as_a_draft_with_the_reason() -> None:
    """Without wording the WAI-SR is a draft that says whose permission is lacking; the original is not touched."""
    instrument, form = CATALOG.find("wai-sr"), CATALOG.questionnaires["wai-sr"]
    before = orjson.dumps(form)
    sent = publishable(instrument, form)
    assert sent["status"] == "draft"
    assert instrument.licence.holder in sent["description"]
    assert orjson.dumps(form) == before


@pytest.mark.parametrize("name", [n for n in SHIPPED if CATALOG.find(n).licence.wording is not Wording.OVERLAY])
def test_what_may_ship_is_published_as_it_stands(name: str) -> None:
    """A form whose wording may ship is published as active, word for word."""
    assert CATALOG.questionnaire(name) == CATALOG.questionnaires[name]
    assert CATALOG.questionnaire(name)["status"] == "active"
