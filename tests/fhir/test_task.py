"""Tasks: what a review asks for in FHIR, that it reads back as itself, and that people's work on it is kept."""

from __future__ import annotations

import copy
import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.task import Task
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.model import (
    Decision,
    Ending,
    Evidence,
    Level,
    Review,
    ReviewKind,
    ReviewStatus,
    TaskStatus,
    WriteMode,
)
from fhir_alliance.fhir import identifiers as ids
from fhir_alliance.fhir.task import changed_task, new_task, read_review, review_identifier
from fhir_alliance.runs.rule_cards import shipped_cards

ZONE = timezone(timedelta(hours=9, minutes=30))
OPENED = datetime(2026, 2, 2, 8, 0, tzinfo=ZONE)
LATER = datetime(2026, 2, 5, 1, 30, tzinfo=ZONE)
KEYS = [f"{n:064x}" for n in range(8)]
WORSE = Evidence(KEYS[1], "caseness-crossing", "PHQ-9 total is 12.", KEYS[2], "Manual: caseness 10, p. 4.")
DROP = Evidence(KEYS[3], "alliance-drop", "Bond is 2.1, below 3.", KEYS[4], "PMC3320522.")
REVIEW = Review(
    KEYS[0], ReviewKind.GOAL, ReviewStatus.OPEN, "Patient/anna", "EpisodeOfCare/e1", Level.ROUTINE, (WORSE,),
    ("What has become harder?", "What helps?"), OPENED, OPENED + timedelta(days=14), "PractitionerRole/lea",
    "Goal/sleep", "CarePlan/c1", "Encounter/s5",
)  # fmt: skip
SAFETY = msgspec.structs.replace(
    REVIEW,
    kind=ReviewKind.SAFETY,
    level=Level.URGENT,
    focus="QuestionnaireResponse/r1",
    evidence=(Evidence(KEYS[0], "safety-answer", "PHQ-9: please look.", ""),),
    agenda=(),
)
NOT_READ = {"care_plan": "", "encounter": "", "note": ""}  # stand in the Task, and are not asked for again


def task(review: Review) -> dict[str, Any]:
    """Return the Task that is created for a review."""
    made: dict[str, Any] = json.loads(new_task(review).body)
    Task.model_validate(made)
    return made


def stored(review: Review = REVIEW, **elements: Any) -> dict[str, Any]:
    """Return a Task as a server gives it back after people worked on it."""
    made = copy.deepcopy(task(review))
    made["meta"] |= {"versionId": "4", "lastUpdated": "2026-02-03T00:00:00Z"}
    return made | {"id": "4711", **elements}


def changed(before: dict[str, Any], review: Review) -> dict[str, Any]:
    """Return a stored Task after a change of ours."""
    made: dict[str, Any] = json.loads(changed_task(before, review, LATER).body)
    Task.model_validate(made)
    return made


def known(resource: dict[str, Any]) -> Review:
    """Return the review in a Task of ours."""
    review = read_review(resource)
    assert review is not None
    return review


def of_kind(resource: dict[str, Any], code: str) -> list[dict[str, Any]]:
    """Return the inputs of a kind."""
    return [entry for entry in resource["input"] if entry["type"]["coding"][0]["code"] == code]


# ------------------------------------------------------------------- round trip


@pytest.mark.parametrize(
    "review",
    [
        pytest.param(REVIEW, id="goal"),
        pytest.param(msgspec.structs.replace(REVIEW, evidence=(WORSE, DROP)), id="two reasons"),
        pytest.param(msgspec.structs.replace(REVIEW, level=Level.URGENT), id="urgent"),
        pytest.param(msgspec.structs.replace(REVIEW, owner="", focus="", episode=""), id="bare"),
        pytest.param(
            msgspec.structs.replace(
                REVIEW, evidence=tuple(Evidence(KEYS[5], r.id, "x", "", r.citation) for r in shipped_cards().values())
            ),
            id="every rule's citation",
        ),
    ],
)
def test_a_review_reads_back_as_itself(review: Review) -> None:
    """A new Task reads back as the review it was made for, as far as a later run asks for it."""
    assert known(task(review)) == msgspec.structs.replace(review, **NOT_READ, stored=review.key)


def test_a_safety_review_reads_back_without_its_rule() -> None:
    """A safety review reads back as itself; its rule cites nothing, and so is not written."""
    evidence = (msgspec.structs.replace(SAFETY.evidence[0], rule=""),)
    again = msgspec.structs.replace(SAFETY, **NOT_READ, stored=SAFETY.key, evidence=evidence)
    assert known(task(SAFETY)) == again


@given(
    sentence=st.text(st.characters(codec="utf-8", exclude_characters="[]", min_codepoint=32), min_size=1, max_size=20),
    citation=st.text(st.characters(codec="utf-8", exclude_characters="[]", min_codepoint=32), min_size=1, max_size=20),
)
def test_any_reason_reads_back(sentence: str, citation: str) -> None:
    """Sentences and citations of any letters and signs but brackets read back as they were."""
    evidence = (Evidence(KEYS[1], "some-rule", sentence, KEYS[2], citation),)
    assert known(json.loads(new_task(msgspec.structs.replace(REVIEW, evidence=evidence)).body)).evidence == evidence


@pytest.mark.parametrize(
    ("sentence", "citation"), [("Distress [0-10] is 7.", "Manual."), ("Distress is 7.", "Manual [2nd ed.]")]
)
def test_a_reason_with_brackets_reads_back(sentence: str, citation: str) -> None:
    """A bracket in a scale's title, or at the end of a citation, does not cut a reason short."""
    evidence = (Evidence(KEYS[1], "some-rule", sentence, KEYS[2], citation),)
    assert known(task(msgspec.structs.replace(REVIEW, evidence=evidence))).evidence == evidence


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, ReviewStatus.OPEN) for status in ("draft", "requested", "received", "accepted", "ready")),
        *((status, ReviewStatus.OPEN) for status in ("in-progress", "on-hold")),
        *((status, ReviewStatus.CLOSED) for status in ("completed", "rejected", "failed")),
        *((status, ReviewStatus.CANCELLED) for status in ("cancelled", "entered-in-error")),
    ],
)
def test_every_status_of_a_task_is_understood(status: str, expected: ReviewStatus) -> None:
    """Each of FHIR's statuses is open, closed or cancelled; only what a person did or rejected brings quiet."""
    review = known(stored(status=status))
    assert (review.status, review.stage) == (expected, TaskStatus(status))
    assert (review.closed_on is not None) == (status in ("completed", "rejected"))


def test_a_status_that_fhir_does_not_know_is_not_lost() -> None:
    """A Task whose status cannot be understood counts as asked for: it stays open."""
    assert known(stored(status="in progress")).status is ReviewStatus.OPEN


@pytest.mark.parametrize(
    ("elements", "day"),
    [
        ({"executionPeriod": {"end": "2026-02-01T23:00:00-05:00"}}, date(2026, 2, 1)),
        ({}, date(2026, 2, 3)),
        ({"meta": {}, "lastModified": "2026-02-04"}, date(2026, 2, 4)),
        ({"meta": {}, "lastModified": None}, None),
    ],
)
def test_the_day_of_closing(elements: dict[str, Any], day: date | None) -> None:
    """A review was closed when its execution ended, else when the Task was last changed."""
    assert known(stored(status="completed", **elements)).closed_on == day


@pytest.mark.parametrize("priority", ["urgent", "asap", "stat"])
def test_whatever_is_not_routine_is_urgent(priority: str) -> None:
    """A priority that people raised, to whatever height, is not routine; a missing one is."""
    assert known(stored(priority=priority)).level is Level.URGENT
    assert known({k: v for k, v in stored().items() if k != "priority"}).level is Level.ROUTINE


@pytest.mark.parametrize(
    "change",
    [
        {"identifier": [{"system": "urn:other", "value": "x"}]},
        {"identifier": []},
        {"code": {"coding": [{"system": ids.TERMS, "code": "other"}]}},
        {"code": {"text": "goal-review"}},
    ],
)
def test_what_others_ask_for_is_no_review_of_ours(change: dict[str, Any]) -> None:
    """Without our identifier, or without one of our codes, a Task is left alone."""
    assert read_review(stored() | change) is None


@pytest.mark.parametrize(
    "change",
    [
        {"input": [{"type": "words"}]},
        {"output": [{"type": {"coding": "words"}}]},
        {"code": {"coding": ["words"]}},
        {"restriction": {"period": "words"}},
    ],
)
def test_a_task_of_ours_that_lost_its_shape(change: dict[str, Any]) -> None:
    """What somebody has misshapen deep inside is no review any more; it ends no run."""
    assert read_review(stored() | change) is None


def test_references_of_the_own_server_are_local() -> None:
    """A server that writes absolute references gives back the same client, owner and goal."""
    base = "https://x.example/r4"
    names = {"for": "Patient/anna", "owner": "PractitionerRole/lea", "focus": "Goal/sleep"}
    review = read_review(stored(**{k: {"reference": f"{base}/{v}"} for k, v in names.items()}), base)
    assert review is not None
    assert (review.subject, review.owner, review.focus) == tuple(names.values())


# ------------------------------------------------------------------- a new Task


def test_a_new_task_says_who_why_and_until_when() -> None:
    """Client, owner, goal, plan, session, episode, due time and first score stand where FHIR has a place for them."""
    made = task(msgspec.structs.replace(REVIEW, evidence=(WORSE, DROP)))
    assert (made["status"], made["intent"], made["priority"]) == ("requested", "order", "routine")
    names = {"for": "Patient/anna", "owner": "PractitionerRole/lea", "focus": "Goal/sleep", "encounter": "Encounter/s5"}
    assert {k: made[k]["reference"] for k in names} == names
    assert made["basedOn"] == [{"reference": "CarePlan/c1"}]
    assert made["groupIdentifier"] == {"system": ids.EPISODE, "value": "EpisodeOfCare/e1"}
    assert made["reasonReference"] == {"reference": f"Observation/{KEYS[2]}"}
    assert made["authoredOn"] == made["lastModified"] == "2026-02-01T22:30:00Z"
    assert made["restriction"] == {"period": {"end": "2026-02-15T22:30:00Z"}}
    assert made["description"].endswith("PHQ-9 total is 12. Bond is 2.1, below 3.")


def test_what_is_not_known_is_not_said() -> None:
    """Without owner, goal, plan, session, episode and score, none of these elements is there."""
    gone = ("owner", "focus", "care_plan", "encounter", "episode")
    evidence = (msgspec.structs.replace(WORSE, score_key=""),)
    made = task(msgspec.structs.replace(REVIEW, **dict.fromkeys(gone, ""), evidence=evidence))
    assert not {"owner", "focus", "basedOn", "encounter", "groupIdentifier", "reasonReference"} & set(made)
    assert "reference" not in of_kind(made, "evidence")[0]["valueReference"]


def test_a_safety_task_is_urgent_and_repeats_no_answer() -> None:
    """A safety review is never routine, points to its form, and speaks of no score."""
    made = task(SAFETY)
    assert made["priority"] == "urgent"
    assert made["focus"] == {"reference": "QuestionnaireResponse/r1"}
    assert made["code"]["coding"][0]["code"] == "safety-review"
    assert "Observation" not in json.dumps(made)


def test_a_new_task_is_written_once() -> None:
    """A Task is created once under its key, in its group: what people do with it afterwards is theirs."""
    write = new_task(REVIEW, "r1")
    assert (write.type, write.system, write.value) == ("Task", ids.REVIEW, KEYS[0])
    assert (write.mode, write.group) == (WriteMode.CREATE_ONCE, "r1")
    assert review_identifier(json.loads(write.body)) == KEYS[0]


# --------------------------------------------------------------- a changed Task

PEOPLES = {
    "status": "in-progress", "owner": {"reference": "Practitioner/tom"}, "note": [{"text": "On Friday."}],
    "priority": "asap", "restriction": {"period": {"end": "2026-03-01T00:00:00Z"}}, "partOf": [{"reference": "Task/9"}],
    "executionPeriod": {"start": "2026-02-04"}, "businessStatus": {"text": "called"},
    "output": [{"type": {"text": "decision"}, "valueString": "later"}],
}  # fmt: skip


def test_what_people_wrote_stays() -> None:
    """A change of ours touches none of the elements that people work with, and none of their inputs."""
    theirs = {"type": {"text": "remember"}, "valueString": "bring the diary"}
    before = stored(**PEOPLES)
    before["input"].append(theirs)
    after = changed(before, msgspec.structs.replace(known(before), evidence=(WORSE, DROP)))
    assert {key: after[key] for key in PEOPLES} == PEOPLES
    assert theirs in after["input"]
    ours = {"input", "description", "lastModified"}
    assert {key for key in after if after[key] != before.get(key)} == ours


def test_what_people_wrote_in_the_description_stays() -> None:
    """What people added to the description is still there after a change of ours."""
    before = stored()
    before["description"] += " Ask about the move."
    after = changed(before, msgspec.structs.replace(known(before), evidence=(WORSE, DROP)))
    assert "Ask about the move." in after["description"]


def test_a_new_reason_joins() -> None:
    """New evidence is added after what stands, which is not rewritten; the agenda grows."""
    before = stored()
    standing = of_kind(before, "evidence")
    standing[0]["valueReference"]["reference"] = "Observation/99"  # the server's own id for the score
    review = known(before)
    agenda = (*review.agenda, "And between us?")
    after = changed(before, msgspec.structs.replace(review, evidence=(*review.evidence, DROP), agenda=agenda))
    assert of_kind(after, "evidence")[0] == standing[0]
    assert [known(after).evidence[n].key for n in (0, 1)] == [WORSE.key, DROP.key]
    assert tuple(entry["valueString"] for entry in of_kind(after, "agenda")) == agenda
    assert after["lastModified"] == "2026-02-04T16:00:00Z"


def test_a_reason_that_is_gone_leaves() -> None:
    """Evidence that no longer holds is taken out of inputs and description."""
    before = stored(msgspec.structs.replace(REVIEW, evidence=(WORSE, DROP)))
    after = changed(before, msgspec.structs.replace(known(before), evidence=(DROP,)))
    assert [e.key for e in known(after).evidence] == [DROP.key]
    assert "PHQ-9" not in after["description"]


def test_the_reason_of_a_task_is_one_that_holds() -> None:
    """Where the score that a Task was opened for is withdrawn, the Task no longer gives it as its reason."""
    before = stored(msgspec.structs.replace(REVIEW, evidence=(WORSE, DROP)))
    after = changed(before, msgspec.structs.replace(known(before), evidence=(DROP,)))
    assert KEYS[2] not in json.dumps(after)


def test_priority_rises_and_never_falls() -> None:
    """New evidence can make a review urgent; nothing of ours makes it less than people set."""
    urgent = msgspec.structs.replace(REVIEW, level=Level.URGENT)
    assert changed(stored(), urgent)["priority"] == "urgent"
    assert changed(stored(priority="stat"), REVIEW)["priority"] == "stat"
    assert changed(stored(urgent), REVIEW)["priority"] == "urgent"


def test_a_cancelled_review_says_why_and_keeps_its_reasons() -> None:
    """Cancelling changes the status, says why, and leaves the rest for the record."""
    before = stored(**PEOPLES)
    gone = msgspec.structs.replace(known(before), status=ReviewStatus.CANCELLED, evidence=(), note="Withdrawn.")
    after = changed(before, gone)
    assert (after["status"], after["statusReason"]) == ("cancelled", {"text": "Withdrawn."})
    assert {key for key in after if after[key] != before.get(key)} == {"status", "statusReason", "lastModified"}
    assert known(after).status is ReviewStatus.CANCELLED


def test_a_change_is_kept_current_and_changes_no_stored_task_in_place() -> None:
    """A change is one write under the Task's key; the Task that was read stays as it was."""
    before = stored()
    untouched = copy.deepcopy(before)
    write = changed_task(before, msgspec.structs.replace(known(before), evidence=(WORSE, DROP)), LATER, "r1")
    assert (write.type, write.value, write.mode, write.group) == ("Task", KEYS[0], WriteMode.KEEP_CURRENT, "r1")
    assert before == untouched


def test_times_are_written_in_utc_to_the_second() -> None:
    """Whatever zone and fraction the clock has, a Task says UTC, and reads back as the same second."""
    review = msgspec.structs.replace(REVIEW, opened=OPENED.replace(microsecond=999_999))
    assert known(task(review)).opened == OPENED
    assert known(task(review)).opened.tzinfo is UTC


def test_a_task_without_times_is_still_read() -> None:
    """Where a server lost the times, they are the earliest there is, and nothing is raised."""
    review = known({k: v for k, v in stored().items() if k not in ("authoredOn", "restriction")})
    assert review.opened == review.due == datetime.min.replace(tzinfo=UTC)


# -------------------------------------------------------------- ended and opened again

REPAIR = Evidence(KEYS[5], "alliance-repair", "Bond is back at 4.2.", KEYS[6], "Safran & Muran 2000.", (KEYS[3],))


def ended(ending: Ending, **fields: Any) -> Review:
    """Return a review that we ended."""
    own = {"status": ReviewStatus.CANCELLED, "stage": TaskStatus.CANCELLED, "ending": ending, "note": "Why."}
    return msgspec.structs.replace(known(stored()), **(own | fields))


def test_a_repair_reads_back_with_what_it_repairs() -> None:
    """A reason that says others are over names them, and reads back as itself."""
    review = msgspec.structs.replace(REVIEW, evidence=(DROP, REPAIR))
    assert known(task(review)).evidence == (DROP, REPAIR)


@pytest.mark.parametrize("ending", Ending)
def test_why_we_ended_a_review_reads_back(ending: Ending) -> None:
    """A Task that we cancelled says why in words and as a code; one that a person cancelled has no code of ours."""
    after = changed(stored(), ended(ending, evidence=()))
    assert after["statusReason"]["text"] == "Why."
    assert known(after).ending is ending
    assert known(after | {"statusReason": {"text": "Not needed."}}).ending is None
    assert known(after | {"status": "completed"}).ending is None


def test_a_review_opens_again_with_its_new_ground() -> None:
    """A Task that we ended is asked for again: status, due time and reasons are new, and nothing tells an end."""
    gone = changed(stored(), ended(Ending.GROUND_LOST, evidence=()))
    again = msgspec.structs.replace(REVIEW, evidence=(DROP,), due=OPENED + timedelta(days=40), stored="4711")
    after = changed(gone, again)
    assert (after["status"], "statusReason" in after) == ("requested", False)
    assert after["restriction"]["period"]["end"] == "2026-03-13T22:30:00Z"
    assert [e.key for e in known(after).evidence] == [DROP.key]


def test_a_corrected_reason_keeps_the_stores_reference() -> None:
    """A reason that is told anew says the new words in its old place, under the store's own id for the score."""
    before = stored()
    of_kind(before, "evidence")[0]["valueReference"]["reference"] = "Observation/99"
    told = msgspec.structs.replace(known(before).evidence[0], sentence="PHQ-9 total is 11.")
    after = changed(before, msgspec.structs.replace(known(before), evidence=(told,)))
    [entry] = of_kind(after, "evidence")
    assert entry["valueReference"]["display"].startswith("PHQ-9 total is 11.")
    assert entry["valueReference"]["reference"] == "Observation/99"
    assert "PHQ-9 total is 11." in after["description"]
    assert "12" not in after["description"]


@pytest.mark.parametrize("decision", Decision)
def test_what_was_decided_is_read(decision: Decision) -> None:
    """The decision in a Task's output is read by our code; other outputs say nothing."""
    concept = {"coding": [{"system": ids.TERMS, "code": decision.value}]}
    output = [
        {"type": {"text": "letter"}, "valueString": "sent"},
        {"type": {"coding": [{"system": ids.TERMS, "code": "decision"}]}, "valueCodeableConcept": concept},
    ]
    assert known(stored(status="completed", output=output)).decision is decision
    assert known(stored(status="completed", output=output[:1])).decision is None
