"""A site's own Questionnaire with SDC scoring: read in all its varieties, scored or refused with the place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from fhir_alliance.core.consent import ConsentPolicy, gate
from fhir_alliance.core.model import Cleared, Direction, Formula, NoValue, Response
from fhir_alliance.core.safety import ConcernKind
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.identifiers import SCORES
from fhir_alliance.fhir.inbound import Parked
from fhir_alliance.fhir.sdc import NO_RULE, instrument_of
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.score import Desk

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
FULL = load_catalog()
CATALOG = Catalog({name: FULL.find(name) for name in ("phq-9", "gad-7")}, FULL.questionnaires)
URL = "https://site.example/fhir/Questionnaire/mood"
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"
ITEM_WEIGHT, ORDINAL = f"{EXTENSION}itemWeight", f"{EXTENSION}ordinalValue"
ARGONAUT = "http://fhir.org/guides/argonaut-questionnaire/StructureDefinition/extension-ordinalValue"
CALCULATED = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression"
SUM = "%resource.item.answer.value.weight().sum()"
MAX = "%resource.item.answer.value.weight().max()"


def weight(points: Any, url: str = ITEM_WEIGHT, name: str = "valueDecimal") -> list[dict[str, Any]]:
    """Return the extension for an answer's points."""
    return [{"url": url, name: points}]


def question(link_id: str, **elements: Any) -> dict[str, Any]:
    """Return a question with the answers c0 to c3."""
    options = [{"valueCoding": {"system": "urn:c", "code": f"c{n}", "extension": weight(n)}} for n in range(4)]
    return {"linkId": link_id, "type": "choice", "answerOption": options} | elements


def total(path: str = SUM, link_id: str = "sum", **elements: Any) -> dict[str, Any]:
    """Return a calculated item."""
    expression = {"language": "text/fhirpath", "expression": path}
    extension = [{"url": CALCULATED, "valueExpression": expression}]
    return {"linkId": link_id, "type": "decimal", "readOnly": True, "extension": extension} | elements


def variable(name: str, path: str) -> dict[str, Any]:
    """Return the extension that defines a variable."""
    expression = {"name": name, "language": "text/fhirpath", "expression": path}
    return {"url": f"{EXTENSION}variable", "valueExpression": expression}


def form(*items: Any, **elements: Any) -> dict[str, Any]:
    """Return a Questionnaire; without items, two questions and their sum."""
    made = list(items) or [question("q1"), question("q2"), total()]
    return {"resourceType": "Questionnaire", "id": "mood", "url": URL, "version": "1", "item": made} | elements


def coded(link_id: str, code: str, system: str | None = "urn:c", **elements: Any) -> dict[str, Any]:
    """Return an answered item."""
    coding = {"system": system, "code": code} if system else {"code": code}
    return {"linkId": link_id, "answer": [{"valueCoding": coding | elements}]}


def valued(link_id: str, **value: Any) -> dict[str, Any]:
    """Return an item answered by a value."""
    return {"linkId": link_id, "answer": [value]}


def answered(*items: Any, **elements: Any) -> dict[str, Any]:
    """Return a response; without items, c3 and c2, worth 5 points."""
    response = {
        "resourceType": "QuestionnaireResponse", "id": "r1", "questionnaire": URL, "status": "completed",
        "subject": {"reference": "Patient/p1"}, "authored": "2026-05-01T10:00:00+02:00",
        "item": list(items) or [coded("q1", "c3"), coded("q2", "c2")],
    }  # fmt: skip
    return {key: value for key, value in (response | elements).items() if value is not None}


def desk(*questionnaires: dict[str, Any], others: dict[str, list[dict[str, Any]]] | None = None) -> Desk:
    """Return a desk that has learnt Questionnaires. others: ValueSets and CodeSystems that lie beside them."""
    made = Desk(CATALOG, Policy())
    made.learn(questionnaires, lambda kind, urls: [r for r in (others or {}).get(kind, []) if r["url"] in urls])
    return made


def read(response: dict[str, Any], at: Desk) -> Any:
    """Return what a response is."""
    return at.forms.read(json.dumps(response).encode(), NOW)


def observations(response: dict[str, Any], at: Desk) -> list[dict[str, Any]]:
    """Return the Observations of the scores of a response."""
    found = read(response, at)
    assert isinstance(found, Response), found
    bench = at.bench(found)
    cleared = gate(found, (), ConsentPolicy(), bench.datum, NOW)
    assert isinstance(cleared, Cleared)
    written = bench.emitter.observations(cleared, bench.scorer.score(cleared))
    return [json.loads(body, parse_float=Decimal) for _, body in written][1:]


def value(response: dict[str, Any], *questionnaires: dict[str, Any], **others: list[dict[str, Any]]) -> Any:
    """Return the only score of a response, or why it has none."""
    (observation,) = observations(response, desk(*questionnaires, others=others))
    if "valueQuantity" in observation:
        return observation["valueQuantity"]["value"]
    return observation["dataAbsentReason"]["coding"][0]["code"]


def parked(response: dict[str, Any], *questionnaires: dict[str, Any]) -> Parked:
    """Return why a response is parked."""
    found = read(response, desk(*questionnaires))
    assert isinstance(found, Parked), found
    return found


# ------------------------------------------------------------ the instrument


def test_a_questionnaire_is_an_instrument() -> None:
    """Id, title, items, codes and range come from the Questionnaire; what nothing says stays unsaid."""
    loinc = {"system": "http://loinc.org", "code": "44261-6", "display": "Total"}
    made = instrument_of(form(question("q1"), question("q2"), total(code=[loinc], text="Mood"), title="Our mood"))
    (scale,) = made.scales
    assert (made.id, made.version, made.url, made.title, made.validated) == ("mood", "1", URL, "Our mood", False)
    assert [item.link_id for item in made.items] == ["q1", "q2"]
    assert (scale.id, scale.title, scale.low, scale.high) == ("total", "Mood", 0, 6)
    assert [(code.system, code.code) for code in scale.codes] == [("http://loinc.org", "44261-6")]
    assert (scale.bands, scale.caseness, scale.higher_is) == ((), None, Direction.UNKNOWN)
    assert "https://site.example" in scale.source


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        ({"url": "https://x.example/Questionnaire/sleep-7"}, "sleep-7"),
        ({"url": "urn:oid:1.2.3"}, "1.2.3"),
        ({"url": "https://x.example/sleep index/"}, "sleep-index"),
        ({"url": None, "id": "by-id"}, "by-id"),
    ],
)
def test_the_id_is_the_end_of_the_url_or_the_id(elements: dict[str, Any], name: str) -> None:
    """The instrument is named as the site names it, in letters that a code may have."""
    whole = {key: value for key, value in form(**elements).items() if value is not None}
    assert instrument_of(whole).id == name


def test_scales_are_told_apart() -> None:
    """Several calculated items are several scales, named by their linkIds; none of them claims to be the total."""
    one, both = total("%resource.item.where(linkId = 'q1').answer.value.weight()", "/one"), total(link_id="mood-total")
    made = instrument_of(form(question("q1"), question("q2"), one, both))
    assert [scale.id for scale in made.scales] == ["one", "mood"]


@pytest.mark.parametrize(
    "item",
    [
        total("%resource.authored", "age"),
        total("5", "constant"),
        {**total(link_id="words"), "type": "string"},
        {**total(link_id="elsewhere"), "extension": [{"url": CALCULATED, "valueExpression": {
            "language": "text/cql", "expression": SUM}}]},
    ],
    ids=lambda item: item["linkId"],
)  # fmt: skip
def test_what_is_no_score_is_no_scale(item: dict[str, Any]) -> None:
    """A calculated item that answers do not fill with a number is left alone."""
    assert [scale.id for scale in instrument_of(form(question("q1"), question("q2"), total(), item)).scales] == [
        "total"
    ]
    with pytest.raises(StopRun, match="FA109"):
        instrument_of(form(question("q1"), item))


def test_a_scores_observation_has_both_names() -> None:
    """The Observation carries the codes of the calculated item, then ours."""
    loinc = {"system": "http://loinc.org", "code": "44261-6"}
    (observation,) = observations(answered(), desk(form(question("q1"), question("q2"), total(code=[loinc]))))
    codes = [(coding["system"], coding["code"]) for coding in observation["code"]["coding"]]
    assert codes == [("http://loinc.org", "44261-6"), (SCORES, "mood-total")]
    assert observation["valueQuantity"]["value"] == 5
    assert "interpretation" not in observation


# ------------------------------------------------------- where points stand

PLAIN = [{"valueCoding": {"system": "urn:c", "code": f"c{n}"}} for n in range(4)]
CONCEPTS = [{"code": f"c{n}", "extension": weight(n)} for n in range(4)]
COMPOSED = {"resourceType": "ValueSet", "id": "vs", "url": "urn:vs", "compose": {
    "include": [{"system": "urn:c", "concept": CONCEPTS}]}}  # fmt: skip
R5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.contains.property"
EXPANDED = {
    "resourceType": "ValueSet",
    "id": "vs",
    "url": "urn:vs",
    "expansion": {
        "contains": [
            {"system": "urn:c", "code": f"c{n}", "property": [{"code": "itemWeight", "valueDecimal": n}]}
            for n in range(4)
        ]
    },
}
R4_EXPANDED = {
    "resourceType": "ValueSet",
    "id": "vs",
    "url": "urn:vs",
    "expansion": {
        "contains": [
            {
                "system": "urn:c",
                "code": f"c{n}",
                "extension": [
                    {
                        "url": R5,
                        "extension": [{"url": "code", "valueCode": "itemWeight"}, {"url": "value", "valueDecimal": n}],
                    }
                ],
            }
            for n in range(4)
        ]
    },
}
WHOLE_SYSTEM = {"resourceType": "ValueSet", "id": "vs", "url": "urn:vs", "compose": {"include": [{"system": "urn:c"}]}}
SYSTEM = {
    "resourceType": "CodeSystem",
    "url": "urn:c",
    "concept": [
        {
            "code": "c0",
            "property": [{"code": "itemWeight", "valueDecimal": 0}],
            "concept": [{"code": f"c{n}", "property": [{"code": "itemWeight", "valueDecimal": n}]} for n in (1, 2, 3)],
        }
    ],
}
NAMED = {"resourceType": "CodeSystem", "url": "urn:c",
    "property": [{"code": "w", "uri": "http://hl7.org/fhir/concept-properties#itemWeight", "type": "decimal"}],
    "concept": [{"code": f"c{n}", "property": [{"code": "w", "valueDecimal": n}]} for n in range(4)]}  # fmt: skip


def listed(place: str, url: str, name: str = "valueDecimal") -> list[dict[str, Any]]:
    """Return the answers c0 to c3 with their points on the option or on the coding."""
    options = copy.deepcopy(PLAIN)
    for points, option in enumerate(options):
        (option if place == "option" else option["valueCoding"])["extension"] = weight(points, url, name)
    return options


def asked(**elements: Any) -> list[dict[str, Any]]:
    """Return the two questions with other answer lists, and their sum."""
    return [*({"linkId": name, "type": "choice"} | elements for name in ("q1", "q2")), total()]


PLACES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "itemWeight on the option": (form(*asked(answerOption=listed("option", ITEM_WEIGHT))), {}),
    "ordinalValue on the coding": (form(*asked(answerOption=listed("coding", ORDINAL))), {}),
    "STU3's address": (form(*asked(answerOption=listed("option", f"{EXTENSION}questionnaire-ordinalValue"))), {}),
    "Argonaut's address": (form(*asked(answerOption=listed("coding", ARGONAUT))), {}),
    "as an integer": (form(*asked(answerOption=listed("coding", ORDINAL, "valueInteger"))), {}),
    "a contained ValueSet": (form(*asked(answerValueSet="#vs"), contained=[COMPOSED]), {}),
    "its expansion's property": (form(*asked(answerValueSet="#vs"), contained=[EXPANDED]), {}),
    "the property in R4": (form(*asked(answerValueSet="#vs"), contained=[R4_EXPANDED]), {}),
    "a supplied ValueSet": (form(*asked(answerValueSet="urn:vs|2")), {"ValueSet": [COMPOSED]}),
    "a CodeSystem behind options": (form(*asked(answerOption=PLAIN)), {"CodeSystem": [SYSTEM]}),
    "a contained CodeSystem": (form(*asked(answerOption=PLAIN), contained=[SYSTEM]), {}),
    "a CodeSystem behind a ValueSet": (
        form(*asked(answerValueSet="urn:vs")), {"ValueSet": [WHOLE_SYSTEM], "CodeSystem": [NAMED]}),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_points_are_found_where_they_stand(place: str) -> None:
    """Points are looked up on the option, in the ValueSet, in the CodeSystem; fast and by FHIRPath alike."""
    questionnaire, others = PLACES[place]
    assert value(answered(), questionnaire, **others) == 5
    general = copy.deepcopy(questionnaire)
    general["item"][-1] = total(f"{SUM} + {MAX} * 0")
    assert value(answered(), general, **others) == 5


@pytest.mark.parametrize("text", [SUM, f"{SUM} + {MAX} * 0"], ids=["fast", "FHIRPath"])
def test_an_answers_own_points_count_first(text: str) -> None:
    """Points on the answer itself are taken where the form lists none; where it does, both have to agree."""
    questionnaire = form(question("q1"), question("q2"), total(text))
    own = answered(coded("q1", "other", extension=weight(3, ORDINAL)), coded("q2", "c2", extension=weight(2)))
    assert value(own, questionnaire) == 5
    on_answer = answered(coded("q1", "other"), coded("q2", "c2"))
    on_answer["item"][0]["answer"][0]["extension"] = weight(3)
    assert value(on_answer, questionnaire) == 5
    assert parked(answered(coded("q1", "c1", extension=weight(3)), coded("q2", "c2")), questionnaire).code == "FA213"


@pytest.mark.parametrize("system", [None, "urn:c"])
def test_a_coding_without_a_system_is_read_by_its_code(system: str | None) -> None:
    """Codings without a system are read, fast and by FHIRPath, and the score says so."""
    for text in (SUM, f"{SUM} + {MAX} * 0"):
        questionnaire = form(question("q1"), question("q2"), total(text))
        (observation,) = observations(answered(coded("q1", "c3", system), coded("q2", "c2")), desk(questionnaire))
        assert observation["valueQuantity"]["value"] == 5
        assert ("note" in observation) == (system is None)


UNWEIGHTED: dict[str, list[dict[str, Any]]] = {
    "options without points": [question("q1"), question("q2", answerOption=PLAIN)],
    "points under an unknown address": [question("q1"), question("q2", answerOption=listed("option", "urn:points"))],
    "a CodeSystem of other codes": [
        question("q1"),
        question("q2", answerOption=[{"valueCoding": {"system": "urn:wrong", "code": f"c{n}"}} for n in range(4)]),
    ],
    "a ValueSet that is not there": [question("q1"), {"linkId": "q2", "type": "choice", "answerValueSet": "urn:none"}],
}
BOTH = "%resource.item.where(linkId in ('q1' | 'q2')).answer.value.weight()"


@pytest.mark.parametrize("path", [f"{BOTH}.sum()", f"{BOTH}.sum() + {BOTH}.max() * 0"], ids=["fast", "FHIRPath"])
@pytest.mark.parametrize("why", UNWEIGHTED)
def test_an_item_without_points_is_named_and_never_zero(why: str, path: str) -> None:
    """Where nothing says what an item's answers are worth, a form is scored only by points that its answers state."""
    questionnaire = form(*UNWEIGHTED[why], total(path), contained=[SYSTEM | {"url": "urn:other"}])
    found = parked(answered(), questionnaire)
    assert (found.code, '"q2"' in found.reason) == ("FA219", True)
    assert value(answered(coded("q1", "c3"), coded("q2", "c2", extension=weight(2))), questionnaire) == 5


def test_items_that_a_sweeping_sum_only_passes_are_left_out() -> None:
    """A sum over all items leaves out those that offer answers without points, and does not leave out unknown lists."""
    gender = question("gender", answerOption=PLAIN)
    assert value(answered(coded("q1", "c3"), coded("gender", "c1")), form(question("q1"), gender, total())) == 3
    unknown = {"linkId": "q2", "type": "choice", "answerValueSet": "urn:none"}
    assert parked(answered(), form(question("q1"), unknown, total())).code == "FA219"


def test_a_fault_elsewhere_does_not_matter() -> None:
    """An expression that cannot be read, and that no score asks for, is passed over; one that a score names is not."""
    odd = variable("today", "today()")
    age = total("today() - @1970-01-01", "age")
    assert value(answered(), form(question("q1"), question("q2"), age, total())) == 5
    other = {**total("'x'.toChars()", "letters"), "type": "string"}
    assert value(answered(), form(question("q1"), question("q2"), other, total(), extension=[odd])) == 5
    with pytest.raises(StopRun, match=r'FA107 item "sum": variable today: today\(\)'):
        instrument_of(form(question("q1"), total(f"{SUM} + %today"), extension=[odd]))


def test_an_answer_without_points_parks_the_form() -> None:
    """An answer that is offered without points is never a zero; a code for no answer is a gap with its reason."""
    declined = {"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "asked-declined"}
    options = [
        *question("q")["answerOption"],
        {"valueCoding": {"system": "urn:c", "code": "unsure"}},
        {"valueCoding": declined},
    ]
    questionnaire = form(question("q1"), question("q2", answerOption=options), total())
    found = parked(answered(coded("q1", "c3"), coded("q2", "unsure")), questionnaire)
    assert (found.code, '"q2"' in found.reason) == ("FA219", True)
    assert (
        value(answered(coded("q1", "c3"), coded("q2", "asked-declined", declined["system"])), questionnaire)
        == "asked-declined"
    )


# ------------------------------------------------- forms met in the field


@pytest.mark.parametrize(
    ("spoken", "written"),
    [("q1", "/q1"), ("/44250-9", "44250-9"), ("1.1", "1.1"), ("How do you feel?", "How do you feel?")],
)
@pytest.mark.parametrize("text", [SUM, f"{SUM} + {MAX} * 0"], ids=["fast", "FHIRPath"])
def test_link_ids_are_known_with_and_without_a_slash(spoken: str, written: str, text: str) -> None:
    """Numbers, texts and LOINC codes are linkIds, and a slash before one makes no difference."""
    questionnaire = form(question(spoken), question("q2"), total(text))
    assert value(answered(coded(written, "c3"), coded("q2", "c2")), questionnaire) == 5


@pytest.mark.parametrize("stored", [{"valueDecimal": 99}, {"valueInteger": 4}, {"valueQuantity": {"value": 7.5}}])
@pytest.mark.parametrize("text", [SUM, f"{SUM} + {MAX} * 0"], ids=["fast", "FHIRPath"])
def test_a_stored_total_is_compared_and_never_trusted(stored: dict[str, Any], text: str) -> None:
    """A total in the form, whatever its type, changes nothing; where the answers give another, the score says so."""
    questionnaire = form(question("q1"), question("q2"), total(text))
    items = [coded("q1", "c3"), coded("q2", "c2")]
    (observation,) = observations(answered(*items, valued("sum", **stored)), desk(questionnaire))
    assert observation["valueQuantity"]["value"] == 5
    assert "its answers give 5" in observation["note"][0]["text"]
    (right,) = observations(answered(*items, valued("sum", valueDecimal=5)), desk(questionnaire))
    assert "note" not in right


def test_a_stored_total_is_no_answer() -> None:
    """An expression over all numbers of a form never meets the total that the form carries."""
    numbers = [{"linkId": name, "type": "integer"} for name in ("n1", "n2")]
    questionnaire = form(*numbers, total("%resource.item.answer.value.max()"))
    items = [valued("n1", valueInteger=3), valued("n2", valueInteger=4), valued("sum", valueDecimal=99)]
    assert value(answered(*items), questionnaire) == 4


@pytest.mark.parametrize(
    "canonical", [URL, f"{URL}|1", "Questionnaire/mood", "http://ehr.example/fhir/Questionnaire/mood"]
)
def test_a_form_is_called_by_all_its_names(canonical: str) -> None:
    """With and without a version, relative, and by the server's own address, a form is the same form."""
    at = desk(form())
    line = json.dumps(answered(questionnaire=canonical)).encode()
    found = at.forms.read(line, NOW, "http://ehr.example/fhir")
    assert isinstance(found, Response)
    assert found.instrument == "mood"


@pytest.mark.parametrize("canonical", [f"{URL}|2", None, "https://other.example/fhir/Questionnaire/mood"])
def test_another_name_is_not_guessed(canonical: str | None) -> None:
    """Another version, no name, or another publisher's name with the same linkIds is never guessed."""
    assert parked(answered(questionnaire=canonical), form()).code in ("FA208", "FA217")


def test_each_version_is_scored_by_itself() -> None:
    """Two versions of a form that score differently stand side by side; a form without a version means the newest."""
    doubled = form(question("q1"), question("q2"), total(f"{SUM} * 2"), version="1.10", id="mood-2")
    at = desk(doubled, form(version="1.9"))
    found = {
        canonical: observations(answered(questionnaire=canonical), at)[0]["valueQuantity"]["value"]
        for canonical in (f"{URL}|1.9", f"{URL}|1.10", URL)
    }
    assert found == {f"{URL}|1.9": 5, f"{URL}|1.10": 10, URL: 10}


def test_a_version_that_cannot_be_scored_says_so() -> None:
    """Where one of two versions is faulty, its responses are parked with its fault, and the other's are scored."""
    half = form(question("q1"), question("q2"), total(f"{SUM} +"), version="2", id="half")
    found = parked(answered(questionnaire=f"{URL}|2"), form(), half)
    assert found.code == "FA107"
    assert value(answered(questionnaire=f"{URL}|1"), form(), half) == 5


def test_two_forms_of_one_name_that_differ_are_refused() -> None:
    """Where two Questionnaires of one name and version score differently, neither is believed."""
    other = form(question("q1"), question("q2"), total(f"{SUM} * 2"), id="copy")
    assert parked(answered(), form(), other).code == "FA106"
    assert value(answered(), form(), form(id="copy", title="the same, said again")) == 5


def test_items_in_groups_and_under_answers_are_scored() -> None:
    """Questions in groups and under answers count, wherever the response has them."""
    inner = question("q2")
    outer = question("q1", item=[{"linkId": "more", "type": "group", "item": [inner]}])
    text = "%resource.descendants().where(linkId in ('q1' | 'q2')).answer.value.weight().sum()"
    for path in (text, f"{text} + {text} * 0 + 0.power(2)"):
        questionnaire = form({"linkId": "all", "type": "group", "item": [outer]}, total(path))
        nested = coded("q1", "c3")
        nested["answer"][0]["item"] = [{"linkId": "more", "item": [coded("q2", "c2")]}]
        assert value(answered({"linkId": "all", "item": [nested]}), questionnaire) == 5


def test_an_expression_that_misses_its_items_gives_no_value() -> None:
    """An expression that walks the top level only, while the questions sit in a group, is not computable, not zero."""
    group = {"linkId": "all", "type": "group", "item": [question("q1"), question("q2")]}
    text = "%resource.item.where(linkId in ('q1' | 'q2')).answer.value.weight().sum()"
    response = answered({"linkId": "all", "item": [coded("q1", "c3"), coded("q2", "c2")]})
    assert value(response, form(group, total(text))) == "error"


def test_numbers_yes_and_text_are_answers() -> None:
    """Integers, decimals, Quantities, yes or no, and answers that are their own text are scored."""
    yes = {"linkId": "yes", "type": "boolean"}
    often, never = ({"valueString": said, "extension": weight(n)} for said, n in (("often", 4), ("never", 0)))
    words = {"linkId": "words", "type": "choice", "answerOption": [often, never]}
    bounds = [{"url": f"{EXTENSION}minValue", "valueInteger": 0}, {"url": f"{EXTENSION}maxValue", "valueInteger": 10}]
    numbers = [{"linkId": n, "type": t, "extension": bounds} for n, t in (("n", "integer"), ("d", "decimal"))]
    quantity = {"linkId": "q", "type": "quantity", "extension": bounds}
    picked = {"linkId": "p", "type": "integer", "answerOption": [{"valueInteger": n} for n in range(5)]}
    text = (
        "%resource.item.where(linkId in ('n' | 'd' | 'p')).answer.value.sum()"
        " + %resource.item.where(linkId = 'q').answer.value.value"
        " + %resource.item.where(linkId = 'yes' and answer.value = true).count()"
        " + iif(%resource.item.where(linkId = 'words').answer.value = 'often', 4, 0)"
    )
    items = [valued("n", valueInteger=3), valued("d", valueDecimal=1.5), valued("q", valueQuantity={"value": 2})]
    items += [valued("p", valueInteger=4), valued("yes", valueBoolean=True), valued("words", valueString="often")]
    assert value(answered(*items), form(yes, words, *numbers, quantity, picked, total(text))) == Decimal("15.5")


@pytest.mark.parametrize("path", ["{}", "({}).power(1)", "iif({} > 3, 1, 0)"], ids=["fast", "FHIRPath", "compared"])
def test_a_number_without_end_ends_nothing(path: str) -> None:
    """A number with a billion digits in an answer parks its form and ends no run."""
    asked_for = "%resource.item.where(linkId = 'q1').answer.value"
    at = desk(form({"linkId": "q1", "type": "decimal"}, total(path.format(asked_for))))
    line = json.dumps(answered(valued("q1", valueDecimal=7))).replace("7}", "1E+999999999}").encode()
    assert b"1E+999999999" in line
    assert not isinstance(at.forms.read(line, NOW), Response)


def test_a_number_without_bounds_has_no_range() -> None:
    """A score of a number without minValue and maxValue is given, and no range is made up for it."""
    questionnaire = form({"linkId": "q1", "type": "integer"}, total("%resource.item.where(linkId = 'q1').answer.value"))
    (scale,) = instrument_of(questionnaire).scales
    assert (scale.low, scale.high) == (0, 0)
    assert value(answered(valued("q1", valueInteger=42)), questionnaire) == 42


def test_several_answers_add_up() -> None:
    """A question of which several answers may be ticked is worth them all; of one that takes one, two park the form."""
    ticked = {"linkId": "q1", "answer": [*coded("q1", "c3")["answer"], *coded("q1", "c2")["answer"]]}
    assert value(answered(ticked), form(question("q1", repeats=True), total())) == 5
    assert parked(answered(ticked), form(question("q1"), total())).code == "FA210"
    assert instrument_of(form(question("q1", repeats=True), total())).items[0].high == 6


# ------------------------------------------------------------- what is missing


@pytest.mark.parametrize("text", [SUM, f"{SUM} + {MAX} * 0", f"iif({SUM}.exists(), {SUM}, 0)"])
def test_a_gap_is_not_a_zero(text: str) -> None:
    """Where the form states no rule for gaps, an incomplete form has no score, and says how much was answered."""
    (observation,) = observations(answered(coded("q1", "c3")), desk(form(question("q1"), question("q2"), total(text))))
    assert observation["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert observation["note"][0]["text"].startswith("1 of 2 answered; rule needs 2")
    (empty,) = observations(answered(valued("other", valueString="x"), item=[]), desk(form()))
    assert "valueQuantity" not in empty


def test_the_forms_own_rule_is_followed() -> None:
    """A rule in the expression is the rule: two of three answers are enough where it fills the gap up."""
    link_ids = ("q1", "q2", "q3")
    counted = "%resource.item.answer.value.weight().count()"
    for text in (
        f"iif({counted} >= 2, {SUM} * 3 / {counted}, {{}})",
        f"iif({counted} < 2, {{}}, ({SUM} / {counted} * 3).round(1) + {MAX} * 0)",
    ):
        questionnaire = form(*map(question, link_ids), total(text))
        two, one = answered(coded("q1", "c3"), coded("q2", "c2")), answered(coded("q1", "c3"))
        assert (value(two, questionnaire), value(one, questionnaire)) == (Decimal("7.5"), "not-performed")


CONDITIONS: dict[str, dict[str, Any]] = {
    "equals a code": {"enableWhen": [
        {"question": "q1", "operator": "=", "answerCoding": {"system": "urn:c", "code": "c3"}}]},
    "differs from a code": {"enableWhen": [{"question": "q1", "operator": "!=", "answerCoding": {"code": "c0"}}]},
    "all of two": {"enableBehavior": "all", "enableWhen": [
        {"question": "q1", "operator": "exists", "answerBoolean": True},
        {"question": "q1", "operator": "=", "answerCoding": {"code": "c3"}}]},
    "any of two": {"enableBehavior": "any", "enableWhen": [
        {"question": "q9", "operator": "exists", "answerBoolean": True},
        {"question": "q1", "operator": "=", "answerCoding": {"code": "c3"}}]},
    "an expression": {"extension": [{
        "url": "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression",
        "valueExpression": {"language": "text/fhirpath",
            "expression": "%resource.item.where(linkId = 'q1').answer.value.weight() >= 2"}}]},
}  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_was_not_asked_is_no_gap(condition: str) -> None:
    """A question that the answers before it switch off is not missed; one that they switch on is."""
    questionnaire = form(question("q1"), question("q2", **CONDITIONS[condition]), total())
    assert value(answered(coded("q1", "c0")), questionnaire) == 0
    assert value(answered(coded("q1", "c3")), questionnaire) == "not-performed"
    assert value(answered(), questionnaire) == 5
    assert value(answered(coded("q2", "c2")), questionnaire) == "not-performed"


# ------------------------------------------------------- copies in the form


def with_copy(copy_of: dict[str, Any], **elements: Any) -> dict[str, Any]:
    """Return a response that carries its Questionnaire."""
    return answered(questionnaire="#q", contained=[copy_of | {"id": "q"}], **elements)


def test_a_copy_counts_as_its_canonical() -> None:
    """A contained Questionnaire that scores as its canonical does is read as that, whatever its wording."""
    assert value(with_copy(form(title="another title")), form()) == 5
    valueset = {"resourceType": "ValueSet", "id": "vs", "url": "urn:vs"} | {"compose": COMPOSED["compose"]}
    supplied = form(*asked(answerValueSet="urn:vs"))
    assert value(with_copy(supplied), supplied, ValueSet=[valueset]) == 5


ALTERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "points": lambda q: q["item"][0]["answerOption"][3]["valueCoding"]["extension"][0].update(valueDecimal=30),
    "a code": lambda q: q["item"][0]["answerOption"][3]["valueCoding"].update(code="c9"),
    "an answer less": lambda q: q["item"][0]["answerOption"].pop(),
    "an item more": lambda q: q["item"].insert(0, question("q0")),
    "an expression": lambda q: q["item"][-1].update(total(f"{SUM} * 2")),
    "a variable": lambda q: q.update(extension=[{"url": f"{EXTENSION}variable", "valueExpression": {
        "name": "resource", "language": "text/fhirpath", "expression": "{}"}}]),
    "no shape": lambda q: q.update(item=[None]),
}  # fmt: skip


@pytest.mark.parametrize("what", ALTERATIONS)
def test_an_altered_copy_parks_the_form(what: str) -> None:
    """A contained Questionnaire with other scoring than its canonical is never scored by either."""
    altered = copy.deepcopy(form())
    ALTERATIONS[what](altered)
    assert parked(with_copy(altered), form()).code == "FA218"


def turned_round(questionnaire: dict[str, Any]) -> None:
    """Make the answers of a 0 to 3 form worth 3 to 0."""
    for option in (option for item in questionnaire["item"] for option in item.get("answerOption", ())):
        for extension in (*option.get("extension", ()), *option["valueCoding"].get("extension", ())):
            extension["valueDecimal"] = 3 - extension["valueDecimal"]


def test_a_copy_of_a_shipped_form_is_held_to_it() -> None:
    """A contained PHQ-9 is the shipped PHQ-9, and an altered one is none."""
    own = copy.deepcopy(FULL.questionnaires["phq-9"]) | {"id": "q"}
    items = [
        coded(item["linkId"], "LA6570-1", "http://loinc.org") for item in own["item"] if item["linkId"][:2] == "/4"
    ][:9]
    response = answered(*items, questionnaire="#q", contained=[own])
    found = read(response, desk())
    assert isinstance(found, Response)
    assert found.instrument == "phq-9"
    turned_round(own)
    assert parked(response).code == "FA218"


@pytest.mark.parametrize("copies", [[], [form(id="other")], [form(url="urn:unknown", id="q")]])
def test_a_copy_that_is_not_there_or_unknown_is_not_used(copies: list[dict[str, Any]]) -> None:
    """A response cannot bring its own scoring: a copy counts only where its canonical is known."""
    assert parked(answered(questionnaire="#q", contained=copies), form()).code == "FA208"


# --------------------------------------------------------- bad Questionnaires

VARIABLES = [variable("a", "%b + 1"), variable("b", "%a")]
NAMING = "%resource.item.where(linkId = 'q1').answer.value.weight()"
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "cyclic variables": (form(extension=VARIABLES), "FA107", "variable a"),
    "a 100 kB expression": (form(question("q1"), total(f"{SUM} + {'1 + ' * 25_000}1")), "FA107", '"sum"'),
    "an expression that never ends": (
        form(*(question(f"q{n}") for n in range(400)), total(
            "%resource.item.select(%resource.item.select(%resource.item.answer.value.weight()).sum()).sum()")),
        "FA107", '"sum"'),
    "half an expression": (form(question("q1"), total(f"{SUM} +")), "FA107", '"sum"'),
    "a forbidden function": (
        form(question("q1"), total("%resource.item.where(linkId.matches('(a+)+$')).answer.value.weight().sum()")),
        "FA107", "matches"),
    "an unknown variable": (form(question("q1"), total(f"{SUM} + %patient.age")), "FA107", "%patient"),
    "50,000 items": (form(*(question(f"q{n}") for n in range(50_000)), total()), "FA106", "5000"),
    "a weight as text": (
        form(question("q1", answerOption=[{"valueCoding": {"code": "x", "extension": weight("3")}}]), total()),
        "FA108", '"q1"'),
    "two weights": (
        form(question("q1", answerOption=[
            {"extension": weight(1), "valueCoding": {"code": "x", "extension": weight(2)}}]), total()),
        "FA103", '"q1"'),
    "a linkId twice": (form(question("q1"), question("q1"), total()), "FA106", '"q1"'),
    "a number as linkId": (form(question("q1"), {"linkId": 7, "type": "choice"}, total()), "FA106", "linkId"),
    "an item that is none": (form(question("q1"), total(), None), "FA106", "item"),
    "deep nesting": (form({"linkId": "0", "type": "group", "item": []}, total()), "FA106", "levels"),
    "a huge list": (
        form(*asked(answerValueSet="#vs"), contained=[{"resourceType": "ValueSet", "id": "vs", "expansion": {
            "contains": [{"system": "urn:c", "code": f"c{n}"} for n in range(20_000)]}}]), "FA108", '"q1"'),
    "a filtered list": (
        form(*asked(answerValueSet="#vs"), contained=[{"resourceType": "ValueSet", "id": "vs", "compose": {
            "include": [{"system": "urn:c", "filter": [{"property": "x", "op": "=", "value": "y"}]}]}}]),
        "FA108", '"q1"'),
}  # fmt: skip
_home = BAD["deep nesting"][0]["item"][0]["item"]
for _level in range(1, 100):
    _home.append({"linkId": str(_level), "type": "group", "item": []})
    _home = _home[0]["item"]


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_questionnaire_is_refused_with_its_place(fault: str) -> None:
    """What cannot be scored is refused and says where; its responses are parked with that, and others are scored."""
    questionnaire, code, place = BAD[fault]
    with pytest.raises(StopRun, match=code) as caught:
        instrument_of(questionnaire)
    assert place in caught.value.message
    good = form(url="urn:good", id="good")
    at = desk(questionnaire, good)
    found = read(answered(), at)
    assert isinstance(found, Parked)
    assert (found.code, place in found.reason) == (code, True)
    (observation,) = observations(answered(questionnaire="urn:good"), at)
    assert observation["valueQuantity"]["value"] == 5


def test_an_expression_that_fails_on_one_form_is_an_error_there() -> None:
    """An expression that cannot be evaluated for one form gives that form a reason, not a zero, and no other one."""
    path = f"iif({NAMING} = 1, %resource.item.answer.value.weight() + 1, {SUM})"
    questionnaire = form(question("q1"), question("q2"), total(path))
    (observation,) = observations(answered(coded("q1", "c1"), coded("q2", "c2")), desk(questionnaire))
    assert observation["dataAbsentReason"]["coding"][0]["code"] == "error"
    assert "cannot be evaluated" in observation["note"][0]["text"]
    assert value(answered(), questionnaire) == 5


# ----------------------------------------------------------- beside our own


def test_a_name_like_ours_does_not_become_ours() -> None:
    """A site's form whose name ends like a shipped instrument's is another instrument."""
    other = "https://site.example/Questionnaire/phq-9"
    at = desk(form(url=other, id="x"))
    found = read(answered(questionnaire=other), at)
    assert isinstance(found, Response)
    assert found.instrument not in CATALOG.instruments
    assert at.instruments[found.instrument].url == other


def loinc(code: str) -> list[dict[str, str]]:
    """Return a LOINC code."""
    return [{"system": "http://loinc.org", "code": code}]


def test_a_safety_item_is_watched_in_any_form() -> None:
    """An item that carries the LOINC code of a safety item asks for a look, also in a site's own instrument."""
    at = desk(
        form(
            question("q1"),
            question("risk", code=loinc("44260-8")),
            total("%resource.item.where(linkId = 'q1').answer.value.weight()"),
        )
    )
    found = read(answered(coded("q1", "c0"), coded("risk", "c1")), at)
    assert isinstance(found, Response)
    assert at.forms.is_concern(found)
    concern = at.forms.concern_of(found)
    assert concern is not None
    assert (concern.kind, concern.title) == (ConcernKind.ANSWERED, "mood")


PHQ_CODES = [item.codes[0].code for item in CATALOG.find("phq-9").items]


def test_a_part_of_ours_with_its_own_scoring_is_its_own() -> None:
    """A form with eight of nine items of ours and a sum of its own is scored by that sum; with all nine it is ours."""
    items = [question(f"q{n}", code=loinc(code)) for n, code in enumerate(PHQ_CODES)]
    responses = answered(*(coded(f"q{n}", "c1") for n in range(8)))
    assert value(responses, form(*items[:8], total())) == 8
    found = read(answered(*(coded(f"q{n}", "c1") for n in range(9))), desk(form(*items, total())))
    assert isinstance(found, Response)
    assert found.instrument == "phq-9"


def test_a_site_cannot_weigh_answers_of_ours_otherwise() -> None:
    """A form of ours in which LOINC's answers are worth other points is refused with the item."""
    altered = copy.deepcopy(FULL.questionnaires["phq-9"]) | {"url": "urn:altered", "id": "altered"}
    turned_round(altered)
    found = parked(answered(questionnaire="urn:altered"), altered)
    assert (found.code, "/44250-9" in found.reason) == ("FA108", True)


def test_rules_are_silent_on_an_unknown_direction() -> None:
    """Nothing is judged from scores of which nobody said what a higher one means: they have no bands and no line."""
    made = instrument_of(form())
    assert all((s.higher_is, s.bands, s.caseness) == (Direction.UNKNOWN, (), None) for s in made.scales)


def test_no_value_says_why_when_nobody_evaluated() -> None:
    """A scale by expression whose value did not come with the form has none, and says so."""
    at = desk(form(question("q1"), question("q2"), total(MAX)))
    found = read(answered(), at)
    assert isinstance(found, Response)
    assert at.instruments["mood"].scales[0].formula is Formula.EXPRESSION
    assert at.instruments["mood"].scales[0].missing.source == NO_RULE
    assert found.computed == {"total": 3}
    cleared = gate(found, (), ConsentPolicy(), at.bench(found).datum, NOW)
    assert isinstance(cleared, Cleared)
    assert at.bench(found).scorer.score(cleared)[0].value == 3
    gap = read(answered(coded("q1", "c1")), at)
    assert isinstance(gap, Response)
    assert isinstance(gap.computed["total"], NoValue)
