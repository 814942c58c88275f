"""Observations: what a score says in FHIR, what stays private, and that it reads back as the same score."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.observation import Observation
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.consent import CUSTODIAN, ConsentPolicy, ConsentRecord, Datum, Provision, gate
from fhir_alliance.core.consent_table import OPEN_TABLE
from fhir_alliance.core.model import (
    Band,
    Cleared,
    Family,
    FormStatus,
    Formula,
    GoalItems,
    GoalRating,
    Instrument,
    Missing,
    NoValue,
    Rater,
    Response,
    Score,
    WriteMode,
)
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.core.ways_out import Grounds, ItemsPass, items_to_record
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.observation import (
    Emitter,
    datum_of,
    observation_writes,
    panel_codes,
    rests_on,
    withdrawn,
)
from fhir_alliance.fhir.stored_score import read_score
from fhir_alliance.runs.catalog import load_cases, load_catalog, shipped
from fhir_alliance.testing import START, make_form, make_instrument

CATALOG = load_catalog()
BANDS = (Band("toy-low", "low", 0, 5, "test"), Band("toy-high", "high", 6, 12, "test"))
TOY = make_instrument(bands=BANDS)
KNOWN = {"toy": TOY}
WHOLE = {"q1": 3, "q2": 2, "q3": 1, "q4": 0}
GAP = {"q1": 3, "q2": 2}
CASES = [
    pytest.param(instrument, case.answers, id=f"{instrument.id}: {case.name}")
    for instrument in CATALOG.instruments.values()
    for case in load_cases(shipped("questionnaires") / instrument.id, instrument)
]


def form_of(answers: Mapping[str, Any], instrument: Instrument = TOY, **fields: Any) -> Response:
    """Return a form of an instrument."""
    made = msgspec.structs.replace(make_form(answers), instrument=instrument.id, rater=instrument.rater)
    return msgspec.structs.replace(made, **fields)


def items_pass(form: Response, instrument: Instrument, *consents: ConsentRecord) -> ItemsPass | None:
    """Return what lets a form's answers out one by one, where consent does."""
    grounds = Grounds(consents, OPEN_TABLE, START)
    found = items_to_record(form, CUSTODIAN, "TREAT", datum_of(instrument, items=True), grounds)
    return found if isinstance(found, ItemsPass) else None


def emitted(
    form: Response, instrument: Instrument = TOY, *, with_items: bool = False
) -> tuple[tuple[Score, ...], list[dict[str, Any]]]:
    """Return a form's scores and what is written for it, the panel first."""
    cleared = gate(form, (), ConsentPolicy(), Datum.of(panel_codes(instrument)), START)
    assert isinstance(cleared, Cleared)
    scores = Scorer(instrument).score(cleared)
    bodies = Emitter(instrument, with_items=with_items).observations(cleared, scores, items_pass(form, instrument))
    written = [json.loads(body) for _, body in bodies]
    assert [key for key, _ in bodies] == [resource["id"] for resource in written]
    return scores, written


def total(answers: Mapping[str, Any], instrument: Instrument = TOY, **fields: Any) -> dict[str, Any]:
    """Return the Observation of the first scale."""
    return emitted(form_of(answers, instrument, **fields), instrument)[1][1]


def codes(resource: Mapping[str, Any], element: str) -> list[str]:
    """Return the codes of a CodeableConcept, or of several."""
    found = resource.get(element) or []
    return [c["code"] for concept in (found if isinstance(found, list) else [found]) for c in concept["coding"]]


def check_rules(written: Sequence[Mapping[str, Any]]) -> None:
    """Check what US Core and FHIR ask of every Observation beyond its elements."""
    for resource in written:
        has_value = any(key.startswith("value") for key in resource)
        assert has_value + ("dataAbsentReason" in resource) + ("hasMember" in resource) == 1
        quantity = resource.get("valueQuantity")
        assert quantity is None or (quantity["system"], quantity["code"]) == (ids.UCUM, "{score}")
        assert codes(resource, "category")[0] == "survey"
        assert resource["identifier"] == [{"system": ids.SCORE, "value": resource["id"]}]
        assert re.fullmatch("[0-9a-f]{64}", resource["id"])
        assert {"R", "PSY"} <= {label["code"] for label in resource["meta"]["security"]}
        assert len(resource["effectiveDateTime"]) >= 10
        assert "issued" not in resource or len(resource["issued"]) > 10
        Observation.model_validate(resource)


# ------------------------------------------------------------------- round trip


@pytest.mark.parametrize(("instrument", "answers"), CASES)
def test_a_score_reads_back_as_itself(instrument: Instrument, answers: dict[str, Any]) -> None:
    """What is written for every worked case is valid, and reads back as the score it was written from."""
    scores, written = emitted(form_of(answers, instrument), instrument, with_items=True)
    check_rules(written)
    read = [read_again(resource, CATALOG.instruments) for resource in written]
    for score, again in zip(scores, read[1:], strict=False):
        assert again is not None
        assert without_note(again) == without_note(score)
    assert read[0] is None
    assert read[len(scores) + 1 :] == [None] * (len(written) - len(scores) - 1)


def read_again(resource: dict[str, Any], instruments: Mapping[str, Instrument]) -> Score | None:
    """Return what a stored Observation is read as, but for the id in the store, which a new score has not."""
    score = read_score(resource, instruments)
    if score is None:
        return None
    assert score.stored == resource["id"]
    return msgspec.structs.replace(score, stored="")


def without_note(score: Score) -> Score:
    """Return a score whose reason for no value has no words: they are written as a sentence of their own."""
    if not isinstance(score.value, NoValue):
        return score
    return msgspec.structs.replace(score, value=NoValue(score.value.code, ""))


def test_the_reason_for_no_score_reads_back() -> None:
    """Why there is no value reads back in the same words."""
    scores, written = emitted(form_of(GAP))
    assert read_again(written[1], KNOWN) == scores[0]


@given(
    answers=st.dictionaries(
        st.sampled_from(["q1", "q2", "q3", "q4"]), st.integers(0, 3) | st.sampled_from(list(Missing))
    ),
    max_missing=st.integers(0, 3),
    formula=st.sampled_from([Formula.SUM, Formula.MEAN]),
    mirrored=st.booleans(),
    status=st.sampled_from([FormStatus.COMPLETED, FormStatus.AMENDED]),
    rater=st.sampled_from(list(Rater)),
    authored=st.sampled_from(["2026-02-03", "2026-02-03T10:00:00+09:30", "2026-02-03T23:59:60.25Z"]),
    language=st.sampled_from(["", "de", "pt-BR"]),
)
def test_any_score_reads_back(
    answers: dict[str, Any], max_missing: int, formula: Formula, mirrored: bool, **fields: Any
) -> None:
    """Sums and means, prorated, mirrored or missing, of any rater, language and precision of time, read back."""
    toy = make_instrument(
        max_missing=max_missing, formula=formula, reversed_items=["q2"] if mirrored else [], bands=BANDS
    )
    when = {10: "2026-02-03T12:00:00Z", 25: "2026-02-03T00:30:00Z", 23: "2026-02-03T23:59:59.25Z"}
    moment = datetime.fromisoformat(when[len(fields["authored"])])
    scores, written = emitted(form_of(answers, toy, when=moment, **fields), toy, with_items=True)
    check_rules(written)
    again = read_again(written[1], {"toy": toy})
    assert again is not None
    assert without_note(again) == without_note(scores[0])


GOALS = msgspec.structs.replace(
    make_instrument(items=1, low=-2, high=2, formula=Formula.PER_GOAL), goals=GoalItems("goals", "goal", "q1")
)


@pytest.mark.parametrize("goal", ["Goal/sleep", "#1"])
def test_a_score_on_a_goal_reads_back(goal: str) -> None:
    """A rating of one of the client's goals keeps which goal it is about, so that goals make series of their own."""
    goals = (GoalRating(goal, -1), GoalRating("Goal/work", 2))
    scores, written = emitted(form_of({}, GOALS, goals=goals), GOALS)
    check_rules(written)
    assert [read_again(resource, {"toy": GOALS}) for resource in written[1:]] == list(scores)
    assert len({resource["id"] for resource in written}) == 3


def test_a_withdrawn_score_reads_back_as_withdrawn() -> None:
    """A withdrawn Observation keeps all it said, and only its status changes."""
    scores, written = emitted(form_of(WHOLE))
    stored = written[1] | {"id": "4711"}
    write = withdrawn(stored, "r1")
    assert (write.mode, write.value, write.group) == (WriteMode.WITHDRAW, scores[0].key, "r1")
    assert json.loads(write.body) == stored | {"status": "entered-in-error"}
    assert read_again(json.loads(write.body), KNOWN) == msgspec.structs.replace(scores[0], withdrawn=True)


@pytest.mark.parametrize(
    "change",
    [
        {"identifier": [{"system": "urn:other", "value": "x"}]},
        {"identifier": []},
        {"code": {"coding": [{"system": ids.LOINC, "code": "44261-6"}]}},
        {"code": {"coding": [{"system": ids.SCORES, "code": "toy-other"}]}},
        {"code": {"text": "toy-total"}},
    ],
)
def test_what_others_wrote_is_no_score_of_ours(change: dict[str, Any]) -> None:
    """Without our identifier, or without our code for a scale, an Observation is not taken for a score."""
    assert read_score(total(WHOLE) | change, KNOWN) is None


@pytest.mark.parametrize(
    "change",
    [
        {"method": {"coding": "words"}},
        {"code": {"coding": ["words"]}},
        {"valueQuantity": {"value": "words"}},
        {"component": [{"code": {"coding": ["words"]}}]},
    ],
)
def test_an_observation_of_ours_that_lost_its_shape(change: dict[str, Any]) -> None:
    """What somebody has misshapen deep inside is no score any more; it ends no run."""
    assert read_score(total(WHOLE) | change, KNOWN) is None


def test_a_score_that_a_server_has_cut_is_still_read() -> None:
    """Where a server dropped all but code, identifier and value, the score says what is left."""
    kept = {key: total(WHOLE)[key] for key in ("identifier", "code", "valueQuantity")}
    score = read_score(kept, KNOWN)
    assert score is not None
    assert (score.value, score.subject, score.rater, score.band) == (6, "", Rater.CLIENT, None)
    assert score.when == datetime.min.replace(tzinfo=UTC)


def test_a_subject_on_the_own_server_is_local() -> None:
    """A server that writes absolute references gives back the same client."""
    stored = total(WHOLE) | {"subject": {"reference": "https://x.example/r4/Patient/p1"}}
    score = read_score(stored, KNOWN, "https://x.example/r4")
    assert score is not None
    assert score.subject == "Patient/p1"


# ------------------------------------------------------------------ what is said


def test_the_panel_has_no_value_and_names_its_members_in_order() -> None:
    """The panel holds every other Observation of the form: scores first, then items; and no value of its own."""
    _, (panel, *members) = emitted(form_of(WHOLE), with_items=True)
    assert [m["reference"] for m in panel["hasMember"]] == [f"Observation/{m['id']}" for m in members]
    assert not any(key.startswith("value") for key in panel)
    assert "method" not in panel
    assert codes(panel, "code")[-1] == "toy-panel"


def test_items_are_written_as_they_were_answered() -> None:
    """An item Observation carries the answer's code, never its points; what was not answered has none."""
    _, written = emitted(form_of({"q1": 3, "q2": Missing.DECLINED}), with_items=True)
    items = written[2:]
    assert [codes(item, "valueCodeableConcept") for item in items] == [["a3"]]
    assert codes(items[0], "code") == ["toy-item-q1"]


def test_items_are_written_only_where_a_site_wants_them() -> None:
    """Without the site's choice, single answers stay in the form."""
    assert len(emitted(form_of(WHOLE))[1]) == 2


def test_an_item_without_answer_codes_says_its_number() -> None:
    """A number that an item has no code for is written with every digit it was given."""
    bare = tuple(msgspec.structs.replace(item, options=(), whole=False) for item in TOY.items)
    toy = msgspec.structs.replace(TOY, items=bare)
    cleared = gate(form_of({"q1": Decimal("1.50")}, toy), (), ConsentPolicy(), Datum.of(()), START)
    assert isinstance(cleared, Cleared)
    items = items_pass(cleared.form, toy)
    *_, (_, body) = Emitter(toy, with_items=True).observations(cleared, Scorer(toy).score(cleared), items)
    assert b'"valueQuantity":{"value":1.50,' in body


@pytest.mark.parametrize("with_items", [False, True])
def test_alliance_answers_are_not_written(with_items: bool) -> None:
    """Of a form about the relationship only scores go out by default, and never as a health status."""
    toy = make_instrument(family=Family.ALLIANCE)
    _, written = emitted(form_of(WHOLE, toy), toy, with_items=with_items)
    assert len(written) == 2
    for resource in written:
        assert codes(resource, "category") == ["survey", "therapeutic-alliance", "client-rated"]


def test_alliance_answers_are_written_where_the_client_names_them() -> None:
    """A Consent that names alliance answers lets them out one by one, each labelled as what it is."""
    toy = make_instrument(family=Family.ALLIANCE)
    form = form_of(WHOLE, toy)
    cleared = gate(form, (), ConsentPolicy(), Datum.of(()), START)
    assert isinstance(cleared, Cleared)
    root = Provision("permit", labels=frozenset({"alliance-item"}))
    consent = ConsentRecord("Consent/c", form.subject, "active", "patient-privacy", None, "", root)
    items = items_pass(form, toy, consent)
    assert items is not None
    _, _, *answers = Emitter(toy, with_items=True).observations(cleared, Scorer(toy).score(cleared), items)
    assert len(answers) == len(toy.items)
    for _, body in answers:
        labels = [label["code"] for label in json.loads(body)["meta"]["security"]]
        assert labels == ["R", "PSY", "alliance-item"]


@pytest.mark.parametrize("with_items", [False, True])
def test_no_answers_go_out_without_a_pass(with_items: bool) -> None:
    """Whatever the site wants, single answers are written only with what consent gave for them."""
    cleared = gate(form_of(WHOLE), (), ConsentPolicy(), Datum.of(()), START)
    assert isinstance(cleared, Cleared)
    assert len(Emitter(TOY, with_items=with_items).observations(cleared, Scorer(TOY).score(cleared))) == 2


def test_outcome_scores_are_a_cognitive_status() -> None:
    """An outcome score stands in US Core's category, and says who rated it."""
    assert codes(total(WHOLE), "category") == ["survey", "cognitive-status", "client-rated"]
    assert codes(total(WHOLE, rater=Rater.PROXY), "category")[-1] == "proxy-rated"


@pytest.mark.parametrize(
    ("answers", "reason", "note"),
    [
        (GAP, "not-performed", "2 of 4 answered; rule needs 4."),
        ({}, "not-performed", "0 of 4 answered; rule needs 4."),
        (GAP | {"q3": Missing.DECLINED}, "asked-declined", "2 of 4 answered; rule needs 4; 1 declined."),
        (GAP | {"q3": Missing.MASKED}, "masked", "2 of 4 answered; rule needs 4."),
    ],
)
def test_what_cannot_be_scored_says_why(answers: dict[str, Any], reason: str, note: str) -> None:
    """Without a score there is a reason, a sentence and the items answered, and neither value nor band."""
    resource = total(answers)
    assert codes(resource, "dataAbsentReason") == [reason]
    assert [n["text"] for n in resource["note"]] == [note]
    assert resource["component"][0]["valueInteger"] == sum(isinstance(a, int) for a in answers.values())
    assert "interpretation" not in resource


def test_a_prorated_score_says_so() -> None:
    """A score that was filled up has another method, and the number of items it rests on."""
    toy = make_instrument(max_missing=2)
    full, filled = total(WHOLE, toy), total(GAP, toy)
    assert codes(full, "method") == ["toy-total-sum-complete"]
    assert codes(filled, "method") == ["toy-total-sum-prorated"]
    assert [c["valueInteger"] for c in full["component"] + filled["component"] if "valueInteger" in c] == [2]
    assert filled["valueQuantity"]["value"] == 10


def test_a_band_is_named_with_its_score() -> None:
    """The band of a score stands beside it, by code and in words."""
    for answers, code, words in ((WHOLE, "toy-high", "high"), ({**WHOLE, "q1": 0}, "toy-low", "low")):
        (interpretation,) = total(answers)["interpretation"]
        assert (interpretation["coding"][0]["code"], interpretation["text"]) == (code, words)


def test_a_shut_gate_keeps_the_lowest_band() -> None:
    """Where a count's gate is shut, the band written is the score's own: the lowest."""
    bands = (Band("few", "few", 0, 1, "test"), Band("many", "many", 2, 4, "test"))
    counts = {f"q{n}": 2 for n in range(1, 5)}
    scale = msgspec.structs.replace(
        TOY.scales[0], formula=Formula.COUNT, counts=counts, gate=("q1",), low=0, high=4, bands=bands
    )
    toy = msgspec.structs.replace(TOY, scales=(scale,))
    scores, written = emitted(form_of({"q1": 0, "q2": 3, "q3": 3, "q4": 3}, toy), toy)
    assert scores[0].band == bands[0]
    assert codes(written[1], "interpretation") == ["few"]


@pytest.mark.parametrize("answers", [WHOLE, {**WHOLE, "q1": 0}, {**WHOLE, "q4": 3}])
def test_a_remark_changes_nothing_else(answers: dict[str, Any]) -> None:
    """A remark on how the form was read is added as a note; the rest is as without it."""
    plain, remarked = total(answers), total(answers, remarks=("Read with care.",))
    assert remarked.pop("note") == [{"text": "Read with care."}]
    assert remarked == plain


@pytest.mark.parametrize(
    ("totals", "notes"),
    [
        ((("total", 6),), []),
        ((("total", Decimal("6.0")),), []),
        ((("other", 9),), []),
        ((("total", 9),), ["The form itself carries 9; its answers give 6."]),
    ],
)
def test_a_total_of_the_form_that_is_wrong_is_said(totals: Any, notes: list[str]) -> None:
    """A total that the form's own answers do not give is remarked on, and not written as the value."""
    resource = total(WHOLE, totals=totals)
    assert [note["text"] for note in resource.get("note", ())] == notes
    assert resource["valueQuantity"]["value"] == 6


def test_a_total_of_a_form_without_a_score_is_compared_with_nothing() -> None:
    """Where we give no score, the form's own total is not spoken of."""
    assert [n["text"] for n in total(GAP, totals=(("total", 9),))["note"]] == ["2 of 4 answered; rule needs 4."]


# ------------------------------------------------------------- whose, when and why


def test_what_the_form_does_not_say_is_not_said() -> None:
    """No session, no performer, no language, no time of day: none of these elements is there."""
    resource = total(WHOLE, performer="", encounter="", language="", authored="2026-02-03")
    assert not {"encounter", "performer", "issued", "component"} & set(resource)
    assert resource["effectiveDateTime"] == "2026-02-03"


def test_time_and_people_come_from_the_form() -> None:
    """Effective and issued are when the form was authored, word for word; performer is who answered."""
    authored = "2026-02-03T10:00:00.250+09:30"
    resource = total(WHOLE, authored=authored, encounter="Encounter/e1", performer="RelatedPerson/m")
    assert (resource["effectiveDateTime"], resource["issued"]) == (authored, authored)
    assert resource["encounter"] == {"reference": "Encounter/e1"}
    assert resource["performer"] == [{"reference": "RelatedPerson/m"}]


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({}, {"reference": "QuestionnaireResponse/r1/_history/1"}),
        ({"version": ""}, {"reference": "QuestionnaireResponse/r1"}),
        (
            {"reference": "", "version": ""},
            {"type": "QuestionnaireResponse", "identifier": {"system": ids.RESPONSE, "value": "r1"}},
        ),
    ],
)
def test_every_observation_names_the_form_it_rests_on(fields: dict[str, Any], source: dict[str, Any]) -> None:
    """All Observations of a form are derived from its version, or from what can be said of it."""
    _, written = emitted(form_of(WHOLE, **fields), with_items=True)
    assert [resource["derivedFrom"] for resource in written] == [[source]] * len(written)


def test_an_amended_form_keeps_its_keys() -> None:
    """An amended form writes the same Observations again, as amended; another rater writes others."""
    before = emitted(form_of(WHOLE), with_items=True)[1]
    after = emitted(form_of(WHOLE, status=FormStatus.AMENDED, version="2"), with_items=True)[1]
    other = emitted(form_of(WHOLE, rater=Rater.PROXY), with_items=True)[1]
    assert [r["id"] for r in before] == [r["id"] for r in after]
    assert {r["status"] for r in before} == {"final"}
    assert {r["status"] for r in after} == {"amended"}
    assert not {r["id"] for r in before} & {r["id"] for r in other}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("QuestionnaireResponse/r1", True),
        ("QuestionnaireResponse/r1/_history/7", True),
        ("QuestionnaireResponse/r10", False),
        ("QuestionnaireResponse/r", False),
        ("Observation/r1", False),
    ],
)
def test_what_rests_on_a_form_is_found_in_any_version(reference: str, expected: bool) -> None:
    """An Observation rests on a form whichever version of it is named, and on no other form."""
    assert rests_on({"derivedFrom": [{"reference": reference}]}, "QuestionnaireResponse/r1") is expected
    assert not rests_on({}, "QuestionnaireResponse/r1")


def test_forms_without_an_id_are_not_one_form() -> None:
    """An Observation of one form without an id does not rest on another."""
    assert not rests_on(total(WHOLE, reference=""), "")


def test_writes_keep_a_forms_observations_current() -> None:
    """Every Observation of a form is one write, kept current, in the form's group, under its key."""
    form = form_of(WHOLE)
    cleared = gate(form, (), ConsentPolicy(), Datum.of(()), START)
    assert isinstance(cleared, Cleared)
    bodies = Emitter(TOY).observations(cleared, Scorer(TOY).score(cleared))
    writes = observation_writes(bodies, form)
    assert [(w.value, w.body) for w in writes] == bodies
    assert {(w.type, w.system, w.mode, w.group) for w in writes} == {
        ("Observation", ids.SCORE, WriteMode.KEEP_CURRENT, "r1")
    }
