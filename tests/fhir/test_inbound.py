"""Reading forms: how each is recognised, also a site's own, who answered it, and when."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fhir_alliance.core.model import FormStatus, Rater, Response
from fhir_alliance.core.scoring import Plan
from fhir_alliance.fhir.inbound import Forms, Parked, Reading, Skipped, Withdrawal, moment
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.testing import response_json

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=9, minutes=30)))
BASE = "https://fhir.clinic.example/r4"
CATALOG = load_catalog()
FORMS = Forms(CATALOG.instruments, CATALOG.questionnaires)
PAIR = Forms({name: CATALOG.find(name) for name in ("phq-9", "gad-7")}, CATALOG.questionnaires)
PHQ_9 = CATALOG.find("phq-9")
POINTS = [2, 2, 2, 2, 1, 1, 2, 0, 0]
NAMES = [
    (instrument.id, canonical)
    for instrument in CATALOG.instruments.values()
    for canonical in (
        instrument.url, f"{instrument.url}|{instrument.version}", f"{instrument.url}|", *instrument.aliases,
        f"Questionnaire/{instrument.id}", *(f"Questionnaire/{name}" for name in instrument.also_known),
    )
]  # fmt: skip
GAD_7_CODES = [item.codes[0].code for item in CATALOG.find("gad-7").items]


def read(form: dict[str, Any], forms: Forms = FORMS, base: str = BASE) -> Reading:
    """Return what a form is read as."""
    return forms.read(json.dumps(form).encode(), NOW, base)


def response(form: dict[str, Any], forms: Forms = FORMS) -> Response:
    """Return a form that can be read."""
    found = read(form, forms)
    assert isinstance(found, Response), found
    return found


def code_of(form: dict[str, Any], forms: Forms = FORMS) -> str:
    """Return the code with which a form is parked."""
    found = read(form, forms)
    assert isinstance(found, Parked), found
    return found.code


def total(form: Response) -> Any:
    """Return the PHQ-9 total and the name of its band."""
    value, _, _, band = Plan(PHQ_9.scales[0], {item.link_id: item for item in PHQ_9.items}).evaluate(form.answers)
    return value, band.label if band else ""


def loinc(code: str, **elements: Any) -> dict[str, Any]:
    """Return an answer coded in LOINC."""
    return {"valueCoding": {"system": "http://loinc.org", "code": code, **elements}}


def renamed(prefix: str, canonical: str | None = None) -> dict[str, Any]:
    """Return a PHQ-9 whose linkIds are its LOINC codes behind a prefix."""
    form = response_json(POINTS, questionnaire=canonical)
    for item in form["item"]:
        item["linkId"] = prefix + item["linkId"].lstrip("/")
    return form


def site_form(**elements: Any) -> dict[str, Any]:
    """Return a hospital's own PHQ-9: linkIds q0 to q8 in a group, answers a0 to a3 of its own, with weights."""
    items = [
        {
            "linkId": f"q{number}",
            "type": "choice",
            "code": [{"system": "urn:site", "code": f"{number}"}, {"system": "http://loinc.org", "code": code.code}],
            "answerOption": [
                {"valueCoding": {"system": "urn:site:answers", "code": f"a{n}"}, "extension": weight(n)}
                for n in range(4)
            ],
        }
        for number, code in enumerate(item.codes[0] for item in PHQ_9.items)
    ]
    group = {"linkId": "all", "type": "group", "item": [*items, {"linkId": "remark", "type": "text"}]}
    url = "https://hospital.example/Questionnaire/mood"
    made = {"resourceType": "Questionnaire", "id": "mood", "url": url, "version": "7", "item": [group]}
    return {key: value for key, value in (made | elements).items() if value is not None}


def weight(points: float, url: str = "http://hl7.org/fhir/StructureDefinition/itemWeight") -> list[dict[str, Any]]:
    """Return the extension that says what an answer is worth."""
    return [{"url": url, "valueDecimal": points}]


def reweigh(node: Any, change: Callable[[Any], Any]) -> None:
    """Change every weight in a Questionnaire, wherever it stands."""
    if isinstance(node, dict):
        if str(node.get("url")).endswith(("itemWeight", "ordinalValue")) and "valueDecimal" in node:
            node["valueDecimal"] = change(node["valueDecimal"])
        node = list(node.values())
    for inner in node if isinstance(node, list) else ():
        reweigh(inner, change)


def site_response(canonical: str) -> dict[str, Any]:
    """Return an answered form of that hospital."""
    items = [
        {"linkId": f"q{number}", "answer": [{"valueCoding": {"system": "urn:site:answers", "code": f"a{points}"}}]}
        for number, points in enumerate(POINTS)
    ]
    remark = {"linkId": "remark", "answer": [{"valueString": "x"}]}
    return response_json(POINTS, questionnaire=canonical, item=[{"linkId": "all", "item": [*items, remark]}])


# ----------------------------------------------------------- recognition


@pytest.mark.parametrize(("name", "canonical"), NAMES, ids=[canonical for _, canonical in NAMES])
def test_a_form_is_known_by_every_name_of_it(name: str, canonical: str) -> None:
    """Each canonical, with or without version, each alias and each name in use leads to its instrument."""
    assert response(response_json([None] * 9, questionnaire=canonical)).instrument == name


@pytest.mark.parametrize("canonical", [None, "https://elsewhere.example/Questionnaire/mood|3"])
@pytest.mark.parametrize("prefix", ["", "/"])
def test_a_form_without_a_known_name_is_known_by_its_codes(prefix: str, canonical: str | None) -> None:
    """LOINC codes as linkIds are enough, with and without a slash, and are read alike."""
    assert total(response(renamed(prefix, canonical))) == (12, "moderate")


def test_a_code_behind_a_path_is_not_half_read() -> None:
    """A form whose codes stand behind a path is parked as a whole."""
    assert code_of(renamed("/panel/")) == "FA209"


@pytest.mark.parametrize("kept", [9, 5])
def test_half_of_the_codes_are_enough(kept: int) -> None:
    """A form with at least half of an instrument's items is taken for it."""
    form = response_json([*POINTS[:kept], *[None] * (9 - kept)], questionnaire=None)
    assert response(form, PAIR).instrument == "phq-9"


def test_fewer_than_half_of_the_codes_are_not() -> None:
    """A form with four of nine items is not taken for the instrument."""
    assert code_of(response_json([*POINTS[:4], *[None] * 5], questionnaire=None), PAIR) == "FA208"


def test_a_form_that_fits_two_is_not_guessed() -> None:
    """A form that holds all items of two instruments is scored as neither."""
    both = response_json(POINTS, questionnaire=None)
    both["item"] += [{"linkId": f"/{code}", "answer": [loinc("LA6569-3")]} for code in GAD_7_CODES]
    assert code_of(both, PAIR) in ("FA208", "FA209")


@pytest.mark.parametrize(
    ("canonical", "code"),
    [
        ("https://fhir-alliance.org/fhir/Questionnaire/wai-sr|0.9", "FA217"),
        ("https://fhir-alliance.org/fhir/Questionnaire/nothing", "FA208"),
        ("https://elsewhere.example/Questionnaire/wai-sr", "FA208"),
        ("Questionnaire/nothing", "FA208"),
        ("#contained", "FA208"),
        ("", "FA208"),
    ],
)
def test_an_unknown_form_is_parked(canonical: str, code: str) -> None:
    """A name that is not known, of another publisher, or in a version that is not here, is never guessed."""
    item = {"linkId": "wai-sr-1", "answer": [{"valueInteger": 3}]}
    assert code_of(response_json(POINTS, questionnaire=canonical, item=[item])) == code


# ----------------------------------------------------- a site's own form


@pytest.mark.parametrize("canonical", ["", "|7", "|8"])
def test_a_sites_form_is_read_once_it_is_learnt(canonical: str) -> None:
    """A hospital's linkIds, answers and weights are understood from its Questionnaire, in any version of it."""
    forms = Forms(CATALOG.instruments, CATALOG.questionnaires)
    form = site_response(site_form()["url"] + canonical)
    assert code_of(form, forms) == "FA208"
    assert forms.learn(site_form())
    assert total(response(form, forms)) == (12, "moderate")
    assert response(site_response("Questionnaire/mood"), forms).answers == response(form, forms).answers


def test_a_sites_form_without_a_url_is_known_by_its_id() -> None:
    """A Questionnaire that has only an id is found by the relative reference to it."""
    forms = Forms(CATALOG.instruments, CATALOG.questionnaires)
    assert forms.learn(site_form(url=None))
    assert total(response(site_response("Questionnaire/mood"), forms)) == (12, "moderate")


@pytest.mark.parametrize(
    "questionnaire",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"url": "urn:x", "item": []}, id="no items"),
        pytest.param(site_form(item=[{"linkId": "q0", "type": "choice"}]), id="no codes"),
        pytest.param(site_form(url=5), id="url of the wrong type"),
        pytest.param(site_form(url=None, id=None), id="no name"),
        pytest.param(site_form(url=PHQ_9.url), id="the name of ours"),
    ],
)
def test_what_is_no_form_of_ours_is_not_learnt(questionnaire: dict[str, Any]) -> None:
    """A Questionnaire without our codes, without a name, or under a name that is taken, changes nothing."""
    forms = Forms(CATALOG.instruments, CATALOG.questionnaires)
    assert not forms.learn(questionnaire)
    assert total(response(response_json(POINTS), forms)) == (12, "moderate")


@pytest.mark.parametrize(
    "item", ["x", [None], [{"code": None}], [{"code": "x"}], {"linkId": "q"}], ids=lambda item: json.dumps(item)
)
def test_a_broken_questionnaire_is_passed_over(item: Any) -> None:
    """A site's Questionnaire that is not well-formed is not learnt, and ends nothing."""
    forms = Forms(CATALOG.instruments, CATALOG.questionnaires)
    assert not forms.learn(site_form(item=item))
    assert total(response(response_json(POINTS), forms)) == (12, "moderate")


@pytest.mark.parametrize("change", [lambda points: points + 5, lambda points: 3 - points], ids=["higher", "mirrored"])
def test_a_sites_form_cannot_change_what_an_answer_of_ours_is_worth(change: Callable[[Any], Any]) -> None:
    """A site's Questionnaire that gives LOINC's answers other points is not learnt, and its responses say why."""
    forms = Forms(CATALOG.instruments, CATALOG.questionnaires)
    altered = copy.deepcopy(CATALOG.questionnaires["phq-9"]) | {"url": "urn:altered", "id": "altered"}
    reweigh(altered, change)
    assert not forms.learn(altered)
    assert code_of(response_json(POINTS, questionnaire="urn:altered"), forms) == "FA108"


def test_a_sites_own_answers_stay_within_the_scale() -> None:
    """Answers of a site's own that are worth more than the item can be are not learnt either."""
    forms = Forms(CATALOG.instruments, CATALOG.questionnaires)
    form = site_form()
    reweigh(form, lambda points: points * 2)
    assert not forms.learn(form)
    assert code_of(site_response(form["url"]), forms) == "FA108"


# ------------------------------------------------ forms met in the field


def test_the_us_core_example() -> None:
    """The facts of US Core's PHQ-9 example: its canonical, its codes, 2 2 2 2 1 1 2 0 0; 12 points, moderate."""
    form = response_json(
        POINTS, subject="Patient/example", authored="2022-11-29T20:50:32.718Z", meta=None, source=None,
        author={"reference": "Practitioner/practitioner-1"},
        questionnaire="http://hl7.org/fhir/us/core/Questionnaire/phq-9-example",
    )  # fmt: skip
    form["item"].append({"linkId": "/44261-6", "answer": [{"valueDecimal": 12}]})
    form["item"].append({"linkId": "/69722-7", "answer": [loinc("LA6573-5")]})
    found = response(form)
    assert total(found) == (12, "moderate")
    assert (found.totals, found.rater, found.performer) == (
        (("total", 12),),
        Rater.CLIENT,
        "Practitioner/practitioner-1",
    )


def test_a_form_as_lhc_forms_writes_it() -> None:
    """LHC-Forms' linkIds, texts, displays, tag without a system and total are read; what is in progress waits."""
    form = response_json(
        POINTS, meta={"profile": ["http://hl7.org/fhir/uv/sdc/StructureDefinition/x|3.0"], "tag": [{"code": "lforms"}]},
        questionnaire="http://loinc.org/q/44249-1", authored="2026-02-03T08:15:42.125Z", name=None, source=None,
    )  # fmt: skip
    for item in form["item"]:
        item["text"] = "?"
        item["answer"][0]["valueCoding"]["display"] = "!"
    form["item"].append({"linkId": "/44261-6", "text": "?", "answer": [{"valueDecimal": 12}]})
    found = response(form)
    assert (total(found), found.totals, found.reference, found.version) == ((12, "moderate"), (("total", 12),), "", "")
    assert read(form | {"id": "l1", "status": "in-progress"}) == Skipped(
        "QuestionnaireResponse/l1", FormStatus.IN_PROGRESS
    )


# --------------------------------------------------------- who and where


@pytest.mark.parametrize(
    ("source", "author", "rater", "performer"),
    [
        ("Patient/p1", "Practitioner/t", Rater.CLIENT, "Patient/p1"),
        ("Practitioner/t", "Patient/p1", Rater.THERAPIST, "Practitioner/t"),
        ("PractitionerRole/t", "", Rater.THERAPIST, "PractitionerRole/t"),
        ("RelatedPerson/m", "", Rater.PROXY, "RelatedPerson/m"),
        ("Patient/mother", "", Rater.PROXY, "Patient/mother"),
        (f"{BASE}/RelatedPerson/m", "", Rater.PROXY, "RelatedPerson/m"),
        ("", "RelatedPerson/m", Rater.PROXY, "RelatedPerson/m"),
        ("", "Practitioner/scribe", Rater.CLIENT, "Practitioner/scribe"),
        ("", "Patient/p1", Rater.CLIENT, "Patient/p1"),
        ("", "", Rater.CLIENT, ""),
        ("Device/kiosk", "", Rater.CLIENT, "Device/kiosk"),
    ],
)
def test_who_answered(source: str, author: str, rater: Rater, performer: str) -> None:
    """The source answered, whoever wrote it down; an author counts for the rater only where it is a proxy."""
    named = {"source": source, "author": author}
    form = response_json(POINTS, **{k: {"reference": v} if v else None for k, v in named.items()})
    found = response(form)
    assert (found.rater, found.performer, found.subject) == (rater, performer, "Patient/p1")


def test_a_therapists_form_is_rated_by_the_therapist() -> None:
    """A form made for therapists is theirs where it names nobody."""
    url = CATALOG.find("alliance-checkin-therapist").url
    assert response(response_json([None] * 9, questionnaire=url, source=None)).rater is Rater.THERAPIST


def test_references_to_the_own_server_are_local() -> None:
    """Absolute references below the server's base, and versioned ones, name the same things as short ones."""
    names = {"source": "Patient/p1", "encounter": "Encounter/e1"}
    short = {key: {"reference": value} for key, value in names.items()}
    long = {key: {"reference": f"{BASE}/{value}/_history/3"} for key, value in names.items()}
    found = response(response_json(POINTS, subject=f"{BASE}/Patient/p1", **long))
    assert found == response(response_json(POINTS, **short))
    assert (found.subject, found.encounter) == ("Patient/p1", "Encounter/e1")


@pytest.mark.parametrize("base", ["", "https://fhir.clinic.example", "https://other.example/r4", BASE + "2"])
def test_references_to_another_server_are_not(base: str) -> None:
    """A client of another server is nobody here; another server's encounter and source are not named."""
    found = read(response_json(POINTS, subject=f"{BASE}/Patient/p1"), base=base)
    assert isinstance(found, Parked)
    assert found.code == "FA206"
    foreign = {key: {"reference": f"{BASE}/{key.title()}/x"} for key in ("encounter", "source")}
    kept = read(response_json(POINTS, **foreign), base=base)
    assert isinstance(kept, Response)
    assert (kept.encounter, kept.performer) == ("", "")


# ----------------------------------------------------- identity and time


def test_a_form_keeps_its_key_over_its_versions() -> None:
    """The key comes from the id alone; version and status say which version it is."""
    before = response(response_json(POINTS))
    after = response(response_json([0] * 9, status="amended", meta={"versionId": "2"}))
    assert before.key == after.key
    assert (before.version, after.version, after.status) == ("1", "2", FormStatus.AMENDED)


def test_a_form_without_an_id_is_known_by_its_identifier_or_its_content() -> None:
    """The same identifier is the same form; without one, only the same content is."""
    named = {"identifier": {"system": "urn:lis", "value": "7"}}
    one, other = (response(response_json(points, name=None, **named)) for points in (POINTS, [0] * 9))
    assert one.key == other.key != response(response_json(POINTS, name=None)).key
    assert response(response_json(POINTS, name=None)).key != response(response_json([0] * 9, name=None)).key
    assert one.reference == ""


@pytest.mark.parametrize(
    ("authored", "moment_in_utc"),
    [
        ("2026-02-03", "2026-02-03T12:00:00"),
        ("2026-02-03T00:30:00+14:00", "2026-02-02T10:30:00"),
        ("2026-02-03T23:30:00-12:00", "2026-02-04T11:30:00"),
        ("2026-02-03T23:59:60Z", "2026-02-03T23:59:59"),
        ("2026-02-03T10:00:00.5+09:30", "2026-02-03T00:30:00.500000"),
        ("2026-03-02T12:00:00+09:30", "2026-03-02T02:30:00"),
    ],
)
def test_forms_are_ordered_by_the_moment_they_name(authored: str, moment_in_utc: str) -> None:
    """Offsets, leap seconds and bare days become one moment; the form keeps what it says."""
    assert moment(authored, NOW) == datetime.fromisoformat(moment_in_utc).replace(tzinfo=UTC)
    assert response(response_json(POINTS, authored=authored)).authored == authored


@pytest.mark.parametrize(("name", "reference"), [("r1", "QuestionnaireResponse/r1"), (None, "")])
def test_a_parked_form_is_named_by_its_id_alone(name: str | None, reference: str) -> None:
    """A form that cannot be read is known by its id; who has read it names one without by its place."""
    found = read(response_json(POINTS, name=name, authored=None))
    assert isinstance(found, Parked)
    assert found.reference == reference


def test_a_form_entered_in_error_is_withdrawn_whatever_it_says() -> None:
    """Withdrawal needs the reference and the client, and reads no answer."""
    form = response_json(POINTS, status="entered-in-error", questionnaire="urn:unknown", authored=None)
    assert read(form) == Withdrawal("QuestionnaireResponse/r1", "Patient/p1", "r1")
