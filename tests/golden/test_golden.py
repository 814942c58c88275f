"""Every kind of resource that we write, held to the letter by a file beside this one.

After a wanted change, rewrite the files and read what git shows of it:

    REWRITE_GOLDEN=1 python -m pytest tests/golden; git diff tests/golden
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_alliance.core import ways_out
from fhir_alliance.core.achievement import propose
from fhir_alliance.core.consent import CUSTODIAN, ConsentPolicy, Datum, gate
from fhir_alliance.core.consent_table import OPEN_TABLE
from fhir_alliance.core.model import Cleared, Finding, Instrument, Level, MissingRule, Response, Review, Score
from fhir_alliance.core.reviews import Found, ReviewPolicy, Setting, plan_goal_reviews
from fhir_alliance.core.rules import evaluate, judged
from fhir_alliance.core.rules.change import change_of
from fhir_alliance.core.rules.page import Moment, Page
from fhir_alliance.core.rules.series import series_of
from fhir_alliance.core.safety_reviews import SafetyPolicy, cancel_withdrawn, plan_escalation, plan_safety_review
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.fhir.difference import Known, difference
from fhir_alliance.fhir.finding import CHANGE, RUPTURE, Grounds, finding_write
from fhir_alliance.fhir.goal import confirmed_update, goal_write, provenance_write, read_pursued, version_of
from fhir_alliance.fhir.inbound import Forms
from fhir_alliance.fhir.observation import Emitter, datum_of, observation_writes, panel_codes, withdrawn
from fhir_alliance.fhir.provenance import Maker, provenance
from fhir_alliance.fhir.review_message import review_message
from fhir_alliance.fhir.review_request import review_request
from fhir_alliance.fhir.safety_task import communication, escalation_task
from fhir_alliance.fhir.score_document import document
from fhir_alliance.fhir.score_form import score_form
from fhir_alliance.fhir.score_sheet import sheet_of
from fhir_alliance.fhir.stored_score import read_score
from fhir_alliance.fhir.task import carried_out, changed_task, new_task, read_review
from fhir_alliance.runs.agenda import load_agenda
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.safety_texts import shipped_texts
from fhir_alliance.testing import make_book, make_charts, response_json

HERE = Path(__file__).parent
NOW = datetime(2026, 2, 2, 18, 0, tzinfo=timezone(timedelta(hours=9, minutes=30)))
LATER = NOW + timedelta(days=3)
ANNA = "Patient/anna"
CATALOG = load_catalog()
FORMS = Forms(CATALOG.instruments, CATALOG.questionnaires)
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
# the PHQ-9 with its total alone: the files hold shapes, not the catalog
PHQ_9 = msgspec.structs.replace(
    CATALOG.find("phq-9"), scales=tuple(s for s in CATALOG.find("phq-9").scales if s.id == "total")
)
CHECKIN = CATALOG.find("alliance-checkin")
# the check-in, but for a bond of which one answer may be missing: no shipped subscale prorates
LENIENT = msgspec.structs.replace(
    CHECKIN,
    scales=tuple(
        msgspec.structs.replace(s, missing=MissingRule(1, "test")) if s.id == "bond" else s for s in CHECKIN.scales
    ),
)
SAFETY = SafetyPolicy(shipped_texts())
SETTING = Setting(ANNA, "EpisodeOfCare/e1", "Encounter/s5", "PractitionerRole/lea", "Goal/sleep", "CarePlan/c1")


def phq(points: Sequence[int | None], **elements: Any) -> dict[str, Any]:
    """Return Anna's PHQ-9 of a session."""
    own = {"name": "form-5", "authored": "2026-02-02T17:10:00+09:30", "encounter": {"reference": "Encounter/s5"}}
    return response_json(points, subject=ANNA, **(own | elements))


def checkin(unanswered: Sequence[str]) -> dict[str, Any]:
    """Return Anna's check-in, in German, with fours and ones but for some items."""
    items = [
        {"linkId": item.link_id, "answer": [{"valueInteger": 1 if item.link_id == "pace" else 4}]}
        for item in CHECKIN.items
        if item.link_id not in unanswered
    ]
    return phq([None] * 9, name="checkin-5", questionnaire=CHECKIN.url, item=items, language="de")


def observations(resource: dict[str, Any], instrument: Instrument = PHQ_9) -> dict[str, bytes]:
    """Return what is written for a form, by scale; also "panel", and the first item as "item"."""
    form = FORMS.read(json.dumps(resource).encode(), NOW)
    assert isinstance(form, Response)
    cleared = gate(form, (), ConsentPolicy(), Datum.of(panel_codes(instrument)), NOW)
    assert isinstance(cleared, Cleared)
    scores = Scorer(instrument).score(cleared)
    grounds = ways_out.Grounds((), OPEN_TABLE, NOW)
    items = ways_out.items_to_record(form, CUSTODIAN, "TREAT", datum_of(instrument, items=True), grounds)
    passed = items if isinstance(items, ways_out.ItemsPass) else None  # alliance answers have none
    emitted = Emitter(instrument, with_items=True).observations(cleared, scores, passed)
    return dict(zip(["panel", *(score.scale for score in scores), "item"], (body for _, body in emitted), strict=False))


def stored(body: bytes, **elements: Any) -> dict[str, Any]:
    """Return a resource as a server gives it back: under its own id, with what servers add."""
    resource = json.loads(body)
    meta = resource["meta"] | {"versionId": "3", "lastUpdated": "2026-02-02T09:00:00Z"}
    return resource | {"id": "4711", "meta": meta, **elements}


def total(points: Sequence[int], day: int) -> Score:
    """Return Anna's PHQ-9 total of a day in January, as read from the record."""
    body = observations(phq(points, name=f"form-{day}", authored=f"2026-01-{day:02}T10:00:00+09:30"))["total"]
    score = read_score(json.loads(body), CATALOG.instruments)
    assert score is not None
    return score


def planned(history: Sequence[Score], reviews: Sequence[Review] = ()) -> Review:
    """Return the goal review that Anna's history calls for."""
    since = {ANNA: history[0].when}
    charts, book = make_charts(history), make_book(*CATALOG.instruments.values())
    findings = evaluate(charts, book, NOW, since)
    looked_for = judged(charts, book, NOW, since)
    spoken = load_agenda().questions
    findings = tuple(msgspec.structs.replace(f, agenda=spoken(f.agenda, "en")) for f in findings)
    [review] = plan_goal_reviews(SETTING, Found(findings, looked_for), reviews, ReviewPolicy(), NOW)
    return review


def goal_tasks() -> dict[str, bytes]:
    """Return a goal review as it is opened, as it goes on after people worked on it, and as it ends without ground."""
    low, high, higher = (total([points] * 9, day) for points, day in ((0, 5), (1, 12), (2, 19)))
    opened = new_task(planned([low, high])).body
    note = [{"text": "I will take it up on Friday."}]
    taken = stored(opened, status="accepted", owner={"reference": "Practitioner/tom"}, note=note)
    known = read_review(taken)
    assert known is not None
    joined = planned([low, high, higher], [known])
    gone = planned([low, msgspec.structs.replace(high, withdrawn=True)], [known])
    return {
        "task-goal-review": opened,
        "task-goal-review-changed": changed_task(taken, joined, LATER).body,
        "task-goal-review-cancelled": changed_task(taken, gone, LATER).body,
    }


def goals_of(opened: bytes) -> dict[str, bytes]:
    """Return a review that proposes, a Goal as it was confirmed in it, its Provenance, and the review after that."""
    goal = {
        "resourceType": "Goal", "id": "sleep", "meta": {"versionId": "2"}, "lifecycleStatus": "active",
        "description": {"text": "I want to sleep through the night again"}, "subject": {"reference": ANNA},
        "expressedBy": {"reference": ANNA}, "startDate": "2026-01-05",
        "target": [
            {
                "measure": {"coding": [{"system": "http://loinc.org", "code": "44261-6"}]},
                "detailQuantity": {"value": 12, "comparator": "<"},
            }
        ],
    }  # fmt: skip
    course = series_of([total([2] * 9, 5), total([1] * 9, 12)], CATALOG.instruments)
    proposal = propose(read_pursued(goal, CATALOG.instruments), course, NOW.date())
    known = read_review(stored(opened))
    assert known is not None
    proposing = changed_task(stored(opened), msgspec.structs.replace(known, proposal=proposal), LATER).body
    decided = [
        {"type": term("decision"), "valueCodeableConcept": term("goal-reached")},
        {"type": term("confirmed-by"), "valueReference": {"reference": ANNA}},
    ]
    period = {"end": "2026-02-04T10:00:00+09:30"}
    done = json.loads(proposing) | {"status": "completed", "output": decided, "executionPeriod": period}
    review = read_review(done)
    assert review is not None
    updated = confirmed_update(goal, review)
    assert updated is not None
    return {
        "task-goal-review-proposing": proposing,
        "task-goal-review-carried-out": json.dumps(carried_out(done, "Goal/sleep", LATER)).encode(),
        "goal-confirmed": goal_write(updated, version_of(goal), review.key).body,
        "provenance-of-a-goal": provenance_write("Goal/sleep", "Task/4711", review, LATER).body,
    }


def repaired_task() -> bytes:
    """Return a goal review that ends quietly, because its rupture was repaired before anybody took it up."""
    when = datetime(2026, 1, 12, tzinfo=UTC)
    names = ("alliance-drop", "Bond is 2, below what was usual."), ("alliance-repair", "Bond is back at 4.")
    broken, whole = (
        Finding(f"{n:064x}", rule, "1.0.0", ANNA, f"{n + 5:064x}", Level.ROUTINE, words, "Cited.", ("How?",), when)
        for n, (rule, words) in enumerate(names, 1)
    )
    [opened] = plan_goal_reviews(SETTING, Found((broken,)), (), ReviewPolicy(), NOW)
    task = stored(new_task(opened).body)
    known = read_review(task)
    assert known is not None
    repair = msgspec.structs.replace(whole, repairs=(broken.key,))
    [quiet] = plan_goal_reviews(SETTING, Found((repair,)), [known], ReviewPolicy(), LATER)
    return changed_task(task, quiet, LATER).body


def findings() -> dict[str, bytes]:
    """Return the findings that have an Observation of their own: a change with its numbers, and a probable rupture."""
    low, high = total([0] * 9, 5), total([2] * 9, 12)
    book = make_book(*CATALOG.instruments.values())
    charts = make_charts([low, high])
    found = {f.rule: f for f in evaluate(charts, book, NOW, {ANNA: low.when})}
    moment = Moment(Page(charts[0], book), next(s for s in Page(charts[0], book).series), 1)
    change = change_of(moment)
    rupture = msgspec.structs.replace(found["reliable-deterioration"], rule="alliance-drop", sentence="Bond is 2.")
    return {
        "observation-reliable-change": finding_write(
            found["reliable-deterioration"], CHANGE, Grounds(PHQ_9, (low, high), change), "g"
        ).body,
        "observation-probable-rupture": finding_write(rupture, RUPTURE, Grounds(CHECKIN, (low, high)), "g").body,
    }


def term(code: str) -> dict[str, Any]:
    """Return a concept of our terms."""
    return {"coding": [{"system": "https://fhir-alliance.org/fhir/CodeSystem/terms", "code": code}]}


def safety_tasks() -> dict[str, bytes]:
    """Return a safety review as it is opened, as a message, as the supervisor's, and as it ends with its form."""
    form = FORMS.read(json.dumps(phq([1, 1, 1, 1, 1, 1, 1, 1, 1])).encode(), NOW)
    assert isinstance(form, Response)
    concern = FORMS.concern_of(form)
    assert concern is not None
    review = plan_safety_review(concern, SETTING, (), SAFETY, NOW)
    assert review is not None
    opened = new_task(review)
    known = read_review(stored(opened.body))
    assert known is not None
    cancelled = cancel_withdrawn(known, SAFETY.staff().cancelled)
    escalated = plan_escalation(known, "Practitioner/sue", SAFETY, LATER)
    return {
        "task-safety-review": opened.body,
        "task-safety-review-cancelled": changed_task(stored(opened.body), cancelled, LATER).body,
        "task-safety-escalation": escalation_task(escalated, stored(opened.body)).body,
        "communication-safety": communication(opened, NOW).body,
    }


def provenance_of(observations: dict[str, bytes]) -> bytes:
    """Return the Provenance of a form's new Observations."""
    form = FORMS.read(json.dumps(phq([2] * 9)).encode(), NOW)
    assert isinstance(form, Response)
    cleared = gate(form, (), ConsentPolicy(), Datum.of(()), NOW)
    assert isinstance(cleared, Cleared)
    bodies = [(json.loads(body)["id"], body) for body in observations.values()]
    changes, _ = difference(observation_writes(bodies, form), Known(()))
    return provenance(changes, cleared, PHQ_9, Maker("1.2.3", "1"), NOW).write.body


def carriers_of(observations: dict[str, bytes]) -> dict[str, bytes]:
    """Return what carries a form's scores on a server that takes no Observation."""
    sheet = sheet_of(map(json.loads, observations.values()))
    assert sheet is not None
    return {"document-scores": document(sheet, "form-5").body, "form-scores": score_form(sheet, "form-5").body}


def resources() -> dict[str, bytes]:
    """Return one resource of every kind."""
    whole = observations(phq([2, 2, 2, 2, 1, 1, 2, 0, 0], language="en"))
    declined = phq([2, 2, 2, 2, 1, 1, None, 0, 0])
    declined["item"].append({"linkId": "/44252-5", "extension": [{"url": ABSENT, "valueCode": "asked-declined"}]})
    no_id = observations(phq([0] * 9, name=None, authored="2026-02-02", encounter=None, source=None, meta=None))
    return {
        "observation-panel": whole["panel"],
        "observation-total": whole["total"],
        "observation-item": whole["item"],
        "observation-total-from-a-form-that-says-little": no_id["total"],
        "observation-unscorable": observations(phq([2, 2, 2, 2, 1, 1, 2, None, None]))["total"],
        "observation-declined": observations(declined)["total"],
        "observation-amended": observations(phq([3] * 9, status="amended", meta={"versionId": "2"}))["total"],
        "observation-withdrawn": withdrawn(stored(whole["total"]), "form-5").body,
        "observation-alliance-prorated": observations(checkin(["trust", "hope"]), CHECKIN)["total"],
        "observation-subscale": observations(checkin([]), CHECKIN)["bond"],
        "observation-subscale-prorated": observations(checkin(["trust"]), LENIENT)["bond"],
        "provenance": provenance_of(whole),
        **carriers_of(whole),
        **(tasks := goal_tasks()),
        "communication-goal-review": review_message(stored(tasks["task-goal-review"]), "form-5").body,
        "servicerequest-goal-review": review_request(stored(tasks["task-goal-review"]), "form-5").body,
        **goals_of(tasks["task-goal-review"]),
        "task-goal-review-repaired": repaired_task(),
        **findings(),
        **safety_tasks(),
    }


WRITTEN = resources()


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_what_stands_in_the_file(name: str) -> None:
    """A resource that we write is, element for element, the one in its golden file."""
    text = json.dumps(json.loads(WRITTEN[name]), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    path = HERE / f"{name}.json"
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
        pytest.skip("rewritten: read the difference, then run again")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_fhir(name: str) -> None:
    """An independent FHIR library reads it, and knows every element."""
    resource = json.loads(WRITTEN[name])
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_every_file_is_held() -> None:
    """No golden file is left over from what we no longer write."""
    assert {path.stem for path in HERE.glob("*.json")} == set(WRITTEN)
