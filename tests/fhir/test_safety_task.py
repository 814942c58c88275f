"""Safety reviews as they travel: who took them is read, nothing less pressing is made of them, no answer goes along."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fhir.resources.R4B.communication import Communication
from fhir.resources.R4B.task import Task

from fhir_alliance.core.model import Review
from fhir_alliance.core.reviews import Setting
from fhir_alliance.core.safety import Concern, ConcernKind
from fhir_alliance.core.safety_reviews import SafetyPolicy, plan_escalation, plan_safety_review
from fhir_alliance.fhir.identifiers import REVIEW, TERMS
from fhir_alliance.fhir.safety_task import (
    Acknowledgement,
    acknowledgement,
    communication,
    escalation_task,
    is_escalation,
    is_handed_back,
)
from fhir_alliance.fhir.setting import supervisor_of
from fhir_alliance.fhir.task import new_task, read_review
from fhir_alliance.runs.safety_texts import shipped_texts

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
TAKEN = "2026-03-02T09:30:00Z"
ACKNOWLEDGED = {"coding": [{"system": TERMS, "code": "acknowledged"}]}
POLICY = SafetyPolicy(shipped_texts())


def review(**setting: str) -> Review:
    """Return the review of one form."""
    form = "QuestionnaireResponse/r1"
    concern = Concern("r1", form, "Patient/p1", "Encounter/e", "phq-9", "PHQ-9", ConcernKind.ANSWERED, NOW)
    made = plan_safety_review(concern, Setting("Patient/p1", **setting), (), POLICY, NOW)
    assert made is not None
    return made


def task(**elements: Any) -> dict[str, Any]:
    """Return its Task as a store holds it."""
    body: dict[str, Any] = json.loads(new_task(review(owner="PractitionerRole/call", encounter="Encounter/e")).body)
    return body | {"id": "7", "lastModified": TAKEN} | elements


@pytest.mark.parametrize("status", ["accepted", "in-progress", "completed"])
def test_whoever_takes_a_review_acknowledges_it(status: str) -> None:
    """An accepted, begun or completed Task says when it was taken, by its last change, and by whom, by its owner."""
    when = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    assert acknowledgement(task(status=status)) == Acknowledgement(when, "PractitionerRole/call")


@pytest.mark.parametrize(
    "status",
    ["draft", "requested", "received", "ready", "on-hold", "rejected", "failed", "cancelled", "entered-in-error"],
)
def test_no_other_status_acknowledges(status: str) -> None:
    """What waits, or was handed back, or lost its ground, was taken by nobody."""
    assert acknowledgement(task(status=status)) is None
    assert is_handed_back(task(status=status)) == (status in ("rejected", "failed"))


def test_an_output_says_it_more_exactly() -> None:
    """An `acknowledged` output outranks the owner, which may be a role, and the last change, which may be later."""
    output = [
        {"type": ACKNOWLEDGED, "valueReference": {"reference": "https://ehr.example/fhir/Practitioner/lea"}},
        {"type": ACKNOWLEDGED, "valueDateTime": "2026-03-02T09:05:00+01:00"},
        {"type": {"text": "letter"}, "valueReference": {"reference": "Practitioner/other"}},
    ]
    said = acknowledgement(task(status="completed", output=output), "https://ehr.example/fhir")
    assert said == Acknowledgement(datetime(2026, 3, 2, 8, 5, tzinfo=UTC), "Practitioner/lea")


def test_a_server_that_keeps_no_last_change() -> None:
    """Where lastModified is gone the version's own time counts; and nobody is named where nobody is."""
    taken = task(status="accepted", meta={"lastUpdated": TAKEN})
    del taken["lastModified"], taken["owner"]
    assert acknowledgement(taken) == Acknowledgement(datetime(2026, 3, 2, 9, 30, tzinfo=UTC), "")


@pytest.mark.parametrize(
    ("priority", "expected"),
    [("routine", "asap"), ("urgent", "asap"), ("asap", "asap"), ("stat", "stat"), ("odd", "asap")],
)
def test_the_supervisors_task_is_part_of_the_first(priority: str, expected: str) -> None:
    """It names its parent, is never less pressing, keeps the form, and reads back as a review of its own."""
    parent = task(priority=priority)
    known = read_review(parent)
    assert known is not None
    write = escalation_task(plan_escalation(known, "Practitioner/sue", POLICY, NOW + timedelta(days=1)), parent)
    child = json.loads(write.body)
    Task.model_validate(child)
    assert (child["partOf"], child["priority"]) == ([{"reference": "Task/7"}], expected)
    assert (child["owner"]["reference"], child["focus"]) == ("Practitioner/sue", parent["focus"])
    assert child["identifier"] == [{"system": REVIEW, "value": write.value}]
    assert is_escalation(child)
    assert not is_escalation(parent)


def test_a_message_says_what_the_task_says() -> None:
    """A Communication has the Task's identifier, client, form, addressee and words, and nothing of an answer."""
    write = new_task(review(owner="PractitionerRole/call", encounter="Encounter/e"), "group")
    message = communication(write, NOW)
    body, said = json.loads(message.body), json.loads(write.body)
    Communication.model_validate(body)
    assert (message.system, message.value, message.group) == (write.system, write.value, "group")
    assert body["identifier"] == said["identifier"]
    assert (body["subject"], body["about"]) == (said["for"], [said["focus"]])
    assert (body["recipient"], body["encounter"]) == ([said["owner"]], said["encounter"])
    assert (body["payload"], body["sent"]) == ([{"contentString": said["description"]}], "2026-03-02T08:00:00Z")
    assert "value" not in json.dumps(body["payload"]).replace("contentString", "")


def test_a_message_to_nobody_in_particular() -> None:
    """Where nobody is on call and no encounter is known, the message still says what it has to."""
    body = json.loads(communication(new_task(review()), NOW).body)
    Communication.model_validate(body)
    assert not {"recipient", "encounter"} & set(body)


@pytest.mark.parametrize("role", ["Supervisor", "clinical supervision", "Supervisorin", "supervisora", "superviseur"])
def test_the_supervisor_in_a_care_team(role: str) -> None:
    """The participant of an active team whose role says so, in any of the four languages."""
    sue = {"role": [{"coding": [{"display": role}]}], "member": {"reference": "Practitioner/sue"}}
    lea = {"role": [{"text": "lead"}], "member": {"reference": "Practitioner/lea"}}
    team = {"status": "active", "participant": [lea, sue]}
    assert supervisor_of([team]) == "Practitioner/sue"
    assert supervisor_of([team | {"status": "inactive"}]) == ""
    assert supervisor_of([{"status": "active", "participant": [lea]}]) == ""
